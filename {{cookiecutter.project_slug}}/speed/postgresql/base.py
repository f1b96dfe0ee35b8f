"""The backend itself, under the name by which Django looks for it."""

import select
import time
from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg.pq import TransactionStatus

# Seconds after the last check for which a connection counts as in use. A firewall or a load balancer drops
# without a word what has been idle, but only after minutes: whatever has rested for longer is asked.
RECENT = 10

last_checked: WeakKeyDictionary[Connection[Any], float] = WeakKeyDictionary()  # by time.monotonic()
checks: Counter[str] = Counter()  # without a query, and with


def check_without_query(connection: Connection[Any]) -> bool:
    """Return whether a connection needs no query to be known to be alive; note when it was checked."""
    now = time.monotonic()
    recent = now - last_checked.get(connection, -RECENT) < RECENT
    last_checked[connection] = now
    # What a request has left in a transaction, or with a query under way, may be of no use to the next.
    idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
    alive = recent and idle and is_quiet(connection.pgconn.socket)
    checks["spared" if alive else "sent"] += 1
    return alive


def is_quiet(socket: int) -> bool:
    """Return whether nothing has arrived on a socket: neither a farewell nor its end."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return not poll.poll(0)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's backend with another health check."""

    health_check_enabled: bool
    health_check_done: bool

    def close_if_health_check_failed(self) -> None:
        """Let Django send its query unless there is no need to."""
        due = self.health_check_enabled and not self.health_check_done
        if due and self.connection is not None:
            self.health_check_done = check_without_query(self.connection)
        super().close_if_health_check_failed()
