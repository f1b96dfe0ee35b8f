"""The project's own user: empty today, and there from the start.

Swapping the user model after the first migration means rewriting every foreign key to it by hand.
"""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Django's user; add fields here as the project needs them."""
