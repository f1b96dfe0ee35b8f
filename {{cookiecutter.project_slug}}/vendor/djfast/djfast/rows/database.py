"""Defaults about database connections."""

import time
from typing import Any

from djfast.rows.base import Finding, Overrides, Row, Settings, State, class_paths


def is_asgi() -> bool:
    """Return whether the project is served under ASGI.

    Django itself does not use `ASGI_APPLICATION`, so a project that sets it is served that way.
    """
    from django.conf import settings

    return bool(getattr(settings, "ASGI_APPLICATION", None))


def is_postgresql(alias: str = "default") -> bool:
    """Return whether the backend of a database derives from Django's for PostgreSQL, as PostGIS's does."""
    from django.db import connections

    return "django.db.backends.postgresql.base.DatabaseWrapper" in class_paths(
        type(connections[alias])
    )


def backend(connection: Any) -> str:
    """Return the name of an open connection: its PostgreSQL backend, or its database."""
    info = getattr(connection.connection, "info", None)
    return f"backend {info.backend_pid}" if info else f"the {connection.display_name} connection"


def changed(settings: Settings, **changes: Any) -> Overrides:
    """Return `DATABASES` with changes to the default database."""
    databases = settings["DATABASES"]
    return {"DATABASES": {**databases, "default": {**databases["default"], **changes}}}


class PersistentConnections(Row):
    name = "persistent connections"
    setting = "DATABASES: CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=True"
    django = "CONN_MAX_AGE=0: a new connection for each request"
    benefit = "A request uses a database connection that is already open."
    scenario = "a page with one query"
    group = "settings"

    def applies(self) -> bool:
        return not is_asgi()

    def finding(self) -> Finding:
        from django.db import connection

        pooled = bool(connection.settings_dict["OPTIONS"].get("pool"))
        persistent = pooled or connection.settings_dict["CONN_MAX_AGE"] != 0
        checked = bool(connection.settings_dict["CONN_HEALTH_CHECKS"])
        state = State.ON if persistent and checked else State.REVERTED
        return Finding(state, self.evidence)

    def evidence(self) -> str:
        """Open the connection of this thread, unless it is open, and return its name and age limit."""
        from django.db import connection

        if connection.settings_dict["OPTIONS"].get("pool"):
            return ConnectionPool().evidence()
        connection.ensure_connection()
        name = backend(connection)
        if connection.settings_dict["CONN_MAX_AGE"] == 0:
            return f"{name}, closed at the end of the request"
        if not connection.settings_dict["CONN_HEALTH_CHECKS"]:
            return f"{name}, reused without a health check"
        if connection.close_at is None:
            return f"{name}, without an age limit"
        left = max(connection.close_at - time.monotonic(), 0)
        return f"{name}, reused for another {left:.0f} s"

    def revert(self, settings: Settings) -> Overrides:
        return changed(settings, CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=False)


class ConnectionPool(Row):
    name = "connection pool"
    setting = 'DATABASES: OPTIONS["pool"], CONN_HEALTH_CHECKS=True'
    django = "no pool, CONN_MAX_AGE=0: a new connection for each request"
    benefit = "A request borrows an open database connection from a pool."
    scenario = "a page with one query"
    group = "settings"

    def applies(self) -> bool:
        return is_asgi() and is_postgresql()

    def finding(self) -> Finding:
        from django.db import connection

        pooled = bool(connection.settings_dict["OPTIONS"].get("pool"))
        checked = bool(connection.settings_dict["CONN_HEALTH_CHECKS"])
        return Finding(State.ON if pooled and checked else State.REVERTED, self.evidence)

    def evidence(self) -> str:
        """Borrow a connection, unless this thread has one, and return the size of the pool."""
        from django.db import connection

        connection.ensure_connection()
        pool = getattr(connection, "pool", None)
        if not pool:
            return f"{backend(connection)}, without a pool"
        stats = pool.get_stats()
        return (
            f"{backend(connection)} of a pool of {stats['pool_size']}, at most {stats['pool_max']}"
        )

    def revert(self, settings: Settings) -> Overrides:
        options = {**settings["DATABASES"]["default"].get("OPTIONS", {})}
        options.pop("pool", None)
        return changed(settings, CONN_HEALTH_CHECKS=False, OPTIONS=options)
