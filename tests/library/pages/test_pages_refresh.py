"""Stale pages, single-flight locks, invalidation and outages, with a real Redis, threads and loops."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pages_site
import pytest
from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from djfast.cache import pages
from djfast.cache.pages import middleware, store
from djfast.cache.pages.store import page_store
from pages_site import FILLING, another_process, behaviour, expire_life, get, rendered

UNREACHABLE = {"LOCATION": "redis://127.0.0.1:1/0", "KEY_PREFIX": "x"}


def counting(delay: float = 0.0) -> tuple[Callable[[HttpRequest], HttpResponse], list[int]]:
    """Return a view that shows how often it was called, and the list of its calls."""
    calls: list[int] = []

    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        number = len(calls)
        time.sleep(delay)
        return HttpResponse(f"{number} {FILLING}")

    return view, calls


# Stale pages --------------------------------------------------------------------------------------


def test_a_stale_page_is_served_while_one_request_refreshes_it() -> None:
    get("/any/x")
    (fresh,) = caches["pages"].keys("*.fresh")  # type: ignore[attr-defined]
    caches["pages"].set(fresh, 0, 30)  # as if another request refreshed the page
    page_store.copies.discard()  # as after a second
    assert get("/any/x") == b"<p>1 /any/x"
    caches["pages"].delete(fresh)
    page_store.copies.discard()
    assert get("/any/x") == b"<p>2 /any/x"
    assert get("/any/x") == b"<p>2 /any/x"


def test_a_stale_page_survives_errors_of_the_view_but_not_its_end() -> None:
    client = Client(raise_request_exception=False)
    assert client.get("/fails/").status_code == 200
    expire_life()
    assert client.get("/fails/").status_code == 500  # the request that refreshes
    for _ in range(3):
        assert client.get("/fails/").status_code == 200
    assert len(rendered) == 2
    pages_site.reset()
    assert client.get("/gone/").status_code == 200
    expire_life()
    assert client.get("/gone/").status_code == 404
    assert client.get("/gone/").status_code == 404


@pytest.mark.parametrize("status", [304, 403, 429])
def test_a_page_that_one_visitor_is_refused_stays_cached_for_the_others(status: int) -> None:
    assert Client().get("/with-status/").status_code == 200
    expire_life()
    behaviour.status = status
    assert Client().get("/with-status/").status_code == status
    assert Client().get("/with-status/").status_code == 200
    assert len(rendered) == 2


def test_after_a_failed_refresh_another_request_may_try_within_a_second() -> None:
    client = Client(raise_request_exception=False)
    client.get("/fails/")
    expire_life()
    assert client.get("/fails/").status_code == 500
    cache: Any = caches["pages"]
    (fresh,) = cache.keys("*.fresh")
    assert 0 < cache.pttl(fresh) <= store.RETRY * 1000


def test_a_page_is_never_older_than_its_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [0.0]  # seconds
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0], time=time.time)
    monkeypatch.setattr(store, "time", clock)

    def view(request: HttpRequest) -> HttpResponse:
        passed[0] += 100
        return HttpResponse(FILLING)

    pages.PageCacheMiddleware(pages.cached_page(60)(view))(RequestFactory().get("/"))
    cache: Any = caches["pages"]
    (key,) = page_store.copies.entries
    # The page is 100 seconds old when it is stored, and a copy of it may be used a second longer.
    assert 490 < cache.ttl(key) <= 600 - 100 - store.COPY


# Copies in the process ----------------------------------------------------------------------------


def test_a_process_reads_a_page_from_redis_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    get("/any/x")
    page_store.copies.discard()
    reads: list[int] = []
    cache: Any = caches["pages"]
    get_many = cache.get_many
    monkeypatch.setattr(cache, "get_many", lambda *keys: reads.append(1) or get_many(*keys))
    for _ in range(5):
        get("/any/x")
    assert len(reads) == 1


def test_the_memory_for_copies_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LIMIT", 50_000)
    for number in range(100):
        get(f"/any/{number}")
        sizes = [page["size"] for _, page in page_store.copies.entries.values()]
        assert sum(sizes) == page_store.copies.size <= 50_000
    assert threading.active_count() < 50


# Single-flight locks ------------------------------------------------------------------------------


def test_concurrent_requests_for_a_new_page_render_it_once() -> None:
    together = threading.Barrier(4)
    behaviour.delay = 0.1

    def request(_: int) -> bytes:
        client = Client()
        together.wait()
        return client.get("/any/x").content

    with ThreadPoolExecutor(4) as pool:
        assert len({*pool.map(request, range(4))}) == 1
    assert len(rendered) == 1


@pytest.mark.parametrize("threads", [2, 8])
def test_two_processes_of_many_threads_refresh_a_page_once(threads: int) -> None:
    view, calls = counting(delay=0.05)
    sites = [
        package["pages"].PageCacheMiddleware(package["pages"].cached_page(0.5, hard=60)(view))
        for package in ({"pages": pages}, another_process())
    ]

    def request(number: int) -> int:
        return int(sites[number % 2](RequestFactory().get("/")).content.split()[0])

    with ThreadPoolExecutor(2 * threads) as pool:
        first = [*pool.map(request, range(2 * threads))]
        assert len(calls) <= 2  # one for each process, at most
        before = len(calls)
        for turn in range(2):
            time.sleep(1.7)
            words = [*pool.map(request, range(2 * threads))]
            assert len(calls) == before + 1 + turn
            assert words.count(max(words)) == 1  # the others were served the stale page
    assert max(first) <= 2


def test_a_view_that_ends_its_thread_releases_the_lock() -> None:
    class Stop(BaseException):
        pass

    def stop(request: Any) -> HttpResponse:
        raise Stop

    site = pages.PageCacheMiddleware(pages.cached_page(60)(stop))
    for _ in range(2):
        request = RequestFactory().get("/")
        request.COOKIES = {"a": "b"}
        with pytest.raises(Stop):
            site(request)
        assert request.COOKIES == {"a": "b"}
    assert not page_store.in_flight


def test_an_expired_lock_is_removed() -> None:
    lock = store.SingleFlightLock()
    lock.expiry = 0.0
    page_store.in_flight["old"] = lock
    get("/any/x")
    assert not page_store.in_flight


def test_waiters_for_a_page_that_takes_too_long_render_it_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "WAIT", 0.1)
    behaviour.delay = 0.5
    with ThreadPoolExecutor(2) as pool:
        assert {word[:3] for word in pool.map(get, ["/any/x"] * 2)} == {b"<p>"}
    assert len(rendered) == 2
    assert not page_store.in_flight


def test_nobody_waits_for_a_page_that_cannot_be_stored() -> None:
    both = threading.Barrier(2, timeout=2)  # seconds
    alone = True

    def view(request: Any) -> HttpResponse:
        return HttpResponse(str(alone or both.wait() >= 0), headers={"Cache-Control": "private"})

    site = pages.PageCacheMiddleware(pages.cached_page(60)(view))
    site(RequestFactory().get("/"))
    alone = False
    with ThreadPoolExecutor(2) as pool:
        responses = [*pool.map(site, [RequestFactory().get("/") for _ in range(2)])]
    assert [response.content for response in responses] == [b"True"] * 2


def test_nobody_waits_where_nothing_is_stored(settings: Any) -> None:
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    settings.CACHES = settings.CACHES | {"pages": dummy}
    both = threading.Barrier(2, timeout=2)  # seconds

    def view(request: Any) -> HttpResponse:
        return HttpResponse(str(both.wait() >= 0))

    site = pages.PageCacheMiddleware(pages.cached_page(60)(view))
    with ThreadPoolExecutor(2) as pool:
        responses = [*pool.map(site, [RequestFactory().get("/") for _ in range(2)])]
    assert [response.content for response in responses] == [b"True"] * 2


# Invalidation -------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_invalidated_page_is_rendered_again() -> None:
    get("/any/x")
    cookie = Client().get("/change/").cookies["djfast_fresh"]
    assert (cookie.value, cookie["max-age"], cookie["httponly"]) == ("1", 2, True)
    assert get("/any/x") == b"<p>3 /any/x"


def test_a_page_is_not_stored_while_a_tag_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an invalidation and an eviction of the tag, it would be valid again."""
    monkeypatch.setattr(page_store, "create_versions", lambda entry: None)
    get("/any/x")
    assert get("/any/x") == b"<p>2 /any/x"


