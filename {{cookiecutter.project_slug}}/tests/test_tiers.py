"""The two-tier cache: a copy for a second, of which nobody can spoil another's."""

import time
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from speed import tiers
from speed.copies import direct

ALIAS = "tiered"
OPTIONS = settings.CACHES["default"]["OPTIONS"] | {"CLIENT_CLASS": "speed.tiers.TieredClient"}
PREFIX = settings.CACHES["default"]["KEY_PREFIX"] + "-tiered"  # of this process alone
TIERED = settings.CACHES["default"] | {"KEY_PREFIX": PREFIX, "OPTIONS": OPTIONS}


@pytest.fixture(autouse=True)
def cache() -> Iterator[Any]:
    """A cache with two tiers, empty."""
    with override_settings(CACHES=settings.CACHES | {ALIAS: TIERED}):
        caches[ALIAS].clear()
        yield caches[ALIAS]
        caches[ALIAS].clear()


def write_elsewhere(cache: Any, key: str, value: object) -> None:
    """Write as another process does: past the copies of this one."""
    cache.client.get_client().set(cache.make_key(key), cache.client.encode(value))


def test_a_copy_answers_for_a_second_and_no_longer(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    write_elsewhere(cache, "key", 2)
    assert cache.get("key") == 1
    assert cache.get_many(["key"]) == {"key": 1}
    now = time.monotonic() + tiers.LIFE
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert cache.get("key") == 2


def test_who_has_just_changed_something_reads_past_the_copies(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    write_elsewhere(cache, "key", 2)
    fresh = copy_context()
    fresh.run(direct.set, True)
    assert fresh.run(cache.get, "key") == 2
    assert cache.get("key") == 2  # which was kept


def test_what_is_missing_is_asked_for_again(cache: Any) -> None:
    assert cache.get("key") is None
    write_elsewhere(cache, "key", 1)
    assert cache.get("key") == 1


WRITES: dict[str, tuple[Any, Any]] = {  # and what is then read, after a 1
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
    "set for no time": (lambda cache: cache.set("key", 2, 0, version=2), None),
    "set_many": (lambda cache: cache.set_many({"key": 2}, version=2), 2),
    "touch": (lambda cache: cache.touch("key", 0, version=2), None),
}


@pytest.mark.parametrize("write", WRITES)
def test_this_process_sees_its_own_writes_at_once(cache: Any, write: str) -> None:
    change, seen = WRITES[write]
    cache.set("key", 1, version=2)
    assert cache.get("key", version=2) == 1
    change(cache)
    assert cache.get("key", version=2) == seen


def test_what_one_caller_changes_no_other_gets(cache: Any) -> None:
    cache.set("key", [1])
    for _ in range(2):
        cache.get("key").append(2)
        cache.get_many(["key"])["key"].append(3)
    assert cache.get("key") == [1]


def test_a_read_that_a_write_overtook_is_not_kept(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", 1)
    redis = cache.client.get_client()

    def slow(name: str, read: Any = redis.get) -> Any:
        value = read(name)
        cache.set("key", 2)  # by another thread, while the answer is on its way to this one
        return value

    with monkeypatch.context() as patch:
        patch.setattr(redis, "get", slow)
        assert cache.get("key") == 1
    assert cache.get("key") == 2


def test_the_copies_stay_within_their_limit(cache: Any) -> None:
    limit = 20_000  # bytes
    options = OPTIONS | {"LOCAL_BYTES": limit}
    small = TIERED | {"OPTIONS": options}
    with override_settings(CACHES=settings.CACHES | {ALIAS: small}):
        for number in range(50):
            caches[ALIAS].set(f"key {number}", "x" * 1000)
            caches[ALIAS].get(f"key {number}")
        assert limit / 2 < tiers.COPIES.size <= limit
        kept = tiers.COPIES.kept.items()
        assert tiers.COPIES.size == sum(tiers.weight(name, value) for name, (_, value) in kept)


def test_without_redis_a_copy_answers_while_it_lives(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set_many({"key": 1, "other": 2})
    assert cache.get_many(["key", "other"]) == {"key": 1, "other": 2}
    lost = TIERED | {"LOCATION": "redis://127.0.0.1:1/0"}  # where nobody listens
    with override_settings(CACHES=settings.CACHES | {ALIAS: lost}):
        monkeypatch.setattr(caches[ALIAS].client, "server", cache.client.server)  # type: ignore[attr-defined]
        assert caches[ALIAS].get_many(["key", "other"]) == {"key": 1, "other": 2}
        caches[ALIAS].set("key", 3)  # fails: what Redis has is not known now
        assert caches[ALIAS].get("key") is None
        assert caches[ALIAS].get("other") == 2
