"""As Django's documentation recommends for a new project."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    pass
