"""The project's own user: empty today, and there from the start.

Swapping the user model after the first migration means rewriting every foreign key to it by hand.
"""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager

from speed import peers


class GuardedUserManager(peers.Manager["User"], UserManager["User"]):
    """Django's own, with the guard against N+1 queries."""


class User(AbstractUser, peers.Model):
    """Django's user; add fields here as the project needs them."""

    objects: ClassVar[GuardedUserManager] = GuardedUserManager()
