"""The two-tier cache against a model, under threads, processes, forks and outages, and in bytes.

    DJANGO_SETTINGS_MODULE=config.settings uv run --with hypothesis pytest -p no:cacheprovider \\
        -c pyproject.toml --rootdir . …/tiers
"""

import asyncio
import gc
import inspect
import os
import random
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Set
from contextvars import copy_context
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django_redis.client import DefaultClient
from hypothesis import HealthCheck
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from speed.copies import Copies, direct

from speed import tiers

ALIAS = "tiered"
OPTIONS = settings.CACHES["default"]["OPTIONS"] | {"CLIENT_CLASS": "speed.tiers.TieredClient"}
TIERED = settings.CACHES["default"] | {"KEY_PREFIX": f"model-{os.getpid()}", "OPTIONS": OPTIONS}
LIFE = tiers.LIFE


@pytest.fixture(autouse=True)
def cache() -> Iterator[Any]:
    with override_settings(CACHES=settings.CACHES | {ALIAS: TIERED}):
        caches[ALIAS].clear()
        yield caches[ALIAS]
        caches[ALIAS].clear()


def another(cache: Any) -> Any:
    """The cache as another process has it: with copies of its own."""
    instance = type(cache)(TIERED["LOCATION"], TIERED)
    instance.client.copies = Copies(tiers.weight)
    return instance


def raw_name(cache: Any, key: str, version: int | None = None) -> str:
    return str(cache.client.make_key(key, version=version))


# A model: two processes, and a third that writes past both ------------------------------------------

KEYS = st.sampled_from(["a", "b", "ä c"])
VERSIONS = st.sampled_from([1, 2])
PROCESSES = st.sampled_from([0, 1])
ELAPSED = st.sampled_from([0.0, 0.2, LIFE / 2, LIFE - 0.01, LIFE, 2.5])


