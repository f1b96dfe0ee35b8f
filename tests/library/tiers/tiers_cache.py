"""A two-tier cache for the tests, and the same cache as other processes have it."""

import os
import random
from typing import Any

from django.conf import settings
from djfast.cache import tiers
from djfast.cache.copies import Copies

ALIAS = "tiered"
OPTIONS = settings.CACHES["default"]["OPTIONS"] | {
    "CLIENT_CLASS": "djfast.cache.tiers.TieredClient"
}
TIERED = settings.CACHES["default"] | {"KEY_PREFIX": f"model-{os.getpid()}", "OPTIONS": OPTIONS}
LIFE = tiers.LIFE


def another(cache: Any) -> Any:
    """Return the cache as another process has it: with copies of its own."""
    instance = type(cache)(TIERED["LOCATION"], TIERED)
    instance.client.copies = Copies(tiers.weight)
    return instance


def raw_name(cache: Any, key: str, version: int | None = None) -> str:
    return str(cache.client.make_key(key, version=version))


def write_elsewhere(cache: Any, key: str, value: object) -> None:
    """Write as another process does: without changing the copies of this one."""
    cache.client.get_client().set(raw_name(cache, key), cache.client.encode(value))


class Clock:
    """The module `time` for `djfast.cache.tiers`, with a system clock that changes at random."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return random.uniform(0, 2e9)