def test_a_client_that_has_changed_something_is_served_no_copies() -> None:
    view, _ = counting()
    other = another_process()["pages"]
    site = other.PageCacheMiddleware(other.cached_page(60, tags=["t"])(view))
    factory = RequestFactory()
    assert site(factory.get("/")).content[:2] == b"1 "
    page_store.invalidate({"t"})
    assert site(factory.get("/")).content[:2] == b"1 "  # for a second
    factory.cookies["djfast_fresh"] = "1"
    assert site(factory.get("/")).content[:2] == b"2 "
    del factory.cookies["djfast_fresh"]
    assert site(factory.get("/")).content[:2] == b"2 "


# Outages ------------------------------------------------------------------------------------------


def test_redis_is_not_asked_while_it_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_store, "offline_until", time.monotonic() + 10)
    cache: Any = caches["pages"]
    for method in ("add", "get", "get_many", "set", "delete_many"):
        monkeypatch.setattr(cache, method, None)
    assert Client().get("/any/x").status_code == 200
    assert Client().get("/token/").status_code == 200


def test_without_redis_each_process_renders_a_page_once() -> None:
    unreachable = settings.CACHES["default"] | UNREACHABLE
    with override_settings(CACHES=settings.CACHES | {"pages": unreachable}):
        for package in (pages, another_process()["pages"]):
            view, calls = counting(delay=0.05)
            site = package.PageCacheMiddleware(package.cached_page(2)(view))  # type: ignore[attr-defined]
            with ThreadPoolExecutor(8) as pool:
                for turn in range(2):
                    end = time.monotonic() + 1.5
                    while time.monotonic() < end:
                        requests = [RequestFactory().get("/") for _ in range(16)]
                        responses = pool.map(site, requests)
                        assert {response.status_code for response in responses} == {200}
                    assert len(calls) == 1 + turn
                    time.sleep(0.6)


