"""The two-tier cache against a model: two processes, and a third one that only writes."""

from collections.abc import Set
from contextvars import copy_context
from itertools import count
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from djfast.cache import tiers
from djfast.cache.copies import bypass
from hypothesis import HealthCheck
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tiers_cache import ALIAS, LIFE, TIERED, Clock, another, raw_name

KEYS = st.sampled_from(["a", "b", "ä c"])
VERSIONS = st.sampled_from([1, 2])
PROCESSES = st.sampled_from([0, 1])
ELAPSED = st.sampled_from([0.0, 0.2, LIFE / 2, LIFE - 0.01, LIFE, 2.5])


class Model(RuleBasedStateMachine):
    """Each key has a history of (since, value). A read must return a value that was current within
    the last second, and none that is older than what the reading process itself has written."""

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

    def record(self, process: int | None, key: str, version: int, value: Any) -> None:
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
        self.record(process, key, version, value)

    @rule(process=PROCESSES, keys=st.sets(KEYS), version=VERSIONS)
    def set_many(self, process: int, keys: Set[str], version: int) -> None:
        data: dict[str, Any] = {key: next(self.values) for key in keys}
        self.processes[process].set_many(data, version=version)
        for key, value in data.items():
            self.record(process, key, version, value)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def add(self, process: int, key: str, version: int) -> None:
        value = {"value": next(self.values)}
        added = self.processes[process].add(key, value, version=version)
        assert added == (self.now(key, version) is None)
        if added:
            self.record(process, key, version, value)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def incr(self, process: int, key: str, version: int) -> None:
        before = self.now(key, version)
        if isinstance(before, int):
            assert self.processes[process].incr(key, 3, version=version) == before + 3
            self.record(process, key, version, before + 3)

    @rule(process=PROCESSES, key=KEYS)
    def incr_version(self, process: int, key: str) -> None:
        value = self.now(key, 1)
        if value is not None:
            self.processes[process].incr_version(key, version=1)
            self.record(process, key, 1, None)
            self.record(process, key, 2, value)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def delete(self, process: int, key: str, version: int) -> None:
        self.processes[process].delete(key, version)
        self.record(process, key, version, None)

    @rule(process=PROCESSES, keys=st.sets(KEYS), version=VERSIONS)
    def delete_many(self, process: int, keys: Set[str], version: int) -> None:
        self.processes[process].delete_many(iter(keys), version)
        for key in keys:
            self.record(process, key, version, None)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS, seconds=st.sampled_from([None, 0, 60]))
    def touch(self, process: int, key: str, version: int, seconds: int | None) -> None:
        self.processes[process].touch(key, seconds, version)
        if seconds == 0:
            self.record(process, key, version, None)

    @rule(process=PROCESSES, version=VERSIONS)
    def delete_pattern(self, process: int, version: int) -> None:
        self.processes[process].delete_pattern("*", version=version)
        for key, its_version in list(self.history):
            if its_version == version:
                self.record(process, key, version, None)

    @rule(process=PROCESSES)
    def clear(self, process: int) -> None:
        self.processes[process].clear()
        for key, version in list(self.history):
            self.record(process, key, version, None)

    @rule(key=KEYS, version=VERSIONS)
    def a_third_process_writes(self, key: str, version: int) -> None:
        value = ["outside", next(self.values)]
        client = self.processes[0].client
        self.redis.set(raw_name(self.processes[0], key, version), client.encode(value))
        self.record(None, key, version, value)

    @rule(key=KEYS, version=VERSIONS)
    def expire_in_redis(self, key: str, version: int) -> None:
        self.redis.delete(raw_name(self.processes[0], key, version))
        self.record(None, key, version, None)

    @rule()
    def read_all(self) -> None:
        """Give both processes copies."""
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
            # The caller may change what it got: no other caller sees that.
            (read.append if isinstance(read, list) else read.setdefault)("changed")

    @rule(process=PROCESSES, version=VERSIONS)
    def get_many(self, process: int, version: int) -> None:
        keys = ["a", "b", "ä c"]
        found = self.processes[process].get_many(iter(keys), version=version)
        for key in keys:
            assert found.get(key) in self.allowed(process, key, version, self.clock.now)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def get_without_copies(self, process: int, key: str, version: int) -> None:
        context = copy_context()
        context.run(bypass, True)
        found = context.run(self.processes[process].get, key, version=version)
        assert found == self.now(key, version)

    @rule(process=PROCESSES, key=KEYS, version=VERSIONS)
    def has_key(self, process: int, key: str, version: int) -> None:
        there = self.processes[process].has_key(key, version=version)
        assert there == (self.now(key, version) is not None)

    @rule(data=st.data(), process=PROCESSES, key=KEYS, version=VERSIONS)
    def get_overtaken(self, data: Any, process: int, key: str, version: int) -> None:
        """Write, and let time pass, while a read is waiting for the response; then read again."""
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
                name = process.client.name_of_copy(raw_name(process, key, version))
                expiry, value = process.client.copies.entries.get(name, (0.0, b""))
                if expiry > self.clock.now:
                    allowed = self.allowed(number, key, version, self.clock.now)
                    assert process.client.decode(value) in allowed

    @invariant()
    def size_is_that_of_the_copies(self) -> None:
        for process in self.processes:
            copies = process.client.copies
            entries = copies.entries.items()
            assert copies.size == sum(tiers.weight(name, value) for name, (_, value) in entries)


TestModel = Model.TestCase
TestModel.settings = limits(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
