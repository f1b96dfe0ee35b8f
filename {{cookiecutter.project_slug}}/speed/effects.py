"""What each default does in this process now: read from the objects in use, where there are any."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.cached_db import SessionStore
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.cache import caches
from django.db import connection
from django.template import engines
from django.template.loaders.cached import Loader
from django_redis import get_redis_connection
from django_redis.cache import RedisCache

from speed import Finding
from speed.defaults import DEFAULTS, Default
from speed.figures import figure

UNBUILT = "development uses the files as they are"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect(Default):
    """A default as it was found in this process.

    Attributes:
        holds: whether it is in force; None: off on purpose, or in production only.
        evidence: what shows it.
        figure: what it buys, as it was measured last.
    """

    holds: bool | None
    evidence: str
    figure: str


def observe() -> list[Effect]:
    """Look at every default; opens a connection to the database and to the cache, queries nothing."""
    effects = []
    for default in DEFAULTS:
        holds, show = find(default)
        try:
            evidence = show()
        except Exception as error:  # a service is not there: the page that shows this must not fail
            holds, evidence = False, f"{type(error).__name__}: {error}"
        known = asdict(default) | {"figure": figure(default.name)}
        effects.append(Effect(**known, holds=holds, evidence=evidence))
    return effects


def find(default: Default) -> Finding:
    """Look at one default: its module knows how, or a function below."""
    if default.module:
        found: Finding = import_module(default.module).finding()
        return found
    return FINDINGS[default.name]()


# {% if cookiecutter.interface == "wsgi" %}
def persistent_connections() -> Finding:
    def show() -> str:
        connection.ensure_connection()
        if connection.close_at is None:
            return f"{backend()} is kept for ever"
        left = max(connection.close_at - time.monotonic(), 0)
        return f"{backend()} may be kept for another {left:.0f} s"

    kept = connection.settings_dict["CONN_MAX_AGE"] != 0
    return kept and connection.settings_dict["CONN_HEALTH_CHECKS"], show


# {% else %}
def connection_pool() -> Finding:
    def show() -> str:
        connection.ensure_connection()
        if not (pool := getattr(connection, "pool", None)):
            return f"{backend()}, without a pool"
        stats = pool.get_stats()
        return f"{backend()} is one of {stats['pool_size']}, at most {stats['pool_max']}"

    pooled = bool(connection.settings_dict["OPTIONS"].get("pool"))
    checked = connection.settings_dict["CONN_HEALTH_CHECKS"]
    return (pooled and checked) or connection.vendor not in ("postgresql", "unknown"), show


# {% endif %}
def backend() -> str:
    info = getattr(connection.connection, "info", None)
    return f"backend {info.backend_pid}" if info else f"the {connection.display_name} connection"


def redis_cache() -> Finding:
    def show() -> str:
        start = time.perf_counter()
        get_redis_connection("default").ping()
        return f"answered in {(time.perf_counter() - start) * 1000:.1f} ms"

    return isinstance(caches["default"], RedisCache), show


def cached_sessions() -> Finding:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(store, SessionStore):
        return False, lambda: f"{store.__module__} is in use"
    alias = settings.SESSION_CACHE_ALIAS
    return True, lambda: f"read from the cache {alias!r}, then from the database"


def cached_template_loader() -> Finding:
    django: Any = engines["django"]
    loader = django.engine.template_loaders[0]
    if not isinstance(loader, Loader):
        return False, lambda: f"{type(loader).__name__} reads templates again each time"
    return True, lambda: f"{len(loader.get_template_cache)} templates kept in this process"


def compression() -> Finding:
    above = place("HttpCompressionMiddleware") < place("ConditionalGetMiddleware")
    where = "above" if above else "not above"
    return above, lambda: f"zstd, br, gzip; {where} conditional GET"


def conditional_get() -> Finding:
    used = place("ConditionalGetMiddleware") < len(settings.MIDDLEWARE)
    return used, lambda: "pages carry an ETag" if used else "pages carry no ETag"


def place(name: str) -> int:
    """Return the position of a middleware, or one past the last."""
    found = [i for i, path in enumerate(settings.MIDDLEWARE) if path.endswith(f".{name}")]
    return found[0] if found else len(settings.MIDDLEWARE)


def static_files() -> Finding:
    if settings.DEBUG:
        return None, lambda: UNBUILT
    hashed = isinstance(staticfiles_storage, ManifestFilesMixin)
    return hashed, lambda: "names with a hash" if hashed else "names without a hash"


def bundles() -> Finding:
    if settings.DEBUG:
        return None, lambda: UNBUILT
    made = getattr(settings, "COMPRESS_ENABLED", True) and settings.COMPRESS_OFFLINE
    return made, lambda: "made by the build" if made else "not made by the build"


def translation_off() -> Finding:
    on = settings.USE_I18N
    return not on, lambda: "translated" if on else "texts stand as written"


def server() -> Finding:
    if "{{ cookiecutter.server }}" in sys.modules:
        return True, lambda: "{{ cookiecutter.server }}"
    return None, lambda: "this is the development server, one process"


FINDINGS: dict[str, Callable[[], Finding]] = {
    # {% if cookiecutter.interface == "wsgi" %}
    "persistent connections": persistent_connections,
    # {% else %}
    "connection pool": connection_pool,
    # {% endif %}
    "redis cache": redis_cache,
    "cached sessions": cached_sessions,
    "cached template loader": cached_template_loader,
    "compression": compression,
    "conditional GET": conditional_get,
    "static files": static_files,
    "bundles": bundles,
    "translation off": translation_off,
    "server": server,
}
