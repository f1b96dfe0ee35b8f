"""The app that brings the checks."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from speed.defaults import DEFAULTS
from speed.release import build


class SpeedConfig(AppConfig):
    """Registers the checks, and what a default has to do in each process."""

    name = "speed"

    def ready(self) -> None:
        """Register the checks, know the release, start the defaults that watch for something."""
        from speed import checks  # noqa: F401

        if not settings.DEBUG:
            build()
        for default in DEFAULTS:
            start = default.module and getattr(import_module(default.module), "ready", None)
            if start:
                start()
