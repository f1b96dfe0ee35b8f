"""The connection pool: what returns, what does not, and that no request fails because of either."""

import asyncio
import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, connections
from djfast import engine
from djfast.engine.pool import RECENT, LendingPool
from djfast.testing.server import Backends, Environment, Server, Serving

STREAMS = 500
TIMEOUT = 5  # seconds that a request waits for a connection, in the project's settings
SIZE = 8  # connections of a pool, in the project's settings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def site(production: Environment, serving: Serving) -> Iterator[Server]:
    """Run a production server with one process and the views of this folder."""
    here = str(Path(__file__).parent)
    own = {"DJANGO_SETTINGS_MODULE": "streams_settings", "PYTHONPATH": here, "WEB_CONCURRENCY": "1"}
    with serving(production | own) as server:
        yield server


def test_a_hundred_requests_open_no_connection_each(site: Server, backends: Backends) -> None:
    for _ in range(5):
        assert site.get("/count/").status == 200
    before = backends()
    for _ in range(100):
        assert site.get("/count/").status == 200
    # A connection may come back after the next request has begun.
    assert len(backends() | before) <= 3


def test_requests_at_once_share_the_connections_of_the_pool(
    site: Server, backends: Backends
) -> None:
    with ThreadPoolExecutor(32) as visitors:
        pages = list(visitors.map(lambda _: site.get("/count/").status, range(400)))
    assert set(pages) == {200}
    assert len(backends()) <= SIZE


def test_connections_in_threads_of_a_view_fail_nobody(site: Server, backends: Backends) -> None:
    for _ in range(10):
        assert site.get("/threads/").status == 200
    start = time.monotonic()
    assert site.get("/count/").status == 200
    assert site.get("/health/ready/").status == 200
    assert time.monotonic() - start < 5


def test_a_failed_transaction_is_rolled_back_before_its_connection_is_used_again(
    site: Server, backends: Backends
) -> None:
    for _ in range(3):
        assert site.get("/locked/").status == 500
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert other.execute(query).fetchone() == (0,)
    assert site.get("/count/").status == 200


async def open_streams(port: int, number: int) -> list[asyncio.StreamWriter]:
    """Open streams, and read the first line of each."""

    async def one() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert b" 200 " in head.partition(b"\r\n")[0], head
        await asyncio.wait_for(reader.readuntil(b"\n"), 60)
        return writer

    found: list[asyncio.StreamWriter] = []
    for _ in range(number // 50):
        found += await asyncio.gather(*[one() for _ in range(50)])
    return found


def test_five_hundred_idle_streams_hold_no_connection(site: Server, backends: Backends) -> None:
    async def run() -> None:
        writers = await open_streams(site.port, STREAMS)
        assert len(writers) == STREAMS
        assert len(await asyncio.to_thread(backends)) <= SIZE
        start = time.monotonic()
        for path in ("/count/", "/threads/", "/count/", "/health/ready/"):
            assert (await asyncio.to_thread(site.get, path)).status == 200
        assert time.monotonic() - start < 8
        for writer in writers:
            writer.close()

    asyncio.run(run())
    assert site.get("/count/").status == 200


def test_more_long_waits_than_connections_fail_nobody(site: Server) -> None:
    with ThreadPoolExecutor(40) as visitors:
        waits = [visitors.submit(site.get, "/waiting/") for _ in range(3 * SIZE)]
        time.sleep(RECENT + 0.3)
        start = time.monotonic()
        assert site.get("/count/").status == 200
        assert time.monotonic() - start < TIMEOUT + 1
        assert {one.result().status for one in waits} == {200}


def test_a_stream_keeps_the_connection_of_its_cursor(site: Server) -> None:
    users: Any = get_user_model().objects
    made = [users.create(username=f"user {number}").pk for number in range(9)]
    assert [int(pk) for pk in site.get("/rows/").body.split()] == made


@pytest.fixture
def pool() -> Iterator[LendingPool]:
    """Return a pool of two connections to the test database."""
    options = connection.settings_dict["OPTIONS"]
    given = options.get("pool")
    options["pool"] = {"max_size": 2, "timeout": 0.3}
    pool = LendingPool(connection)
    yield pool
    pool.close()
    options["pool"] = given


def test_a_connection_is_used_again_and_an_idle_one_that_was_ended_is_not(
    pool: LendingPool,
) -> None:
    first = pool.getconn()
    pid = first.info.backend_pid
    pool.putconn(first)
    assert pool.getconn() is first
    pool.putconn(first)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    time.sleep(0.1)
    second = pool.getconn()
    assert second.execute("SELECT 1").fetchone() == (1,)
    assert second is not first


def test_a_full_pool_delays_and_then_opens_one_more(pool: LendingPool) -> None:
    lent = [pool.getconn(), pool.getconn()]
    start = time.monotonic()
    third = pool.getconn()
    assert 0.2 < time.monotonic() - start < RECENT
    for one in (*lent, third):
        pool.putconn(one)
    assert len(pool.idle) == 2


def test_a_waiting_request_gets_the_connection_that_comes_back(pool: LendingPool) -> None:
    pool.timeout = 5
    lent = [pool.getconn(), pool.getconn()]
    threading.Timer(0.1, pool.putconn, lent[:1]).start()
    assert pool.getconn() is lent[0]


def test_a_dropped_connection_is_forgotten_and_closed(pool: LendingPool) -> None:
    pid = pool.getconn().info.backend_pid
    gc.collect()
    assert len(pool.lent) == 0
    time.sleep(0.2)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        assert cursor.fetchone() == (0,)


def work(number: int) -> str:
    """Write and read in a forked process; return "ok" or what went wrong."""
    try:
        users: Any = get_user_model().objects
        names = [users.create(username=f"{os.getpid()} {number} {i}").username for i in range(5)]
        found = all(users.filter(username=name).count() == 1 for name in names)
    except Exception as error:
        return repr(error)
    return "ok" if found else "wrong"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_uses_no_connection_of_its_parent(backends: Backends) -> None:
    assert get_user_model().objects.count() == 0
    connections.close_all()
    with multiprocessing.get_context("fork").Pool(4) as processes:
        assert processes.map_async(work, range(24), chunksize=1).get(60) == ["ok"] * 24
    assert get_user_model().objects.count() == 120


def test_the_module_is_active_and_its_pool_in_place() -> None:
    assert engine.active("pool")
    assert settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] == SIZE
