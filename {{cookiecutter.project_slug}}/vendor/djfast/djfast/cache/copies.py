"""Copies of values that a service returned, in the memory of this process, limited in age and size."""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from threading import Lock

_bypassed: ContextVar[bool] = ContextVar("bypassed", default=False)


def bypass(active: bool) -> None:
    """Make reads in this context find no copy, so that they reach the service; False ends that.

    A copy may be older than a change that another process has made. Requests of a client that has
    just made one must not show the old value.

    Args:
        active: for the rest of this context, which is an asyncio task, or a thread outside of one.
    """
    _bypassed.set(active)


class Copies[Value]:
    """A thread-safe cache of values by name, which evicts the least recently used one first.

    A process that was forked starts without copies.

    Args:
        weight: returns the size in bytes of a copy with this name and value.
    """

    def __init__(self, weight: Callable[[str, Value], int]) -> None:
        self.weight = weight
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # With a new lock: another thread of the parent may have held the old one during the fork.
        self.lock = Lock()
        self.entries: OrderedDict[str, tuple[float, Value]] = OrderedDict()  # expiry and value
        self.size = 0  # bytes
        self.generation = 0  # counts the changes that this process has made

    def get(self, names: Sequence[str], now: float) -> list[Value | None]:
        """Return a copy for each name, None for a name without one.

        Args:
            names: of the copies.
            now: in seconds, on the monotonic clock.
        """
        found: list[Value | None] = [None] * len(names)
        if _bypassed.get():
            return found
        with self.lock:
            for position, name in enumerate(names):
                if (entry := self.entries.get(name)) and entry[0] > now:
                    self.entries.move_to_end(name)
                    found[position] = entry[1]
        return found

    def put(
        self, values: Mapping[str, Value], generation: int, now: float, seconds: float, limit: int
    ) -> None:
        """Store copies of what was read, unless this process has changed something since.

        Args:
            values: what was read, by name.
            generation: the generation when the read began. A read that began before a change may
                have returned the old value.
            now: the time when the read began, in seconds on the monotonic clock; a copy ages from
                then.
            seconds: how long a copy may be used.
            limit: the size of all copies in bytes.
        """
        expiry = now + seconds
        with self.lock:
            if generation != self.generation:
                return
            for name, value in values.items():
                if self.weight(name, value) <= limit and self._expiry(name, now) < expiry:
                    self._remove(name)
                    self.entries[name] = expiry, value
                    self.size += self.weight(name, value)
            while self.entries:
                oldest = next(iter(self.entries))
                if self.size <= limit and self._expiry(oldest, now) > now:
                    break
                self._remove(oldest)

    def discard(self, names: Sequence[str] | None = None) -> None:
        """Remove the copies of what this process has changed; None: of everything."""
        with self.lock:
            self.generation += 1
            if names is None:
                self.entries.clear()
                self.size = 0
            for name in names or ():
                self._remove(name)

    def _expiry(self, name: str, now: float) -> float:
        return self.entries[name][0] if name in self.entries else now

    def _remove(self, name: str) -> None:
        if name in self.entries:
            self.size -= self.weight(name, self.entries.pop(name)[1])
