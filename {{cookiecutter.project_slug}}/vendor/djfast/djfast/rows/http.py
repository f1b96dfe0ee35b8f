"""Defaults about sessions, responses, static files, and the server."""

import sys
from importlib import import_module

from djfast.rows.base import Finding, Overrides, Row, Settings, State, class_paths

COMPRESSION = {
    "django.middleware.gzip.GZipMiddleware": "gzip",
    "django_http_compression.middleware.HttpCompressionMiddleware": "zstd, br, or gzip",
}
CONDITIONAL_GET = "django.middleware.http.ConditionalGetMiddleware"
UNBUILT = "development uses the files as they are"
# Servers by the name of their package; one is imported in the processes that it runs.
SERVERS = ("granian", "gunicorn", "hypercorn", "mod_wsgi", "uvicorn", "uwsgi", "waitress")


def middleware(*paths: str) -> dict[int, str]:
    """Return by position in MIDDLEWARE which of these classes, or classes derived from them, it has.

    Args:
        paths: dotted paths of the classes, which need not be importable.
    """
    from django.conf import settings
    from django.utils.module_loading import import_string

    used = [import_string(path) for path in settings.MIDDLEWARE]
    known = [class_paths(one) if isinstance(one, type) else set() for one in used]
    return {place: path for place, found in enumerate(known) for path in paths if path in found}


def without(settings: Settings, *suffixes: str) -> Overrides:
    """Return `MIDDLEWARE` without the entries that end with one of these."""
    return {"MIDDLEWARE": [path for path in settings["MIDDLEWARE"] if not path.endswith(suffixes)]}


class CachedSessions(Row):
    name = "cached sessions"
    setting = "SESSION_ENGINE: cached_db"
    django = "db: a query for each request with a session"
    benefit = "Reading a session costs no query."
    scenario = "a page that shows the name of the signed-in user"
    group = "settings"

    def applies(self) -> bool:
        return bool(middleware("django.contrib.sessions.middleware.SessionMiddleware"))

    def finding(self) -> Finding:
        from django.conf import settings
        from django.contrib.sessions.backends import cached_db, db

        store = import_module(settings.SESSION_ENGINE).SessionStore
        if issubclass(store, cached_db.SessionStore):
            alias = settings.SESSION_CACHE_ALIAS
            return Finding(State.ON, lambda: f"read from the cache {alias!r}, then the database")
        state = State.REVERTED if issubclass(store, db.SessionStore) else State.ON
        return Finding(state, lambda: f"{store.__module__} is in use")

    def revert(self, settings: Settings) -> Overrides:
        return {"SESSION_ENGINE": "django.contrib.sessions.backends.db"}


class Compression(Row):
    name = "compression"
    setting = "MIDDLEWARE: HttpCompressionMiddleware above ConditionalGetMiddleware"
    django = "none"
    benefit = "A page takes a fraction of the bytes."
    scenario = "a list page of 50 rows, sent to a browser"
    group = "settings"
    claim = "bytes"

    def finding(self) -> Finding:
        found = [COMPRESSION[name] for name in middleware(*COMPRESSION).values()]
        if not found:
            return Finding(State.REVERTED, lambda: "pages are sent uncompressed")
        return Finding(State.ON, lambda: f"pages are sent as {found[0]}")

    def revert(self, settings: Settings) -> Overrides:
        return without(settings, ".HttpCompressionMiddleware", ".GZipMiddleware")


class ConditionalGet(Row):
    name = "conditional GET"
    setting = "MIDDLEWARE: ConditionalGetMiddleware below compression"
    django = "none"
    benefit = "A page that the browser already has is answered with 304 and no body."
    scenario = "a second visit"
    group = "settings"
    claim = "bytes"

    def finding(self) -> Finding:
        conditional = middleware(CONDITIONAL_GET)
        if not conditional:
            return Finding(State.REVERTED, lambda: "pages carry no ETag")
        if any(place > max(conditional) for place in middleware(*COMPRESSION)):
            return Finding(
                State.REVERTED,
                lambda: "compression below it changes the ETag of each response",
            )
        return Finding(State.ON, lambda: "pages carry an ETag")

    def revert(self, settings: Settings) -> Overrides:
        return without(settings, ".ConditionalGetMiddleware")


class StaticFiles(Row):
    name = "static files"
    setting = (
        "STORAGES: CompressedManifestStaticFilesStorage; WhiteNoise in config/wsgi.py or asgi.py"
    )
    django = "names without a hash, and no server for them in production"
    benefit = "A browser fetches a file once, compressed with brotli."
    scenario = "the sign-in page of the admin, and again a day later"
    group = "settings"
    claim = "bytes"

    def applies(self) -> bool:
        from django.apps import apps

        return apps.is_installed("django.contrib.staticfiles")

    def finding(self) -> Finding:
        from django.conf import settings
        from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage

        if settings.DEBUG:
            return Finding(State.IN_PRODUCTION, lambda: UNBUILT)
        if not isinstance(staticfiles_storage, ManifestFilesMixin):
            return Finding(State.REVERTED, lambda: "names without a hash")
        return Finding(
            State.ON, lambda: f"{len(staticfiles_storage.hashed_files)} names with a hash"
        )

    def revert(self, settings: Settings) -> Overrides:
        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        return {"STORAGES": {**settings["STORAGES"], "staticfiles": plain}}


class Bundles(Row):
    name = "bundles"
    setting = "COMPRESS_OFFLINE; compress blocks in templates"
    django = "one request per file, with comments"
    benefit = "A page needs one stylesheet and one script, without comments and indentation."
    scenario = "the home page, and again a day later"
    group = "settings"
    claim = "requests"

    def finding(self) -> Finding:
        from django.apps import apps
        from django.conf import settings

        if not apps.is_installed("compressor"):
            return Finding(State.REVERTED, lambda: "django-compressor is not installed")
        if settings.DEBUG:
            return Finding(State.IN_PRODUCTION, lambda: UNBUILT)
        if all(getattr(settings, f"COMPRESS_{name}", False) for name in ("ENABLED", "OFFLINE")):
            return Finding(State.ON, lambda: "made by the build")
        return Finding(State.REVERTED, lambda: "not made by the build")

    def revert(self, settings: Settings) -> Overrides:
        return {"COMPRESS_ENABLED": False, "COMPRESS_OFFLINE": False}


class TranslationOff(Row):
    name = "translation off"
    setting = "USE_I18N=False"
    django = "USE_I18N=True"
    benefit = "A site in one language looks up no translations."
    scenario = "a list page of 50 rows"
    group = "settings"

    def finding(self) -> Finding:
        from django.conf import settings

        if settings.USE_I18N:
            return Finding(State.CHOICE, lambda: "texts are translated")
        return Finding(State.ON, lambda: "texts are shown as written")

    def revert(self, settings: Settings) -> Overrides:
        return {"USE_I18N": True}


class Server(Row):
    name = "server"
    setting = "config/server.py: granian or gunicorn, one process per core"
    django = "runserver, for development only"
    benefit = "All cores serve requests, and a request that waits for the database blocks no other."
    scenario = "concurrent visitors"
    group = "settings"

    def finding(self) -> Finding:
        running = [name for name in SERVERS if name in sys.modules]
        if running:
            return Finding(State.ON, lambda: f"{running[0]} runs this process")
        return Finding(State.IN_PRODUCTION, lambda: "this is no process of a production server")
