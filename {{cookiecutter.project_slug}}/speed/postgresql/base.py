"""The database backend itself, under the name by which Django looks for it."""

import select
import time
from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError

# Seconds since a connection was in use. After a longer rest it is asked: a firewall or a load balancer may
# have dropped it without a word, which takes them minutes.
RECENT = 10

used: WeakKeyDictionary[Connection[Any], float] = WeakKeyDictionary()  # when, by time.monotonic()
told: Counter[str] = Counter()  # how often a connection was known to be alive, and how often asked


def is_known_to_live(connection: Connection[Any]) -> bool:
    """Say whether a connection, which is about to be used, needs no query to be known to be alive."""
    now = time.monotonic()
    recent = now - used.get(connection, -RECENT) < RECENT
    used[connection] = now
    known = recent and is_quiet(connection)
    told["known" if known else "asked"] += 1
    return known


def is_quiet(connection: Connection[Any]) -> bool:
    """Say whether nothing has arrived: neither a farewell nor the end of the connection."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    try:
        poll.register(connection.fileno(), select.POLLIN)
    except OperationalError:  # it is closed
        return False
    return not poll.poll(0)


def check(connection: Connection[Any]) -> None:
    """Do for a pool what `psycopg_pool.ConnectionPool.check_connection` does.

    Raises:
        psycopg.OperationalError: the connection is lost.
    """
    if not is_known_to_live(connection):
        connection.execute("")  # a connection that Django's pool lends is in no transaction


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with another health check, for kept connections and for those of a pool."""

    health_check_enabled: bool
    health_check_done: bool

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(settings_dict, alias)
        pool = settings_dict["OPTIONS"].get("pool")
        if settings_dict["CONN_HEALTH_CHECKS"] and isinstance(pool, dict):
            pool.setdefault("check", check)

    def close_if_health_check_failed(self) -> None:
        """Close the connection if it is lost; ask only one that may be."""
        due = self.health_check_enabled and not self.health_check_done
        if due and self.connection is not None and not self.pool:
            self.health_check_done = is_known_to_live(self.connection)
        super().close_if_health_check_failed()
