"""The Redis client: what `clear()` deletes, and how long a value may be stored."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from djfast.cache import redis as client
from redis.exceptions import ConnectionError as RedisConnectionError

OPTIONS = {"CLIENT_CLASS": "djfast.cache.redis.PrefixClient"}
PREFIX = f"client-{os.getpid()}"
CACHE = settings.CACHES["default"] | {"KEY_PREFIX": PREFIX, "OPTIONS": OPTIONS}
LIMITED = CACHE | {"TIMEOUT": 100, "OPTIONS": OPTIONS | {"MAX_TIMEOUT": 50}}


@pytest.fixture(autouse=True)
def cache() -> Iterator[Any]:
    aliases = {"one": CACHE, "other": CACHE | {"KEY_PREFIX": f"{PREFIX}-2"}, "limited": LIMITED}
    with override_settings(CACHES=settings.CACHES | aliases):
        yield caches["one"]
        caches["one"].clear()
        caches["other"].clear()


def test_clear_deletes_all_versions_of_its_alias_and_nothing_else(cache: Any) -> None:
    redis = cache.client.get_client()
    redis.set(f"{PREFIX}neighbour", 1, ex=60)
    caches["other"].set("key", 1)
    cache.set_many({"key": 1, "*": 2})
    cache.set("key", 1, version=2)
    cache.clear()
    assert cache.get_many(["key", "*"]) == {}
    assert cache.get("key", version=2) is None
    assert caches["other"].get("key") == 1
    assert redis.delete(f"{PREFIX}neighbour") == 1


@pytest.mark.parametrize("prefix", ["*", "a[bc]", "a?"])
def test_a_prefix_is_not_a_pattern(prefix: str) -> None:
    special = {"special": CACHE | {"KEY_PREFIX": f"{PREFIX}{prefix}"}}
    plain = {"plain": CACHE | {"KEY_PREFIX": f"{PREFIX}ab"}}
    with override_settings(CACHES=settings.CACHES | special | plain):
        caches["special"].set("key", 1)
        caches["plain"].set("key", 2)
        caches["special"].clear()
        assert caches["special"].get("key") is None
        assert caches["plain"].get("key") == 2
        caches["plain"].clear()


def test_clear_deletes_more_keys_than_fit_into_one_round_trip(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BATCH", 10)
    cache.set_many({str(number): number for number in range(35)})
    cache.clear()
    assert not cache.keys("*")


@pytest.mark.parametrize(("timeout", "stored"), [(10, 10), (1000, 50), (None, 50), ((), 50)])
def test_no_value_is_stored_for_longer_than_the_limit(timeout: Any, stored: int) -> None:
    cache: Any = caches["limited"]
    arguments = [] if timeout == () else [timeout]  # without one, it is the TIMEOUT of the alias
    cache.set("set", 1, *arguments)
    cache.add("add", 1, *arguments)
    cache.set_many({"many": 1}, *arguments)
    for key in ("set", "add", "many"):
        assert stored - 2 <= cache.ttl(key) <= stored
    cache.set("now", 1, 0)
    assert cache.get("now") is None


def test_without_a_limit_a_value_is_stored_as_long_as_it_should(cache: Any) -> None:
    cache.set("key", 1, 1000)
    cache.set("for ever", 1, None)
    assert 990 < cache.ttl("key") <= 1000
    assert cache.ttl("for ever") is None


def test_clear_during_an_outage_is_ignored_or_raised_as_configured() -> None:
    unreachable = CACHE | {"LOCATION": "redis://127.0.0.1:1/0"}
    for ignored in (True, False):
        options = {"OPTIONS": OPTIONS | {"IGNORE_EXCEPTIONS": ignored}}
        with override_settings(CACHES=settings.CACHES | {"away": unreachable | options}):
            if ignored:
                caches["away"].clear()
                continue
            with pytest.raises(RedisConnectionError):
                caches["away"].clear()
