"""The first app: a user model, a home page and health probes; small enough to replace."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Registers the app under the label that `AUTH_USER_MODEL` names."""

    name = "core"
