"""The two-tier cache in bytes, and under threads, processes and forks."""

import gc
import os
import random
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from djfast.cache import tiers
from djfast.cache.copies import Copies
from tiers_cache import ALIAS, LIFE, OPTIONS, TIERED

# Bytes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 40, 500, 4000, 60_000, 900_000])
def test_the_memory_in_use_stays_within_the_limit(size: int) -> None:
    limit = 4 * 2**20
    gc.collect()
    tracemalloc.start()
    try:
        copies, most = Copies[bytes](tiers.weight), 0
        base, _ = tracemalloc.get_traced_memory()
        for number in range(3 * limit // (size + 400)):
            name = f"redis://127.0.0.1:6379/0?db=0 shop-pages:1:{number:040d}"
            copies.put({name: random.randbytes(size)}, 0, 100.0 + number / 1e9, LIFE, limit)
            most = max(most, tracemalloc.get_traced_memory()[0] - base)
        assert most <= limit
        assert most >= limit / 3  # not much less: the rest is for the next copy
    finally:
        tracemalloc.stop()


def test_expired_copies_are_removed_with_the_next_read() -> None:
    copies = Copies(tiers.weight)
    for number in range(1000):
        copies.put({f"name {number}": b"x" * 1000}, 0, 100.0, LIFE, tiers.LIMIT)
    assert len(copies.entries) == 1000
    copies.put({"new": b"x"}, 0, 100.0 + LIFE, LIFE, tiers.LIMIT)
    assert list(copies.entries) == ["new"]
    assert copies.size == tiers.weight("new", b"x")


def test_the_least_recently_used_copy_is_evicted_first() -> None:
    copies, limit = Copies(tiers.weight), 3 * tiers.weight("a", b"x")
    for name in "abc":
        copies.put({name: b"x"}, 0, 100.0, LIFE, limit)
    assert copies.get(["a"], 100.0) == [b"x"]
    copies.put({"d": b"x"}, 0, 100.0, LIFE, limit)
    assert copies.get(["a", "b", "c", "d"], 100.0) == [b"x", None, b"x", b"x"]


def test_a_value_above_the_limit_evicts_nothing() -> None:
    copies = Copies(tiers.weight)
    copies.put({"a": b"x"}, 0, 100.0, LIFE, 10_000)
    copies.put({"b": b"x" * 10_001}, 0, 100.0, LIFE, 10_000)
    assert copies.get(["a", "b"], 100.0) == [b"x", None]


def test_an_older_response_does_not_replace_a_newer_one() -> None:
    copies = Copies(tiers.weight)
    copies.put({"a": b"new"}, 0, 100.5, LIFE, 10_000)
    copies.put({"a": b"old"}, 0, 100.0, LIFE, 10_000)
    assert copies.get(["a"], 100.6) == [b"new"]


def test_the_limit_of_an_alias_holds_for_its_copies(cache: Any) -> None:
    limit = 20_000  # bytes
    small = TIERED | {"OPTIONS": OPTIONS | {"LOCAL_BYTES": limit}}
    with override_settings(CACHES=settings.CACHES | {ALIAS: small}):
        for number in range(50):
            caches[ALIAS].set(f"key {number}", "x" * 1000)
            caches[ALIAS].get(f"key {number}")
        assert limit / 2 < tiers.COPIES.size <= limit


# Threads, processes, forks ----------------------------------------------------------------------


def test_threads_see_their_own_and_each_others_writes(cache: Any) -> None:
    """Each key is a counter: a thread that knows of a write reads no older value."""
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
                    found["value"] = -1  # no other thread sees that

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
options = settings.CACHES["default"]["OPTIONS"] | {"CLIENT_CLASS": "djfast.cache.tiers.TieredClient"}
settings.CACHES["default"] |= {"KEY_PREFIX": sys.argv[2], "OPTIONS": options}
django.setup()
"""


def test_another_process_sees_a_write_after_a_second_at_most(cache: Any) -> None:
    """The processes of a machine share its monotonic clock."""
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
            assert cache.get("counter") == value  # its own write
        seen = json.loads(reader.stdout.read())
    when = {value: at for at, value in seen}
    assert list(when) == sorted(when)
    assert len(seen) == len(when)  # never an older value after a newer one
    assert len(when) < len(written)  # it has read copies
    for at, value in written:
        later = [seen_at for seen_value, seen_at in when.items() if seen_value >= value]
        if later:
            assert min(later) - at <= LIFE + 0.25  # seconds: the machine may be busy


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_starts_without_copies_and_with_a_free_lock(cache: Any) -> None:
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
            pytest.fail("the child waits for a lock that is never released")
    assert os.waitstatus_to_exitcode(status) == 0
    assert cache.get("key") == 1
