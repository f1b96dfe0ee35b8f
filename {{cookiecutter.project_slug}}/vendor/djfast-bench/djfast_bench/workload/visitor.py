"""The signed-in visitor of the measured pages; needs no model of the workload."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client

NAME = "visitor"


def create_visitor() -> None:
    """Store the visitor; any user model will do, since no password is needed."""
    user = get_user_model()
    user._default_manager.create(**{user.USERNAME_FIELD: NAME})


def sign_in() -> str:
    """Sign the visitor in with the current settings; return the value of the Cookie header."""
    user = get_user_model()
    client = Client()
    client.force_login(user._default_manager.get(**{user.USERNAME_FIELD: NAME}))
    return f"{settings.SESSION_COOKIE_NAME}={client.session.session_key}"