class Clock:
    """Stands in for the module `time` in `speed.tiers`; the wall clock jumps about meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return random.uniform(0, 2e9)


class Model(RuleBasedStateMachine):
    """Each key has a history: (since, value). A read must give a value of the last second, and none
    that is older than what the reading process wrote itself."""

    def __init__(self) -> None:
        super().__init__()
        self.override = override_settings(CACHES=settings.CACHES | {ALIAS: TIERED})
        self.override.enable()
        tiers.time, self.real = Clock(), tiers.time  # type: ignore[assignment]
        self.clock: Any = tiers.time
        self.processes = [another(caches[ALIAS]) for _ in range(2)]
        self.redis = self.processes[0].client.get_client()
        self.history: dict[tuple[str, int], list[tuple[float, Any]]] = {}
        self.own: dict[tuple[int, str, int], float] = {}
        self.values = count(1)

    def teardown(self) -> None:
        tiers.time = self.real
        self.override.disable()

    @initialize()
    def empty(self) -> None:
        self.processes[0].client.clear()

    def now(self, key: str, version: int) -> Any:
        return self.history.get((key, version), [(0.0, None)])[-1][1]

    def note(self, process: int | None, key: str, version: int, value: Any) -> None:
        self.history.setdefault((key, version), [(0.0, None)]).append((self.clock.now, value))
        if process is not None:
            place = self.history[key, version]
            self.own[process, key, version] = len(place) - 1

    def allowed(self, process: int, key: str, version: int, began: float) -> list[Any]:
        history = self.history.get((key, version), [(0.0, None)])
        first = self.own.get((process, key, version), 0)
        ends = [since for since, _ in history[1:]] + [float("inf")]
        return [
            value
            for at, ((_, value), end) in enumerate(zip(history, ends, strict=True))
            if at >= first and (end > began - LIFE or at == len(history) - 1)
        ]

    @rule(seconds=ELAPSED)
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def set(self, process: int, key: str, version: int) -> None:
        value = ["value", next(self.values)]
        self.processes[process].set(key, value, version=version)
        self.note(process, key, version, value)

    @rule(process=PROCESSES, keys=st.sets(KEYS), version=VERSIONS)
    def set_many(self, process: int, keys: Set[str], version: int) -> None:
        data: dict[str, Any] = {key: next(self.values) for key in keys}
        self.processes[process].set_many(data, version=version)
        for key, value in data.items():
            self.note(process, key, version, value)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def add(self, process: int, key: str, version: int) -> None:
        value = {"value": next(self.values)}
        added = self.processes[process].add(key, value, version=version)
        assert added == (self.now(key, version) is None)
        if added:
            self.note(process, key, version, value)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def incr(self, process: int, key: str, version: int) -> None:
        before = self.now(key, version)
        if isinstance(before, int):
            assert self.processes[process].incr(key, 3, version=version) == before + 3
            self.note(process, key, version, before + 3)

    @rule(process=PROCESSES, key=KEYS)
    def incr_version(self, process: int, key: str) -> None:
        value = self.now(key, 1)
        if value is not None:
            self.processes[process].incr_version(key, version=1)
            self.note(process, key, 1, None)
            self.note(process, key, 2, value)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def delete(self, process: int, key: str, version: int) -> None:
        self.processes[process].delete(key, version)
        self.note(process, key, version, None)

    @rule(process=PROCESSES, keys=st.sets(KEYS), version=VERSIONS)
    def delete_many(self, process: int, keys: Set[str], version: int) -> None:
        self.processes[process].delete_many(iter(keys), version)
        for key in keys:
            self.note(process, key, version, None)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS, seconds=st.sampled_from([None, 0, 60]))
    def touch(self, process: int, key: str, version: int, seconds: int | None) -> None:
        self.processes[process].touch(key, seconds, version)
        if seconds == 0:
            self.note(process, key, version, None)

    @rule(process=PROCESSES, version=VERSIONS)
    def delete_pattern(self, process: int, version: int) -> None:
        self.processes[process].delete_pattern("*", version=version)
        for key, its_version in list(self.history):
            if its_version == version:
                self.note(process, key, version, None)

    @rule(process=PROCESSES)
    def clear(self, process: int) -> None:
        self.processes[process].clear()
        for key, version in list(self.history):
            self.note(process, key, version, None)

    @rule(key=KEYS, version=VERSIONS)
    def write_past_both(self, key: str, version: int) -> None:
        value = ["outside", next(self.values)]
        client = self.processes[0].client
        self.redis.set(raw_name(self.processes[0], key, version), client.encode(value))
        self.note(None, key, version, value)

    @rule(key=KEYS, version=VERSIONS)
    def expire_in_redis(self, key: str, version: int) -> None:
        self.redis.delete(raw_name(self.processes[0], key, version))
        self.note(None, key, version, None)

    @rule()
    def read_all(self) -> None:
        """So that both processes have copies."""
        for process in self.processes:
            for version in (1, 2):
                process.get_many(["a", "b", "ä c"], version=version)

    @rule()
    def read_all_again(self) -> None:
        self.read_all()

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def get(self, process: int, key: str, version: int) -> None:
        read = self.processes[process].get(key, version=version)
        assert read in self.allowed(process, key, version, self.clock.now)
        if read is not None and not isinstance(read, int):
            (read.append if isinstance(read, list) else read.setdefault)("spoilt")  # its own object

    @rule(process=PROCESSES, version=VERSIONS)
    def get_many(self, process: int, version: int) -> None:
        keys = ["a", "b", "ä c"]
        found = self.processes[process].get_many(iter(keys), version=version)
        for key in keys:
            assert found.get(key) in self.allowed(process, key, version, self.clock.now)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def get_past_the_copies(self, process: int, key: str, version: int) -> None:
        fresh = copy_context()
        fresh.run(direct.set, True)
        found = fresh.run(self.processes[process].get, key, version=version)
        assert found == self.now(key, version)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def has_key(self, process: int, key: str, version: int) -> None:
        there = self.processes[process].has_key(key, version=version)
        assert there == (self.now(key, version) is not None)

    @rule(data=st.data(), process=PROCESSES, key=KEYS, version=VERSIONS)
    def get_overtaken(self, data: Any, process: int, key: str, version: int) -> None:
        """While the answer is on its way, somebody writes and time passes; then it is read again."""
        writer, wait, then = data.draw(st.tuples(PROCESSES, ELAPSED, ELAPSED))
        redis = self.processes[process].client.get_client()
        began, original = self.clock.now, type(redis).get

        def slow(name: str) -> Any:
            value = original(redis, name)
            del redis.get
            self.clock.now += wait / 2
            self.set(writer, key, version)
            self.clock.now += wait / 2
            return value

        before = self.allowed(process, key, version, began)
        redis.get = slow
        try:
            read = self.processes[process].get(key, version=version)
        finally:
            redis.__dict__.pop("get", None)
        assert read in before
        self.clock.now += then
        self.get(process, key, version)

    @invariant()
    def no_copy_is_older_than_allowed(self) -> None:
        for number, process in enumerate(self.processes):
            for key, version in self.history:
                name = process.client.own(raw_name(process, key, version))
                until, value = process.client.copies.kept.get(name, (0.0, b""))
                if until > self.clock.now:
                    allowed = self.allowed(number, key, version, self.clock.now)
                    assert process.client.decode(value) in allowed

    @invariant()
    def size_is_that_of_what_is_kept(self) -> None:
        for process in self.processes:
            copies = process.client.copies
            kept = copies.kept.items()
            assert copies.size == sum(tiers.weight(name, value) for name, (_, value) in kept)


TestModel = Model.TestCase
TestModel.settings = limits(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


# Every method that writes ---------------------------------------------------------------------------

# They write to sets, hashes and sorted sets, which `get` cannot read: there is never a copy of one.
OTHER_TYPES = {"hdel", "hset", "sadd", "smove", "spop", "srem", "zadd", "zincrby", "zpopmax"}
OTHER_TYPES |= {"zpopmin", "zrem", "zremrangebyscore"}
# They write by calling `set` and `delete`, or keep a key of their own.
THROUGH_OTHERS = {"incr_version", "lock", "_incr"}


def test_every_method_that_writes_drops_copies() -> None:
    """A new release of django-redis may bring one more."""
    writing = set()
    for name, method in inspect.getmembers(DefaultClient, inspect.isfunction):
        if "write=True" in inspect.getsource(method):
            writing.add(name)
    writing -= {"get_client", "get_client_with_index", "get_next_client_index"}
    own = {name for name in vars(tiers.TieredClient) if not name.startswith("_")}
    assert writing - own == OTHER_TYPES | THROUGH_OTHERS


def test_a_set_that_replaces_a_value_drops_its_copy(cache: Any) -> None:
    cache.set("key", 1)
    cache.sadd("other", 1)
    assert cache.get("key") == 1
    cache.sunionstore("key", "other")
    assert cache.smembers("key") == {1}
    assert cache.get("key") is None  # as without copies: Redis refuses, and that is ignored


def test_a_client_of_ones_own_reads_from_redis(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    redis = cache.client.get_client()
    redis.set(raw_name(cache, "key"), 2)
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
def test_an_option_that_is_no_number_is_refused(option: str, value: Any) -> None:
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
        cache.client.get_client().set(raw_name(cache, "key"), 2)
        assert cache.get("key") == 2
        assert tiers.COPIES.size == 0


def test_a_copy_may_be_configured_to_live_longer(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(tiers, "time", clock)
    long = TIERED | {"OPTIONS": OPTIONS | {"LOCAL_SECONDS": 30}}
    with override_settings(CACHES=settings.CACHES | {ALIAS: long}):
        store: Any = caches[ALIAS]
        store.set("key", 1)
        assert store.get("key") == 1
        store.client.get_client().set(raw_name(store, "key"), 2)
        clock.now += 29.9
        assert store.get("key") == 1
        clock.now += 0.1
        assert store.get("key") == 2


def test_a_coroutine_reads_past_the_copies_and_its_neighbours_do_not(cache: Any) -> None:
    async def read(past: bool) -> Any:
        if not past:
            return await cache.aget("key")
        direct.set(True)  # a task has a context of its own
        await asyncio.sleep(0)
        return await cache.aget("key")

    async def both() -> list[Any]:
        return await asyncio.gather(read(False), read(True), read(False))

    cache.set("key", 1)
    assert cache.get("key") == 1
    cache.client.get_client().set(raw_name(cache, "key"), 2)
    found = asyncio.run(both())
    assert found[1] == 2
    assert found[0] == 1


# Outages --------------------------------------------------------------------------------------------


@pytest.fixture
def cut() -> Callable[[bool], None]:
    """Cut the connection, or restore it."""
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


WRITES: list[Callable[[Any], Any]] = [
    lambda cache: cache.set("key", 2),
    lambda cache: cache.add("key", 2),
    lambda cache: cache.set_many({"key": 2}),
    lambda cache: cache.delete("key"),
    lambda cache: cache.delete_many(["key"]),
    lambda cache: cache.delete_pattern("key"),
    lambda cache: cache.incr("key"),
    lambda cache: cache.clear(),
]


@pytest.mark.parametrize("write", WRITES)
def test_after_a_write_that_failed_redis_is_asked(
    cache: Any, cut: Callable[[bool], None], write: Callable[[Any], Any]
) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    cut(True)
    try:
        assert cache.get("key") == 1  # while it lives
        write(cache)  # the exception is ignored, as the settings say
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


# Bytes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 40, 500, 4000, 60_000, 900_000])
def test_the_memory_in_use_stays_within_the_limit(size: int) -> None:
    limit = 4 * 2**20
    gc.collect()
    tracemalloc.start()
    try:
        copies, most = Copies(tiers.weight), 0
        base, _ = tracemalloc.get_traced_memory()
        for number in range(3 * limit // (size + 400)):
            name = f"redis://127.0.0.1:6379/0?db=0 shop-pages:1:{number:040d}"
            copies.keep({name: random.randbytes(size)}, 0, 100.0 + number / 1e9, LIFE, limit)
            most = max(most, tracemalloc.get_traced_memory()[0] - base)
        assert most <= limit
        assert most >= limit / 3  # nor much less: the rest is what the next copy needs
    finally:
        tracemalloc.stop()


def test_what_is_too_old_leaves_the_memory_with_the_next_read() -> None:
    copies = Copies(tiers.weight)
    for number in range(1000):
        copies.keep({f"name {number}": b"x" * 1000}, 0, 100.0, LIFE, tiers.LIMIT)
    assert len(copies.kept) == 1000
    copies.keep({"new": b"x"}, 0, 100.0 + LIFE, LIFE, tiers.LIMIT)
    assert list(copies.kept) == ["new"]
    assert copies.size == tiers.weight("new", b"x")


def test_the_least_recently_used_goes_first() -> None:
    copies, limit = Copies(tiers.weight), 3 * tiers.weight("a", b"x")
    for name in "abc":
        copies.keep({name: b"x"}, 0, 100.0, LIFE, limit)
    assert copies.get(["a"], 100.0) == [b"x"]
    copies.keep({"d": b"x"}, 0, 100.0, LIFE, limit)
    assert copies.get(["a", "b", "c", "d"], 100.0) == [b"x", None, b"x", b"x"]


def test_a_value_above_the_limit_pushes_nothing_out() -> None:
    copies = Copies(tiers.weight)
    copies.keep({"a": b"x"}, 0, 100.0, LIFE, 10_000)
    copies.keep({"b": b"x" * 10_001}, 0, 100.0, LIFE, 10_000)
    assert copies.get(["a", "b"], 100.0) == [b"x", None]


def test_an_older_answer_does_not_replace_a_newer_one() -> None:
    copies = Copies(tiers.weight)
    copies.keep({"a": b"new"}, 0, 100.5, LIFE, 10_000)
    copies.keep({"a": b"old"}, 0, 100.0, LIFE, 10_000)
    assert copies.get(["a"], 100.6) == [b"new"]


# Threads, processes, forks --------------------------------------------------------------------------


def test_threads_see_their_own_and_each_others_writes(cache: Any) -> None:
    """A counter for each key that only grows: whoever has seen a value written sees no older one."""
    written, failures = {"a": 0, "b": 0}, list[str]()
    writing = {key: threading.Lock() for key in written}
    end = time.monotonic() + 3

    def write(key: str) -> None:
        while time.monotonic() < end:
            with writing[key]:
                value = written[key] + 1
                caches[ALIAS].set(key, {"value": value})
                written[key] = value
            time.sleep(random.random() / 500)

    def read(many: bool) -> None:
        while time.monotonic() < end:
            for key in written:
                least = written[key]
                found = caches[ALIAS].get_many([key]).get(key) if many else caches[ALIAS].get(key)
                if found is not None and found["value"] < least:
                    failures.append(f"{key}: {found} after {least}")
                if found:
                    found["value"] = -1  # its own object

    for key in written:
        cache.set(key, {"value": 0})
    threads = [threading.Thread(target=write, args=[key]) for key in written for _ in range(2)]
    threads += [threading.Thread(target=read, args=[many]) for many in (True, False) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(written.values()) > 100
    assert not failures, failures[:5]


READER = """
import json, sys, time
from django.core.cache import caches
cache, seen = caches["default"], []
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    value = cache.get("counter")
    if not seen or seen[-1][1] != value:
        seen.append((time.monotonic(), value))
    time.sleep(0.002)
