"""The application to add to `INSTALLED_APPS`."""

from django.apps import AppConfig, apps
from django.conf import settings


class DjfastConfig(AppConfig):
    """Registers the checks and prepares each process."""

    name = "djfast"

    def ready(self) -> None:
        """Register the checks, compute the release id, and switch the engine's modules on or off."""
        from djfast import checks, engine  # noqa: F401
        from djfast.cache.release import build

        if not settings.DEBUG and {"pages", "template_fragments"} & {*settings.CACHES}:
            build()  # now: a deployment may replace the files while this process runs
        engine.install()
        if apps.is_installed("compressor"):
            from djfast import bundles

            bundles.single_files.install()
        if apps.is_installed("django.contrib.auth"):
            from djfast.cache import users

            users.ready()
