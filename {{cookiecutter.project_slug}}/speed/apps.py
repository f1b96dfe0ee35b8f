"""The app that brings the checks."""

from importlib import import_module

from django.apps import AppConfig

from speed.defaults import DEFAULTS


class SpeedConfig(AppConfig):
    """Registers the checks, and what a default has to do in each process."""

    name = "speed"

    def ready(self) -> None:
        """Import the checks: that registers them. Start the defaults that watch for something."""
        from speed import checks  # noqa: F401

        for default in DEFAULTS:
            start = default.module and getattr(import_module(default.module), "ready", None)
            if start:
                start()
