"""What each default does in this process now: read from the objects in use, where there are any."""

import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.cached_db import SessionStore
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.db import connection
from django.template import engines
from django.template.loaders.cached import Loader
from django_redis import get_redis_connection

from speed.defaults import DEFAULTS, Default

# Whether the default is in force (None: in production only, and this is development), and what
# shows it.
Finding = tuple[bool | None, str]

UNBUILT = "development uses the files as they are"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect(Default):
    """A default as it was found in this process.

    Attributes:
        holds: whether it is in force; None: in production only, and this is development.
        evidence: what shows it.
    """

    holds: bool | None
    evidence: str


def observe() -> list[Effect]:
    """Look at every default; opens a connection to the database and to the cache, queries nothing."""
    effects = []
    for default in DEFAULTS:
        holds, evidence = FINDINGS[default.name]()
        effects.append(Effect(**asdict(default), holds=holds, evidence=evidence))
    return effects


# {% if cookiecutter.interface == "wsgi" %}
def persistent_connections() -> Finding:
    connection.ensure_connection()
    close_at = connection.close_at  # None: never; Django's own choice: the moment of connecting
    left = float("inf") if close_at is None else close_at - time.monotonic()
    return left > 0, f"{backend()} may be kept for another {max(left, 0):.0f} s"


# {% else %}
def connection_pool() -> Finding:
    connection.ensure_connection()
    if not (pool := getattr(connection, "pool", None)):
        return connection.vendor != "postgresql", f"{backend()}, without a pool"
    stats = pool.get_stats()
    return True, f"{backend()} is one of {stats['pool_size']}, at most {stats['pool_max']}"


# {% endif %}
def backend() -> str:
    info = getattr(connection.connection, "info", None)
    return f"backend {info.backend_pid}" if info else f"the {connection.display_name} connection"


def redis_cache() -> Finding:
    try:
        start = time.perf_counter()
        get_redis_connection("default").ping()
    except Exception as error:  # not Redis, or not there: the page that shows this must not fail
        return False, f"{type(error).__name__}: {error}"
    return True, f"answered in {(time.perf_counter() - start) * 1000:.1f} ms"


def cached_sessions() -> Finding:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(store, SessionStore):
        return False, f"{store.__module__} is in use"
    return True, f"read from the cache {settings.SESSION_CACHE_ALIAS!r}, then from the database"


# {% if cookiecutter.template_engine == "jinja2" %}
def jinja2() -> Finding:
    jinja2: Any = engines["jinja2"]
    kept = jinja2.env.bytecode_cache is not None
    return kept, f"{len(jinja2.env.cache)} templates compiled in this process"


# {% endif %}
def cached_template_loader() -> Finding:
    django: Any = engines["django"]
    loader = django.engine.template_loaders[0]
    if not isinstance(loader, Loader):
        return False, f"{type(loader).__name__} reads templates again each time"
    return True, f"{len(loader.get_template_cache)} templates kept in this process"


def compression() -> Finding:
    above = place("HttpCompressionMiddleware") < place("ConditionalGetMiddleware")
    return above, "zstd, br, gzip; " + ("above" if above else "not above") + " conditional GET"


def conditional_get() -> Finding:
    used = place("ConditionalGetMiddleware") < len(settings.MIDDLEWARE)
    return used, "pages carry an ETag" if used else "pages carry no ETag"


def place(name: str) -> int:
    """Return the position of a middleware, or one past the last."""
    found = [i for i, path in enumerate(settings.MIDDLEWARE) if path.endswith(f".{name}")]
    return found[0] if found else len(settings.MIDDLEWARE)


def static_files() -> Finding:
    if settings.DEBUG:
        return None, UNBUILT
    hashed = isinstance(staticfiles_storage, ManifestFilesMixin)
    return hashed, "names with a hash" if hashed else "names without a hash"


def bundles() -> Finding:
    if settings.DEBUG:
        return None, UNBUILT
    return settings.COMPRESS_OFFLINE, "made by the build"


def translation_off() -> Finding:
    return not settings.USE_I18N, "translated" if settings.USE_I18N else "texts stand as written"


def server() -> Finding:
    if settings.DEBUG and "{{ cookiecutter.server }}" not in sys.modules:
        return None, "this is the development server, one process"
    return "{{ cookiecutter.server }}" in sys.modules, "{{ cookiecutter.server }}"


FINDINGS = {
    # {% if cookiecutter.interface == "wsgi" %}
    "persistent connections": persistent_connections,
    # {% else %}
    "connection pool": connection_pool,
    # {% endif %}
    "redis cache": redis_cache,
    "cached sessions": cached_sessions,
    # {% if cookiecutter.template_engine == "jinja2" %}
    "jinja2": jinja2,
    # {% endif %}
    "cached template loader": cached_template_loader,
    "compression": compression,
    "conditional GET": conditional_get,
    "static files": static_files,
    "bundles": bundles,
    "translation off": translation_off,
    "server": server,
}
