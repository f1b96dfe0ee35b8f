"""Which writes, values, options and outages the two-tier cache handles, and how."""

import asyncio
import inspect
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django_redis.client import DefaultClient
from djfast.cache import tiers
from djfast.cache.copies import bypass
from tiers_cache import ALIAS, LIFE, OPTIONS, TIERED, Clock, write_elsewhere


def test_a_copy_is_used_for_a_second_and_no_longer(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    write_elsewhere(cache, "key", 2)
    assert cache.get("key") == 1
    assert cache.get_many(["key"]) == {"key": 1}
    clock = Clock()
    clock.now = time.monotonic() + LIFE
    monkeypatch.setattr(tiers, "time", clock)
    assert cache.get("key") == 2


def test_a_missing_key_is_asked_for_again(cache: Any) -> None:
    assert cache.get("key") is None
    write_elsewhere(cache, "key", 1)
    assert cache.get("key") == 1


def test_a_read_that_bypasses_copies_still_stores_one(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    write_elsewhere(cache, "key", 2)
    context = copy_context()
    context.run(bypass, True)
    assert context.run(cache.get, "key") == 2
    write_elsewhere(cache, "key", 3)
    assert cache.get("key") == 2
    context.run(bypass, False)
    assert context.run(cache.get, "key") == 2


WRITES: dict[str, tuple[Any, Any]] = {  # and what is read afterwards, where 1 was before
    "add": (lambda cache: cache.add("key", 2, version=2), 1),
    "clear": (lambda cache: cache.clear(), None),
    "decr": (lambda cache: cache.decr("key", version=2), 0),
    "delete": (lambda cache: cache.delete("key", 2), None),
    "delete_many": (lambda cache: cache.delete_many((key for key in ["key"]), version=2), None),
    "delete_pattern": (lambda cache: cache.delete_pattern("k*", version=2), None),
    "expire": (lambda cache: cache.expire("key", 0, version=2), None),
    "incr": (lambda cache: cache.incr("key", 2, version=2), 3),
    "incr_version": (lambda cache: cache.incr_version("key", version=2), None),
    "set": (lambda cache: cache.set("key", 2, version=2), 2),
    "set with timeout 0": (lambda cache: cache.set("key", 2, 0, version=2), None),
    "set_many": (lambda cache: cache.set_many({"key": 2}, version=2), 2),
    "touch": (lambda cache: cache.touch("key", 0, version=2), None),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_process_sees_its_own_write_at_once(cache: Any, write: str) -> None:
    change, seen = WRITES[write]
    cache.set("key", 1, version=2)
    assert cache.get("key", version=2) == 1
    change(cache)
    assert cache.get("key", version=2) == seen


def test_the_row_shows_number_and_size_of_the_copies(cache: Any) -> None:
    before = tiers.copies_in_process()
    cache.set_many({"key": 1, "other": 2})
    cache.get_many(["key", "other"])
    after = tiers.copies_in_process()
    assert after.count - before.count == 2
    assert after.size - before.size > 2 * tiers.OVERHEAD


# They write to sets, hashes and sorted sets, which `get` cannot read: there is never a copy of one.
OTHER_TYPES = {"hdel", "hset", "sadd", "smove", "spop", "srem", "zadd", "zincrby", "zpopmax"}
OTHER_TYPES |= {"zpopmin", "zrem", "zremrangebyscore"}
# They write by calling `set` and `delete`, or have keys of their own.
THROUGH_OTHERS = {"incr_version", "lock", "_incr"}


def test_every_method_that_writes_removes_copies() -> None:
    """A new release of django-redis may add one."""
    writing = set()
    for name, method in inspect.getmembers(DefaultClient, inspect.isfunction):
        if "write=True" in inspect.getsource(method):
            writing.add(name)
    writing -= {"get_client", "get_client_with_index", "get_next_client_index"}
    own = {name for name in vars(tiers.TieredClient) if not name.startswith("_")}
    assert writing - own == OTHER_TYPES | THROUGH_OTHERS


def test_a_set_that_replaces_a_value_removes_its_copy(cache: Any) -> None:
    cache.set("key", 1)
    cache.sadd("other", 1)
    assert cache.get("key") == 1
    cache.sunionstore("key", "other")
    assert cache.smembers("key") == {1}
    assert cache.get("key") is None  # as without copies: Redis refuses, and that is ignored


def test_an_explicit_client_reads_from_redis(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    write_elsewhere(cache, "key", 2)
    redis = cache.client.get_client()
    assert cache.get("key", client=redis) == 2
    assert cache.get_many(["key"], client=redis) == {"key": 2}
    assert cache.get("key") == 1


@pytest.mark.parametrize(
    "value",
    [None, 0, -1, True, "", b"", 2**70, "é\ud7ff", float("inf"), {"a": [None]}, "x" * 10**6],
)
def test_every_value_comes_back_as_without_copies(cache: Any, value: Any) -> None:
    cache.set("key", value)
    for _ in range(3):
        read = cache.get("key", "default")
        assert read == value
        assert type(read) is type(value)
        assert cache.get_many(["key"]) == {"key": value}


def test_two_servers_and_two_prefixes_have_copies_of_their_own(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    elsewhere = TIERED | {"LOCATION": settings.CACHES["sessions"]["LOCATION"]}
    prefixed = TIERED | {"KEY_PREFIX": TIERED["KEY_PREFIX"] + "x"}
    others = {"elsewhere": elsewhere, "prefixed": prefixed}
    with override_settings(CACHES=settings.CACHES | {ALIAS: TIERED} | others):
        for alias in others:
            assert caches[alias].get("key") is None


@pytest.mark.parametrize("value", [-1, None, "1", float("nan")])
@pytest.mark.parametrize("option", ["LOCAL_SECONDS", "LOCAL_BYTES"])
def test_an_option_that_is_not_a_number_is_refused(option: str, value: Any) -> None:
    wrong = TIERED | {"OPTIONS": OPTIONS | {option: value}}
    with (
        override_settings(CACHES=settings.CACHES | {ALIAS: wrong}),
        pytest.raises(ImproperlyConfigured, match=f"Set {option}"),
    ):
        caches[ALIAS].get("key")


@pytest.mark.parametrize("option", ["LOCAL_SECONDS", "LOCAL_BYTES"])
def test_zero_turns_copies_off(option: str) -> None:
    off = TIERED | {"OPTIONS": OPTIONS | {option: 0}}
    with override_settings(CACHES=settings.CACHES | {ALIAS: off}):
        cache: Any = caches[ALIAS]
        cache.set("key", 1)
        assert cache.get("key") == 1
        write_elsewhere(cache, "key", 2)
        assert cache.get("key") == 2
        assert tiers.COPIES.size == 0


def test_the_age_limit_of_copies_can_be_configured(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(tiers, "time", clock)
    long = TIERED | {"OPTIONS": OPTIONS | {"LOCAL_SECONDS": 30}}
    with override_settings(CACHES=settings.CACHES | {ALIAS: long}):
        store: Any = caches[ALIAS]
        store.set("key", 1)
        assert store.get("key") == 1
        write_elsewhere(store, "key", 2)
        clock.now += 29.9
        assert store.get("key") == 1
        clock.now += 0.1
        assert store.get("key") == 2


def test_a_task_bypasses_copies_and_others_do_not(cache: Any) -> None:
    async def read(without_copies: bool) -> Any:
        if not without_copies:
            return await cache.aget("key")
        bypass(True)  # a task has a context of its own
        await asyncio.sleep(0)
        return await cache.aget("key")

    async def both() -> list[Any]:
        return await asyncio.gather(read(False), read(True), read(False))

    cache.set("key", 1)
    assert cache.get("key") == 1
    write_elsewhere(cache, "key", 2)
    found = asyncio.run(both())
    assert found[1] == 2
    assert found[0] == 1


def test_a_change_of_what_one_caller_got_reaches_no_other(cache: Any) -> None:
    cache.set("key", [1])
    for _ in range(2):
        cache.get("key").append(2)
        cache.get_many(["key"])["key"].append(3)
    assert cache.get("key") == [1]


# Outages ----------------------------------------------------------------------------------------


@pytest.fixture
def cut() -> Callable[[bool], None]:
    """Return a function that interrupts the connection to Redis, or restores it."""
    from redis.client import Pipeline, Redis
    from redis.exceptions import ConnectionError as Lost

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Lost("cut")

    patch = pytest.MonkeyPatch()

    def switch(off: bool) -> None:
        patch.undo()
        if off:
            patch.setattr(Redis, "execute_command", fail)
            patch.setattr(Pipeline, "execute", fail)

    return switch


FAILING: list[Callable[[Any], Any]] = [
    lambda cache: cache.set("key", 2),
    lambda cache: cache.add("key", 2),
    lambda cache: cache.set_many({"key": 2}),
    lambda cache: cache.delete("key"),
    lambda cache: cache.delete_many(["key"]),
    lambda cache: cache.delete_pattern("key"),
    lambda cache: cache.incr("key"),
    lambda cache: cache.clear(),
]


@pytest.mark.parametrize("write", FAILING)
def test_after_a_write_that_failed_redis_is_asked(
    cache: Any, cut: Callable[[bool], None], write: Callable[[Any], Any]
) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    cut(True)
    try:
        assert cache.get("key") == 1  # until the age limit
        write(cache)  # the settings ignore the exception
        assert cache.get("key") is None  # neither the old value nor the new one
        assert cache.get_many(["key"]) == {}
    finally:
        cut(False)
    assert cache.get("key") == 1  # what Redis has


def test_an_exception_is_raised_where_the_settings_say_so(cut: Callable[[bool], None]) -> None:
    from redis.exceptions import ConnectionError as Lost

    strict = TIERED | {"OPTIONS": OPTIONS | {"IGNORE_EXCEPTIONS": False}}
    with override_settings(CACHES=settings.CACHES | {ALIAS: strict}):
        caches[ALIAS].set("key", 1)
        assert caches[ALIAS].get("key") == 1
        cut(True)
        try:
            assert caches[ALIAS].get("key") == 1
            for read in (lambda: caches[ALIAS].get("x"), lambda: caches[ALIAS].get_many(["x"])):
                with pytest.raises(Lost):
                    read()
            with pytest.raises(Lost):
                caches[ALIAS].set("key", 2)
            with pytest.raises(Lost):
                caches[ALIAS].get("key")
        finally:
            cut(False)