def test_an_invalidation_during_an_outage_is_sent_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    view, _ = counting()
    reachable, unreachable = settings.CACHES, dict(settings.CACHES)
    unreachable["pages"] = reachable["default"] | UNREACHABLE
    packages = (pages, another_process()["pages"])
    sites: list[Any] = [
        package.PageCacheMiddleware(package.cached_page(60, tags=["t"])(view))  # type: ignore[attr-defined]
        for package in packages
    ]

    def words(number: int) -> bytes:
        response: HttpResponse = sites[number](RequestFactory().get("/"))
        return response.content[:2]

    assert [words(0), words(1)] == [b"1 ", b"1 "]
    with override_settings(CACHES=unreachable):
        page_store.invalidate({"t"})
        assert page_store.unsent == {"t"}
        assert "tags to be invalidated later: ['t']" in caplog.text
    time.sleep(1.1)
    assert words(1) == b"1 "  # Redis has not received it yet
    words(0)
    assert not page_store.unsent
    time.sleep(1.1)
    assert words(1) == b"2 "


# Event loops --------------------------------------------------------------------------------------


async def slowest_step(tasks: list[Any]) -> float:
    """Return the longest time in seconds that the event loop was blocked until the tasks ended."""
    gaps, last = [0.0], time.perf_counter()
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.005)
        gaps.append(time.perf_counter() - last)
        last = time.perf_counter()
    return max(gaps)


@pytest.mark.parametrize("url", ["/async/", "/async-class/", "/async-method/", "/any/x"])
def test_an_event_loop_is_not_blocked_and_a_page_is_rendered_once(url: str) -> None:
    get("/user/")  # the first request imports modules
    rendered.clear()
    behaviour.delay = 0.5

    async def run() -> tuple[list[Any], float]:
        count = 1 if url == "/any/x" else 8  # AsyncClient has one thread for all sync views
        tasks = [asyncio.create_task(AsyncClient().get(url)) for _ in range(count)]  # type: ignore[arg-type]
        gap = await slowest_step(tasks)
        return [*[task.result() for task in tasks], await AsyncClient().get(url)], gap

    responses, gap = asyncio.run(run())
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len(rendered) == 1
    assert gap < 0.4


def test_a_slow_redis_does_not_block_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = middleware.look_up
    slow: Any = lambda *a, **k: (time.sleep(0.3), look_up(*a, **k))[1]  # noqa: E731
    monkeypatch.setattr(middleware, "look_up", slow)

    async def view(request: Any) -> HttpResponse:
        return HttpResponse(FILLING)

    async def run() -> float:
        site = pages.PageCacheMiddleware(pages.cached_page(60)(view))
        return await slowest_step([asyncio.create_task(site(AsyncRequestFactory().get("/")))])

    assert asyncio.run(run()) < 0.25


@pytest.mark.parametrize("moment", ["look_up", "view", "other middleware", "end"])
def test_a_client_that_disconnects_releases_the_lock(
    monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    inside = threading.Event()

    def slow(function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            inside.set()
            time.sleep(0.2)
            return function(*args, **kwargs)

        return wrapped

    async def view(request: Any) -> HttpResponse:
        inside.set()
        await asyncio.sleep(0.2 if moment == "view" else 0)
        return HttpResponse(FILLING)

    cached_view = pages.cached_page(60)(view)

    async def below(request: Any) -> HttpResponse:
        response: HttpResponse = await cached_view(request)
        await asyncio.sleep(0.2 if moment == "other middleware" else 0)
        return response

    async def run() -> None:
        site = pages.PageCacheMiddleware(below)
        task = asyncio.create_task(site(AsyncRequestFactory().get("/")))
        while not inside.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.4)  # until the thread has finished
        assert not page_store.in_flight

    if moment == "look_up":
        monkeypatch.setattr(middleware, "look_up", slow(middleware.look_up))
    if moment == "end":
        end = pages.PageCacheMiddleware.end
        monkeypatch.setattr(pages.PageCacheMiddleware, "end", slow(end))
    asyncio.run(run())
