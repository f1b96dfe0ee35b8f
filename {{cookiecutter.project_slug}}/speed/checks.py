"""`manage.py check --tag speed`: warns when an edit has undone a default or slows pages in silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks

from speed.defaults import DEFAULTS
from speed.effects import find
from speed.figures import figure

# What shapes a connection to Redis: django-redis makes one pool for a URL, with the first's options.
CONNECTION = (
    "CONNECTION_POOL_CLASS",
    "CONNECTION_POOL_KWARGS",
    "PARSER_CLASS",
    "PASSWORD",
    "SOCKET_CONNECT_TIMEOUT",
    "SOCKET_TIMEOUT",
)


@checks.register("speed")
def undone(**options: Any) -> list[checks.CheckMessage]:
    """Look at every default without asking a service.

    Returns:
        A warning for each that is undone. Its id, `speed.` and the name of the default, goes into
        `SILENCED_SYSTEM_CHECKS` where that is meant.
    """
    return [
        checks.Warning(
            f"The default {default.name!r} is undone: Django's own choice is in force"
            f" ({default.django}).",
            hint=f"{default.buys} Measured on {default.scenario}: {figure(default.name)}."
            f" To restore it, see {default.setting}.",
            id=f"speed.{default.name.replace(' ', '-')}",
        )
        for default in DEFAULTS
        if find(default)[0] is False
    ]


@checks.register("speed")
def mistakes(**options: Any) -> Iterator[checks.CheckMessage]:
    """Look for settings that are valid, slow, and silent about it; a message for each."""
    for alias, database in settings.DATABASES.items():
        # {% if cookiecutter.interface == "asgi" %}
        if database.get("CONN_MAX_AGE", 0) != 0:
            yield checks.Warning(
                f"DATABASES[{alias!r}] sets CONN_MAX_AGE, and under ASGI no connection is used again:"
                " each thread leaves its own open until the database has no more.",
                hint='Delete it; OPTIONS["pool"] keeps connections under ASGI.',
                id="speed.asgi-connections",
            )
        # {% else %}
        pool = database.get("OPTIONS", {}).get("pool")
        sizes = pool if isinstance(pool, dict) else {}
        size = sizes.get("max_size") or sizes.get("min_size", 4)  # psycopg's own: 4, fixed
        if pool and size < settings.SERVER_THREADS:
            yield checks.Warning(
                f"The pool of DATABASES[{alias!r}] lends {size} connections to"
                f" {settings.SERVER_THREADS} threads: requests wait for each other.",
                hint='Set max_size in OPTIONS["pool"] to SERVER_THREADS at least.',
                id="speed.small-pool",
            )
        # {% endif %}
    if settings.SESSION_SAVE_EVERY_REQUEST:
        yield checks.Warning(
            "SESSION_SAVE_EVERY_REQUEST writes the session to the database on each request.",
            hint="Delete it; a view that must prolong a session sets request.session.modified.",
            id="speed.session-saved-always",
        )
    caches: dict[str, dict[str, Any]] = settings.CACHES
    first: dict[str, tuple[str, list[Any]]] = {}
    for alias, cache in caches.items():
        if not cache["BACKEND"].startswith("django_redis."):
            continue
        shape = [cache.get("OPTIONS", {}).get(name) for name in CONNECTION]
        other, others = first.setdefault(str(cache["LOCATION"]), (alias, shape))
        if shape != others:
            yield checks.Warning(
                f"CACHES[{alias!r}] and CACHES[{other!r}] share one LOCATION, so that the one used"
                " first decides about the timeouts and connections of both.",
                hint="Give each its own database number, or both the same OPTIONS.",
                id="speed.shared-redis-url",
            )
    manifest = Path(settings.STATIC_ROOT or "") / "staticfiles.json"
    if not settings.DEBUG and not manifest.exists():
        yield checks.Info(
            f"There are no built static files in {manifest.parent}.",
            hint="`make build` makes them; no production server starts without.",
            id="speed.static-not-built",
        )
