"""`manage.py check --tag speed`: settings that slow pages silently, and defaults that are not in effect.

A setting that slows pages or fails requests is a warning. A default that the project reverted is an
info, as is an inactive engine module, a further database without the options of the default one, a
slow Python build, or static files that are not built. With its id in `SILENCED_SYSTEM_CHECKS` a
default is the project's choice, here and in the toolbar.
"""

import sys
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import DEFAULT_DB_ALIAS, connections

from djfast import engine, interpreter
from djfast.figures import figure
from djfast.rows import Row, State, applicable
from djfast.rows.cache import CachedUser
from djfast.rows.database import is_asgi, is_postgresql
from djfast.rows.templates import CachedTemplateLoader, django_engines, uncached

Messages = Iterator[checks.CheckMessage]

SMALLEST_POOL = 4  # connections: as many as a process of a typical server has threads

# The options that define a connection to Redis: django-redis has one pool for each URL.
CONNECTION_OPTIONS = (
    "CONNECTION_POOL_CLASS",
    "CONNECTION_POOL_KWARGS",
    "PARSER_CLASS",
    "PASSWORD",
    "SOCKET_CONNECT_TIMEOUT",
    "SOCKET_TIMEOUT",
)


@checks.register("speed")
def defaults(**options: Any) -> list[checks.CheckMessage]:
    """Return an info for each default that is not in effect; makes no query and no round trip."""
    found = list(map(info, filter(missing, applicable())))
    if not engine.chosen():
        text = "DJFAST_ENGINE turns every module of djfast.engine off: Django's own code runs."
        hint = "Set it to True, or silence speed.engine to keep it off."
        found.append(checks.Info(text, hint=hint, id="speed.engine"))
    return found


def missing(row: Row) -> bool:
    """Return whether a default has an info of its own: `speed.engine` stands for a whole engine."""
    state = row.state()
    off = state == State.INACTIVE and not engine.chosen()
    return state in (State.REVERTED, State.INACTIVE) and not off


def info(row: Row) -> checks.CheckMessage:
    """Return the message about a default that is not in effect."""
    found, measured = row.finding(), figure(row)
    text = f"The speed default {row.name!r} is off. Django's default: {row.django}."
    if found.state == State.INACTIVE:
        text = f"The speed default {row.name!r} is inactive: {found.evidence()}."
    hint = (
        f"{row.benefit} On {row.scenario}: {measured.text}, {measured.source}."
        f" Set in {row.setting}. To keep it off, add {row.id!r} to SILENCED_SYSTEM_CHECKS."
    )
    return checks.Info(text, hint=hint, id=row.id)


@checks.register("speed")
def mistakes(**options: Any) -> list[checks.CheckMessage]:
    """Return a message for each setting or build that slows pages without an error."""
    return [
        *databases(),
        *pools(),
        *sessions(),
        *redis_urls(),
        *loaders(),
        *python(),
        *static_files(),
    ]


def databases() -> Messages:
    """Yield an info about a database that lacks what the default one has as a row, or a time limit."""
    for alias, database in connections.settings.items():
        if lacks := missing_from(alias, database):
            yield checks.Info(
                f"DATABASES[{alias!r}] has no {', no '.join(lacks)}.",
                hint="Give it the CONN_MAX_AGE (under ASGI: the OPTIONS['pool']), CONN_HEALTH_CHECKS and"
                " OPTIONS['connect_timeout'] of a default database; djfast.env.database() takes them.",
                id="speed.database",
            )


def missing_from(alias: str, database: dict[str, Any]) -> list[str]:
    """Return what a database lacks; the rows are about the connections of the default one."""
    postgresql = is_postgresql(alias)
    if not postgresql and connections[alias].vendor in ("sqlite", "unknown"):
        return []
    options = database.get("OPTIONS", {})
    lacks = {
        "persistent connections": not (is_asgi() or options.get("pool"))
        and database.get("CONN_MAX_AGE", 0) == 0,
        "connection pool": is_asgi() and postgresql and not options.get("pool"),
        "health checks": (postgresql or not is_asgi()) and not database.get("CONN_HEALTH_CHECKS"),
    }
    if alias == DEFAULT_DB_ALIAS:
        lacks = {}
    lacks["connect timeout"] = postgresql and "connect_timeout" not in options
    return [name for name, missing in lacks.items() if missing]


