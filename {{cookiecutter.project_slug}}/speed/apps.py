"""The app that brings the checks."""

from django.apps import AppConfig


class SpeedConfig(AppConfig):
    """Registers the checks."""

    name = "speed"

    def ready(self) -> None:
        """Import them: that registers them."""
        from speed import checks  # noqa: F401