print(json.dumps(seen))
"""
BOOT = """
import sys
import django
from django.conf import settings
options = settings.CACHES["default"]["OPTIONS"] | {"CLIENT_CLASS": "speed.tiers.TieredClient"}
settings.CACHES["default"] |= {"KEY_PREFIX": sys.argv[2], "OPTIONS": options}
django.setup()
"""


def test_another_process_sees_a_write_after_a_second_at_most(cache: Any) -> None:
    """Both processes read the same monotonic clock of the machine."""
    import json

    cache.set("counter", 0)
    command = [sys.executable, "-c", BOOT + READER, "4.5", TIERED["KEY_PREFIX"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == "ready\n"
        written = []
        for value in range(1, 10):
            time.sleep(0.37)
            written.append((time.monotonic(), value))
            cache.set("counter", value)
            assert cache.get("counter") == value  # at once here
        seen = json.loads(reader.stdout.read())
    when = {value: at for at, value in seen}
    assert list(when) == sorted(when)
    assert len(seen) == len(when)  # never back to an older one
    assert len(when) < len(written)  # it did read copies
    for at, value in written:
        later = [seen_at for seen_value, seen_at in when.items() if seen_value >= value]
        if later:
            assert min(later) - at <= LIFE + 0.25  # seconds: the machine may be busy


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_begins_with_no_copies_and_a_free_lock(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1
    with tiers.COPIES.lock:  # as another thread may hold it at that moment
        child = os.fork()
        if child == 0:
            done = tiers.COPIES.size == 0 and tiers.COPIES.get(["any"], 0.0) == [None]
            os._exit(0 if done else 1)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for a lock that nobody will release")
    assert os.waitstatus_to_exitcode(status) == 0
    assert cache.get("key") == 1
