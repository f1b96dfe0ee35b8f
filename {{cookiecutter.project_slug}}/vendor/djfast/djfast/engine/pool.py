"""Connection pool for PostgreSQL whose limit delays requests and never fails them.

Django's `OPTIONS["pool"]` is psycopg's pool: at most `max_size` connections exist, and each one has to come
back. Connections that a view's own threads use, that an open stream or a long wait holds, or that a fork
inherits, do not come back; requests then fail until the process is restarted. This pool has Django's options
and the availability of stock Django, which opens a connection whenever there is none:

- Only what is in use counts for `max_size`: a connection in a transaction or a query, or lent less than
  `RECENT` ago. A request that finds as many in use waits up to `timeout`, then gets one more.
- A connection that is dropped without being returned is closed and forgotten.
- A forked process begins with an empty pool, and leaves its parent's connections alone.

`djfast.engine.handler` returns the connection of a streamed response while the stream is idle.
https://docs.djangoproject.com/en/6.1/ref/databases/#connection-pool
"""

import os
import time
from threading import Condition
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.signals import request_started
from django.db import connections

from djfast.engine.connections import is_quiet

REPLACES = {
    "django.db.backends.postgresql.base.DatabaseWrapper._close": "0cf4168aaa2b",
    "django.db.backends.postgresql.base.DatabaseWrapper._configure_connection": "f328cc0557cf",
    "django.db.backends.postgresql.base.DatabaseWrapper.close_pool": "8a14c5b5f27e",
    "django.db.backends.postgresql.base.DatabaseWrapper.get_new_connection": "2f4de50502be",
    "django.db.backends.postgresql.base.DatabaseWrapper.is_usable": "2be960c137a4",
    "django.db.backends.postgresql.base.DatabaseWrapper.pool": "39fd7c774306",
}
RECENT = 2.0  # seconds: longer than most requests, also of a process that has just started
UNCHECKED = 10  # seconds after its last use that a quiet connection is lent without a query
STEP = 0.05  # seconds between two polls of what is in use
RECEIVER = "djfast.engine.pool"  # the dispatch_uid

INHERITED: list[Any] = []  # connections of a parent process: closing them would end its sessions


