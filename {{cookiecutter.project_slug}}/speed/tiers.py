"""Two-tier cache: copies in the memory of the process, for a second, in front of Redis.

A page that many visitors ask for within a second need not cross the network for each. A copy is the
bytes that Redis sent, so every caller gets an object of its own.

What a process writes it sees at once; what another one writes, `LOCAL_SECONDS` later at most. That also
holds for the end of a timeout. `has_key`, `ttl` and all else that is no plain read ask Redis. That a key
is missing is not remembered: whoever misses a page makes it, and would make it again for a second.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from functools import wraps
from sys import getsizeof
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.exceptions import ImproperlyConfigured
from django_redis.client import DefaultClient

from speed import Finding
from speed.copies import Copies
from speed.redis import PrefixClient

LIFE = 1.0  # seconds
LIMIT = 8 * 2**20  # bytes per process
OVERHEAD = 300  # bytes that a copy takes beside its key and value: measured, dictionary included


def weight(name: str, value: bytes) -> int:
    """Return the bytes that a copy takes."""
    return getsizeof(name) + getsizeof(value) + OVERHEAD


COPIES = Copies(weight)


def forgetting(method: str) -> Any:
    """Let a method that writes drop the copies of its keys afterwards, whether it succeeded or not.

    A write that failed may have reached Redis all the same, so Redis is asked next.
    """
    write: Callable[..., Any] = getattr(PrefixClient, method)
    signature = inspect.signature(getattr(DefaultClient, method))

    @wraps(write)
    def wrapped(self: "TieredClient", *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs).arguments
        if "data" in given:
            keys = [*given["data"]]
        elif "keys" in given:
            keys = given["keys"] = [*given["keys"]]  # else an iterator would be used up
        else:
            keys = [given["key"]]
        place = {name: given[name] for name in ("version", "prefix") if name in given}
        try:
            return write(**given)
        finally:
            self.copies.forget([self.own(self.make_key(key, **place)) for key in keys])

    return wrapped


def forgetting_all(method: str) -> Any:
    """Let a method that may write to any key drop all copies afterwards."""
    write: Callable[..., Any] = getattr(PrefixClient, method)

    @wraps(write)
    def wrapped(self: "TieredClient", *args: Any, **kwargs: Any) -> Any:
        try:
            return write(self, *args, **kwargs)
        finally:
            self.copies.forget()

    return wrapped


class Reader:
    """What a client reads with: knows the copies, and asks Redis for the rest in one round trip."""

    def __init__(self, client: "TieredClient") -> None:
        self.client = client

    def get(self, key: str) -> bytes | None:
        """Read one value."""
        return self.read([key], lambda redis, keys: [redis.get(keys[0])])[0]

    def mget(self, *keys: str) -> list[bytes | None]:
        """Read several values."""
        return self.read(keys, lambda redis, keys: redis.mget(keys))

    def read(
        self, keys: Sequence[str], ask: Callable[[Any, list[str]], list[bytes | None]]
    ) -> list[bytes | None]:
        client, copies = self.client, self.client.copies
        now, changes = time.monotonic(), copies.changes
        names = [client.own(key) for key in keys]
        found = copies.get(names, now)
        missing = [i for i, value in enumerate(found) if value is None]
        if missing:
            values = ask(client.get_client(write=False), [keys[i] for i in missing])
            read = {}
            for i, value in zip(missing, values, strict=True):
                if value is not None:
                    read[names[i]] = found[i] = value
            copies.keep(read, changes, now, client.seconds, client.limit)
        return found


class TieredClient(PrefixClient):
    """A django-redis client that answers from memory what it has read within the last second.

    Options:
        LOCAL_SECONDS: that a copy lives, from before Redis was asked; 0: no copies.
        LOCAL_BYTES: that all copies of the process may take. The memory is one for all aliases, and an
            alias with a smaller number makes room for its own copies down to that.

    While Redis cannot be reached, reads are answered from copies as long as these live.

    Raises:
        ImproperlyConfigured: an option is no number, or below 0.
    """

    copies = COPIES

    def __init__(self, server: Any, params: dict[str, Any], backend: Any) -> None:
        super().__init__(server, params, backend)
        self.server = str(server)
        self.seconds = self.number("LOCAL_SECONDS", LIFE)
        self.limit = int(self.number("LOCAL_BYTES", LIMIT))
        self.reader: Any = Reader(self)

    def number(self, option: str, default: float) -> float:
        value = self._options.get(option, default)
        if not isinstance(value, int | float) or not value >= 0:
            raise ImproperlyConfigured(f"Set {option} to a number, 0 or more: it is {value!r}.")
        return value

    def own(self, key: str) -> str:
        """Return the name of a copy: two servers may have the same key."""
        return f"{self.server} {key}"

    def get(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Read a value; with a `client` of one's own, from Redis."""
        return super().get(key, default, version, client or self.reader)

    def get_many(self, keys: Any, version: Any = None, client: Any = None) -> dict[Any, Any]:
        """Read several values; with a `client` of one's own, from Redis."""
        found: dict[Any, Any] = super().get_many([*keys], version, client or self.reader)
        return found

    # django-redis calls set() for add(), and get(client=…), set() and delete() for incr_version().
    decr = forgetting("decr")
    delete = forgetting("delete")
    delete_many = forgetting("delete_many")
    expire = forgetting("expire")
    expire_at = forgetting("expire_at")
    incr = forgetting("incr")
    persist = forgetting("persist")
    pexpire = forgetting("pexpire")
    pexpire_at = forgetting("pexpire_at")
    set = forgetting("set")
    set_many = forgetting("set_many")
    touch = forgetting("touch")

    clear = forgetting_all("clear")
    delete_pattern = forgetting_all("delete_pattern")
    # Of the methods for sets, those that replace what is there, whatever it is.
    sdiffstore = forgetting_all("sdiffstore")
    sinterstore = forgetting_all("sinterstore")
    sunionstore = forgetting_all("sunionstore")


def finding() -> Finding:
    """Say whether any alias has two tiers."""
    stores = [caches[alias] for alias in settings.CACHES]
    clients = [getattr(store, "client", None) for store in stores]
    tiered = [client for client in clients if isinstance(client, TieredClient) and client.seconds]
    if not tiered and any(isinstance(store, DummyCache) for store in stores):
        return None, lambda: "development keeps neither pages nor fragments"
    return bool(tiered), lambda: f"{len(COPIES.kept)} copies in this process, {COPIES.size} bytes"
