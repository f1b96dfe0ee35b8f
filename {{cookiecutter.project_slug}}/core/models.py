"""The base of the project's models, and its own user model."""

from typing import ClassVar

import djfast.models
from django.contrib.auth import models as auth
from django.contrib.auth.models import AbstractUser


class BaseModel(djfast.models.Model):
    """The base class of every model of this project.

    `djfast.models.Model` creates objects faster and avoids N+1 queries for foreign keys. To opt
    out, inherit `django.db.models.Model` here, let `UserManager` inherit only `auth.UserManager`,
    and add `speed.model-instances` and `speed.N+1-guard` to SILENCED_SYSTEM_CHECKS. No table and no
    migration changes.
    """

    class Meta:
        abstract = True


class UserManager(djfast.models.Manager["User"], auth.UserManager["User"]):
    """Django's manager of users, whose rows also avoid N+1 queries."""


class User(AbstractUser, BaseModel):
    """Django's user, to which the project can add fields.

    It exists from the start because AUTH_USER_MODEL is hard to change after the first migration.
    """

    objects: ClassVar[UserManager] = UserManager()