class LendingPool:
    """What Django's PostgreSQL backend expects of a pool.

    Attributes:
        idle: connections, and when each came back in monotonic seconds; the newest is last.
        lent: when each connection was lent. Keys are weak: unreferenced connections are dropped.
        opened: the number of connections that were opened in this process.
    """

    def __init__(self, wrapper: Any) -> None:
        """Take the options of the database that `wrapper`, a connection object of Django, is for."""
        self.wrapper = wrapper
        self.database: dict[str, Any] = (
            wrapper.settings_dict
        )  # shared by the objects of all threads
        options = self.database["OPTIONS"]["pool"]
        options = options if isinstance(options, dict) else {}
        self.max_size: int = options.get("max_size") or options.get("min_size", 4)
        self.max_idle: float = options.get("max_idle", 600)
        self.timeout: float = options.get("timeout", 30)
        self.reset()

    def reset(self) -> None:
        """Begin without connections."""
        self.process = os.getpid()
        self.target = self.current_target()
        self.parameters = self.wrapper.get_connection_params() | {"autocommit": True}
        self.condition = Condition()
        self.idle: list[tuple[Any, float]] = []
        self.lent: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self.opening = 0
        self.opened = 0
        self.is_closed = False

    def current_target(self) -> tuple[Any, ...]:
        """Return name, host, port and user from the current settings, which a test run changes."""
        return tuple(self.database[name] for name in ("NAME", "HOST", "PORT", "USER"))

    def open(self) -> None:
        """Do nothing: connections are opened when they are needed."""

    def getconn(self) -> Any:
        """Return a connection, which `putconn` takes back.

        Raises:
            psycopg.OperationalError: PostgreSQL accepts no connection.
        """
        if self.process != os.getpid():
            INHERITED.extend([*self.idle, *self.lent])
            self.reset()
        if self.target != self.current_target():
            self.close()
            self.reset()
        deadline = time.monotonic() + self.timeout
        while True:
            with self.condition:
                while not self.idle and self.is_full() and time.monotonic() < deadline:
                    self.condition.wait(STEP)
                connection, since = self.idle.pop() if self.idle else (None, 0.0)
                if connection is None:
                    self.opening += 1
                else:
                    self.lent[connection] = time.monotonic()
            if connection is None:
                return self.new()
            if self.is_healthy(connection, since):
                return connection
            with self.condition:
                self.lent.pop(connection, None)
            connection.close()

    def new(self) -> Any:
        """Open a connection; the caller has already incremented `opening`."""
        try:
            connection = self.wrapper.Database.connect(**self.parameters)
            self.wrapper._configure_connection(connection)
            connection._pool = self  # where Django looks for `putconn`
            connection._djfast_process = self.process
            with self.condition:
                self.lent[connection] = time.monotonic()
                self.opened += 1
        finally:
            with self.condition:
                self.opening -= 1
        return connection

    def is_full(self) -> bool:
        """Return whether as many connections are in use as the pool may have."""
        if self.opening + len(self.lent) < self.max_size:
            return False
        recent = time.monotonic() - RECENT
        used = sum(
            since > recent or connection.pgconn.transaction_status != 0  # PQTRANS_IDLE
            for connection, since in [*self.lent.items()]
        )
        return bool(self.opening + used >= self.max_size)

    def is_healthy(self, connection: Any, since: float) -> bool:
        """Return whether a connection can be lent.

        Args:
            connection: was idle.
            since: when it came back, in monotonic seconds.
        """
        passed = time.monotonic() - since
        if connection.closed or passed > self.max_idle:
            return False
        checks = self.database["CONN_HEALTH_CHECKS"]
        if not checks or (passed < UNCHECKED and is_quiet(connection.pgconn.socket)):
            return True
        try:
            connection.execute("SELECT 1")
        except Exception:  # of any kind: another one is opened
            return False
        return True

    def putconn(self, connection: Any) -> None:
        """Take back a connection; roll back what it did not commit."""
        if connection not in self.lent:
            if connection._djfast_process == os.getpid():  # of the database before a test run
                connection.close()
            else:
                INHERITED.append(connection)
            return
        reusable = False
        try:
            if not connection.closed and connection.pgconn.transaction_status:
                connection.rollback()
            reusable = not connection.closed and not connection.pgconn.transaction_status
        finally:
            with self.condition:
                self.lent.pop(connection, None)
                reusable = reusable and not self.is_closed and len(self.idle) < self.max_size
                if reusable:
                    self.idle.append((connection, time.monotonic()))
                self.condition.notify()
            if not reusable:
                connection.close()
            self.close_oldest()

    def close_oldest(self) -> None:
        """Close a connection that nobody needed for `max_idle`."""
        oldest = None
        with self.condition:
            if self.idle and time.monotonic() - self.idle[0][1] > self.max_idle:
                oldest, _ = self.idle.pop(0)
        if oldest is not None:
            oldest.close()

    def close(self) -> None:
        """Close the idle connections, and each of the others when it comes back."""
        with self.condition:
            self.is_closed = True
            idle, self.idle = self.idle, []
        for connection, _ in idle:
            connection.close()

    def get_stats(self) -> dict[str, int]:
        """Return the figures of psycopg's pool that `djfast.rows` shows."""
        return {"pool_size": len(self.idle) + len(self.lent), "pool_max": self.max_size}


def place(**kwargs: Any) -> None:
    """Put a pool where Django looks for one: a receiver of request_started, because tests close pools."""
    for alias, database in connections.settings.items():
        if not database.get("OPTIONS", {}).get("pool"):
            continue
        wrapper: Any = connections[alias]
        pools = getattr(wrapper, "_connection_pools", None)
        if pools is not None and not isinstance(pools.get(alias), LendingPool):
            if other := pools.pop(alias, None):
                other.close()
            pools[alias] = LendingPool(wrapper)


def remove() -> None:
    """Leave the databases to Django's pool."""
    for alias in connections:
        pools = getattr(connections[alias], "_connection_pools", {})
        if isinstance(pools.get(alias), LendingPool):
            pools.pop(alias).close()


def switch(on: bool) -> None:
    """Put pools in place, or remove them."""
    disconnected = request_started.disconnect(dispatch_uid=RECEIVER)
    if on:
        request_started.connect(place, dispatch_uid=RECEIVER)
        place()
    elif disconnected:
        remove()


def is_configured() -> bool:
    """Return whether a database has a pool."""
    return any(one.get("OPTIONS", {}).get("pool") for one in settings.DATABASES.values())


def evidence() -> str:
    """Return how many connections the pools of this process have opened."""
    pools = [
        getattr(connections[alias], "_connection_pools", {}).get(alias) for alias in connections
    ]
    opened = sum(pool.opened for pool in pools if isinstance(pool, LendingPool))
    return f"{opened} connections opened in this process"