def pools() -> Messages:
    """Yield databases whose connections are not reused, or for which requests must wait."""
    for alias, database in connections.settings.items():
        pooled = database.get("OPTIONS", {}).get("pool")
        if pooled and is_asgi() and not engine.active("pool"):
            yield checks.Warning(
                f"The pool of DATABASES[{alias!r}] is psycopg's: connections that a view's own threads or"
                " open streams use do not come back, and requests then fail.",
                hint='Turn the module "pool" of DJFAST_ENGINE on, or delete OPTIONS["pool"].',
                id="speed.limited-pool",
            )
        if is_asgi() and database.get("CONN_MAX_AGE", 0) != 0:
            yield checks.Warning(
                f"DATABASES[{alias!r}] sets CONN_MAX_AGE, but under ASGI no request reuses the"
                " connection: each thread leaves one open until the database runs out of them.",
                hint='Delete it; OPTIONS["pool"] has persistent connections for ASGI.',
                id="speed.asgi-connections",
            )
        sizes = pooled if isinstance(pooled, dict) else {}
        size = sizes.get("max_size") or sizes.get("min_size", 4)  # psycopg's default: 4, fixed
        if pooled and size < SMALLEST_POOL:
            yield checks.Warning(
                f"The pool of DATABASES[{alias!r}] has at most {size} connections: the threads of a"
                " process wait for each other.",
                hint=f'Set max_size in OPTIONS["pool"] to the number of threads, {SMALLEST_POOL} or more.',
                id="speed.small-pool",
            )


def sessions() -> Messages:
    """Yield the setting that writes the session on every request, and a private cache of users."""
    if settings.SESSION_SAVE_EVERY_REQUEST:
        yield checks.Warning(
            "SESSION_SAVE_EVERY_REQUEST writes the session to the database on each request.",
            hint="Delete it; a view that must prolong a session sets request.session.modified.",
            id="speed.session-saved-always",
        )
    alias = settings.SESSION_CACHE_ALIAS
    if CachedUser().finding().state == State.ON and isinstance(
        caches[alias], DummyCache | LocMemCache
    ):
        yield checks.Warning(
            f"CachedUserMiddleware uses CACHES[{alias!r}], {type(caches[alias]).__name__}, which does"
            " not show other processes that a user has changed.",
            hint="Set SESSION_CACHE_ALIAS to a cache that all processes share.",
            id=CachedUser().id,
        )


def redis_urls() -> Messages:
    """Yield caches with the same URL and different connection options."""
    first: dict[str, tuple[str, list[Any]]] = {}
    for alias, cache in settings.CACHES.items():
        if not cache["BACKEND"].startswith("django_redis."):
            continue
        own = [cache.get("OPTIONS", {}).get(name) for name in CONNECTION_OPTIONS]
        other, others = first.setdefault(str(cache.get("LOCATION")), (alias, own))
        if own != others:
            yield checks.Warning(
                f"CACHES[{alias!r}] and CACHES[{other!r}] share one LOCATION, so the one that is used"
                " first determines the timeouts and connections of both.",
                hint="Give each its own database number, or both the same OPTIONS.",
                id="speed.shared-redis-url",
            )


def loaders() -> Messages:
    """Yield template engines that parse a template again for each use, unless that is a choice."""
    if CachedTemplateLoader().state() == State.CHOICE:
        return
    for one in django_engines():
        if names := uncached(one):
            yield checks.Warning(
                f"A DjangoTemplates engine in TEMPLATES has loaders without cached.Loader"
                f" ({', '.join(names)}): each use of a template reads and parses it again.",
                hint="Delete loaders and set APP_DIRS=True, or put them into"
                " ('django.template.loaders.cached.Loader', [...]).",
                id="speed.uncached-loaders",
            )


def python() -> Messages:
    """Yield an info about an interpreter that was built without optimisation."""
    # Other commands run the checks too, and would repeat it each time.
    if sys.argv[1:2] == ["check"] and interpreter.is_slow():
        yield checks.Info(
            f"This Python was built {interpreter.build()}: every page takes more CPU time than with an"
            " optimised build of the same version.",
            hint="Use one from python.org, uv, a distribution or a container image; with pyenv, set"
            " PYTHON_CONFIGURE_OPTS='--enable-optimizations --with-lto' and install it again.",
            id="speed.interpreter",
        )


def static_files() -> Messages:
    """Yield an info in production while the hashed static files are not built."""
    if (
        settings.DEBUG
        or not settings.STATIC_ROOT
        or not apps.is_installed("django.contrib.staticfiles")
    ):
        return
    if isinstance(staticfiles_storage, ManifestFilesMixin) and not staticfiles_storage.hashed_files:
        yield checks.Info(
            f"There are no built static files in {settings.STATIC_ROOT}.",
            hint="`make build` builds them; without bundles, `manage.py collectstatic` is enough.",
            id="speed.static-not-built",
        )
