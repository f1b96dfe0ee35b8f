"""Two-tier cache: copies in the memory of each process, at most a second old, in front of Redis.

A value that many requests read within a second costs one round trip instead of one for each. A copy is
the bytes that Redis returned, so every caller gets an object of its own.

A process sees its own writes at once, and those of other processes and the end of a timeout after
at most `LOCAL_SECONDS`. Only `get` and `get_many` read copies: `has_key`, `ttl` and all other
methods query Redis. A miss is not cached, because the caller is about to set the key.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from sys import getsizeof
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django_redis.client import DefaultClient

from djfast.cache.copies import Copies
from djfast.cache.redis import PrefixClient

LIFE = 1.0  # seconds
LIMIT = 8 * 2**20  # bytes per process
OVERHEAD = 300  # bytes of a copy beside its key and value: dictionary entry, tuple and expiry


@dataclass(frozen=True)
class CopiesInProcess:
    """Number and size of the copies of a process."""

    count: int
    size: int  # bytes


def weight(name: str, value: bytes) -> int:
    """Return the size of a copy in bytes."""
    return getsizeof(name) + getsizeof(value) + OVERHEAD


COPIES = Copies(weight)


def copies_in_process() -> CopiesInProcess:
    """Return how many copies this process has, of all aliases, and their size in bytes."""
    return CopiesInProcess(len(COPIES.entries), COPIES.size)


def discards_keys(method: str) -> Any:
    """Override a method that writes so that it also removes the copies of its keys.

    They are removed even if the write fails, because Redis may have executed it all the same.
    """
    write: Callable[..., Any] = getattr(PrefixClient, method)
    signature = inspect.signature(getattr(DefaultClient, method))

    @wraps(write)
    def wrapped(self: "TieredClient", *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs).arguments
        if "data" in given:
            keys = [*given["data"]]
        elif "keys" in given:
            keys = given["keys"] = [*given["keys"]]  # an iterator would be used up
        else:
            keys = [given["key"]]
        place = {name: given[name] for name in ("version", "prefix") if name in given}
        try:
            return write(**given)
        finally:
            names = [self.name_of_copy(self.make_key(key, **place)) for key in keys]
            self.copies.discard(names)

    return wrapped


def discards_all(method: str) -> Any:
    """Override a method that may write to any key so that it also removes all copies."""
    write: Callable[..., Any] = getattr(PrefixClient, method)

    @wraps(write)
    def wrapped(self: "TieredClient", *args: Any, **kwargs: Any) -> Any:
        try:
            return write(self, *args, **kwargs)
        finally:
            self.copies.discard()

    return wrapped


class Reader:
    """The read methods of a Redis connection: return copies, fetch the rest in one round trip.

    django-redis passes a connection from method to method as `client`, so its own code for versions,
    decoding and errors also works on copies.
    """

    def __init__(self, client: "TieredClient") -> None:
        self.client = client

    def get(self, key: str) -> bytes | None:
        """Return one value."""
        return self.read([key], lambda redis, keys: [redis.get(keys[0])])[0]

    def mget(self, *keys: str) -> list[bytes | None]:
        """Return several values, with at most one round trip."""
        return self.read(keys, lambda redis, keys: redis.mget(keys))

    def read(
        self, keys: Sequence[str], ask: Callable[[Any, list[str]], list[bytes | None]]
    ) -> list[bytes | None]:
        """Return values from copies, and those that are missing from `ask`."""
        client, copies = self.client, self.client.copies
        now, generation = time.monotonic(), copies.generation
        names = [client.name_of_copy(key) for key in keys]
        found = copies.get(names, now)
        missing = [i for i, value in enumerate(found) if value is None]
        if missing:
            values = ask(client.get_client(write=False), [keys[i] for i in missing])
            read = {}
            for i, value in zip(missing, values, strict=True):
                if value is not None:
                    read[names[i]] = found[i] = value
            copies.put(read, generation, now, client.seconds, client.limit)
        return found


class TieredClient(PrefixClient):
    """A django-redis client that reads from memory what this process has read within a second.

    Options:
        LOCAL_SECONDS: the age limit of a copy, counted from before Redis was asked; default: 1. With
            0 there are no copies.
        LOCAL_BYTES: the size limit of the copies of this process; default: 8 MiB. All aliases share
            the memory; storing a copy for an alias with a lower limit evicts down to that limit.

    While Redis is unreachable, copies are used until they reach their age limit.

    Raises:
        ImproperlyConfigured: an option is not a number, or negative.
    """

    copies = COPIES

    def __init__(self, server: Any, params: dict[str, Any], backend: Any) -> None:
        super().__init__(server, params, backend)
        self.server = str(server)
        self.seconds = self.number("LOCAL_SECONDS", LIFE)
        self.limit = int(self.number("LOCAL_BYTES", LIMIT))
        self.reader: Any = Reader(self)

    def number(self, option: str, default: float) -> float:
        """Return the value of an option after checking it."""
        value = self._options.get(option, default)
        if not isinstance(value, int | float) or not value >= 0:
            raise ImproperlyConfigured(f"Set {option} to a number, 0 or more: it is {value!r}.")
        return value

    def name_of_copy(self, key: str) -> str:
        """Return the name of the copy of a key: two servers may have the same key."""
        return f"{self.server} {key}"

    def get(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Return a value; with an explicit `client`, from Redis."""
        return super().get(key, default, version, client or self.reader)

    def get_many(self, keys: Any, version: Any = None, client: Any = None) -> dict[Any, Any]:
        """Return several values; with an explicit `client`, from Redis."""
        found: dict[Any, Any] = super().get_many([*keys], version, client or self.reader)
        return found

    # In django-redis, add() calls set(), and incr_version() calls get(client=…), set() and delete().
    decr = discards_keys("decr")
    delete = discards_keys("delete")
    delete_many = discards_keys("delete_many")
    expire = discards_keys("expire")
    expire_at = discards_keys("expire_at")
    incr = discards_keys("incr")
    persist = discards_keys("persist")
    pexpire = discards_keys("pexpire")
    pexpire_at = discards_keys("pexpire_at")
    set = discards_keys("set")
    set_many = discards_keys("set_many")
    touch = discards_keys("touch")

    clear = discards_all("clear")
    delete_pattern = discards_all("delete_pattern")
    # Of the methods for sets, those that replace a key of any type.
    sdiffstore = discards_all("sdiffstore")
    sinterstore = discards_all("sinterstore")
    sunionstore = discards_all("sunionstore")
