"""Copies in the memory of the process of what it has read from a service: for a moment, within a bound."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from threading import Lock

# Whether no copy is found: for the requests of a visitor who has just changed something.
direct: ContextVar[bool] = ContextVar("direct", default=False)


class Copies[Value]:
    """Values by name, for all threads; the least recently used goes first.

    Args:
        weight: returns the bytes that a copy takes, of its name and value.
    """

    def __init__(self, weight: Callable[[str, Value], int]) -> None:
        self.weight = weight
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Begin anew, with a lock that nobody holds: for a process that was forked."""
        self.lock = Lock()
        self.kept: OrderedDict[str, tuple[float, Value]] = OrderedDict()
        self.size = 0  # bytes
        self.changes = 0  # a read that began before the last change is not kept

    def get(self, names: Sequence[str], now: float) -> list[Value | None]:
        """Return a copy for each name, None where there is none that is young enough.

        Args:
            names: what is asked for.
            now: seconds on the monotonic clock.
        """
        found: list[Value | None] = [None] * len(names)
        if direct.get():
            return found
        with self.lock:
            for place, name in enumerate(names):
                if (copy := self.kept.get(name)) and copy[0] > now:
                    self.kept.move_to_end(name)
                    found[place] = copy[1]
        return found

    def keep(
        self, read: dict[str, Value], changes: int, now: float, seconds: float, limit: int
    ) -> None:
        """Keep what was read, unless a change has overtaken it.

        Args:
            read: the values by name.
            changes: how many there had been when the read began,
            now: and the time then, so that waiting for the answer counts.
            seconds: that a copy lives.
            limit: bytes of all copies.
        """
        until = now + seconds
        with self.lock:
            if changes != self.changes:
                return
            for name, value in read.items():
                if self.weight(name, value) <= limit and self.until(name, now) < until:
                    self.drop(name)
                    self.kept[name] = until, value
                    self.size += self.weight(name, value)
            while self.kept:
                oldest = next(iter(self.kept))
                if self.size <= limit and self.until(oldest, now) > now:
                    break
                self.drop(oldest)

    def forget(self, names: Sequence[str] | None = None) -> None:
        """Drop the copies of what has changed; None: all."""
        with self.lock:
            self.changes += 1
            if names is None:
                self.kept.clear()
                self.size = 0
            for name in names or ():
                self.drop(name)

    def until(self, name: str, now: float) -> float:
        return self.kept[name][0] if name in self.kept else now

    def drop(self, name: str) -> None:
        if name in self.kept:
            self.size -= self.weight(name, self.kept.pop(name)[1])
