"""Health check of PostgreSQL connections without a query, for connections used a moment ago.

With `CONN_HEALTH_CHECKS`, Django sends a query before the first one of each request, and waits for its
result. A connection that was checked in the last `RECENT` seconds and has received nothing since is usable:
had the server closed it, there would be something to read. Any other connection is checked by Django.

Works with every `ENGINE` that derives from Django's PostgreSQL backend and uses its health check and psycopg
3. Connections of a pool are checked by the pool.
https://docs.djangoproject.com/en/6.1/ref/settings/#conn-health-checks
"""

import select
import time
from typing import Any
from weakref import WeakKeyDictionary

from django.core.signals import request_started
from django.db import connections

from djfast import engine

REPLACES = {
    "django.db.backends.base.base.BaseDatabaseWrapper._cursor": "0b228e5fdb96",
    "django.db.backends.base.base.BaseDatabaseWrapper.close_if_health_check_failed": "aef220db29c5",
    "django.db.backends.base.base.BaseDatabaseWrapper.close_if_unusable_or_obsolete": "3a804f271e9e",
    "django.db.backends.base.base.BaseDatabaseWrapper.connect": "a1fe95764ce2",
    "django.db.backends.base.base.BaseDatabaseWrapper.set_autocommit": "bd09b30b646f",
    "django.db.backends.postgresql.base.DatabaseWrapper.close_if_health_check_failed": "cbd9021859a2",
    "django.db.backends.postgresql.base.DatabaseWrapper.is_usable": "2be960c137a4",
    "django.db.close_old_connections": "f5cf044cab3a",
}
# Seconds. A firewall or load balancer drops idle connections without notice, but only after minutes.
RECENT = 10
RECEIVER = "djfast.engine.connections"  # the dispatch_uid


class HealthChecks:
    """The health checks of this process.

    Attributes:
        skipped: how many were decided without a query.
        sent: how many were left to Django, which sends one.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.sent = 0
        # By psycopg connection, the time of its last check on the monotonic clock.
        self.last: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def start_request(self, **kwargs: Any) -> None:
        """Postpone the decision on each open connection until its first query: request_started receiver."""
        wrapper: Any
        for wrapper in connections.all(initialized_only=True):
            if is_due(wrapper):
                wrapper.health_check_done = PendingCheck(self, wrapper)

    def is_usable(self, connection: Any) -> bool:
        """Return whether a psycopg connection can be used without a query to check it."""
        now = time.monotonic()
        recent = now - self.last.get(connection, -RECENT) < RECENT
        self.last[connection] = now
        usable = recent and is_idle(connection) and is_quiet(connection.pgconn.socket)
        if usable:
            self.skipped += 1
        else:
            self.sent += 1
        return usable


class PendingCheck:
    """The `health_check_done` of a connection between the start of a request and its first query.

    Django reads the attribute when it is about to send a query, so a request without one needs no check,
    and the check is as late as Django's own.
    """

    def __init__(self, checks: HealthChecks, wrapper: Any) -> None:
        self.checks = checks
        self.wrapper = wrapper

    def __bool__(self) -> bool:
        """Check the connection without a query; False lets Django send its own."""
        done = self.checks.is_usable(self.wrapper.connection)
        self.wrapper.health_check_done = done
        return done


CHECKS = HealthChecks()


def is_due(wrapper: Any) -> bool:
    """Return whether Django would check a connection with the code that this module replaces."""
    if (
        getattr(wrapper.connection, "pgconn", None) is None  # closed, or not of psycopg 3
        or wrapper.health_check_done is not False  # by Django or a PendingCheck
        or wrapper.settings_dict["OPTIONS"].get("pool")
        or not engine.active("connections")
    ):
        return False
    from django.db.backends.postgresql.base import DatabaseWrapper

    methods = ("close_if_health_check_failed", "is_usable")
    return all(getattr(type(wrapper), name) is getattr(DatabaseWrapper, name) for name in methods)


def is_idle(connection: Any) -> bool:
    """Return whether no transaction is open and no query in progress, which the next request would meet."""
    from psycopg.pq import TransactionStatus

    return bool(connection.pgconn.transaction_status == TransactionStatus.IDLE)


def is_quiet(socket: int) -> bool:
    """Return whether nothing has arrived on a socket: neither data nor its end."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return not poll.poll(0)


def switch(on: bool) -> None:
    """Connect or disconnect the receiver, behind Django's close_old_connections."""
    request_started.disconnect(dispatch_uid=RECEIVER)
    if on:
        request_started.connect(CHECKS.start_request, dispatch_uid=RECEIVER)


def evidence() -> str:
    """Return how many health checks of this process needed no query."""
    return f"{CHECKS.skipped} health checks of this process without a query, {CHECKS.sent} with one"
