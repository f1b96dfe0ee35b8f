"""The page cache against a model: two processes, a Redis with its own clock, writers, outages, clock steps.

A process is a second copy of the package. All time is simulated: one true time, which Redis and the
monotonic clocks follow, and for each process a system clock that is set at will.
"""

import json
import pickle
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings
from djfast.cache.pages.store import COPY, RETRY
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pages_site import another_process

LIFE, HARD = 4, 20  # seconds
TAGS = ("a", "b")


class World:
    """True time, and Redis: values with an expiry, as django-redis shows them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.down = False
        self.data: dict[str, tuple[float, bytes]] = {}

    def read(self, key: str) -> Any:
        expiry, value = self.data.get(key, (0.0, b""))
        return pickle.loads(value) if self.now < expiry else None


class Redis(BaseCache):
    """A cache backend that ignores exceptions, like django-redis by our settings."""

    def __init__(self, world: World) -> None:
        super().__init__({})
        self.world = world

    def set(self, key: str, value: Any, timeout: float) -> bool | None:  # type: ignore[override]
        if self.world.down:
            return None
        assert timeout > 0
        self.world.data[key] = self.world.now + timeout, pickle.dumps(value)
        return True

    def add(self, key: str, value: Any, timeout: float) -> bool | None:  # type: ignore[override]
        if self.world.down:
            return None
        return self.world.read(key) is None and self.set(key, value, timeout)

    def get_many(self, keys: Any) -> dict[str, Any]:  # type: ignore[override]
        if self.world.down:
            return {}
        return {key: value for key in keys if (value := self.world.read(key)) is not None}

    def set_many(self, values: dict[str, Any], timeout: float) -> None:  # type: ignore[override]
        for key, value in values.items():
            self.set(key, value, timeout)

    def delete_many(self, keys: Any) -> None:  # type: ignore[override]
        if not self.world.down:
            for key in keys:
                self.world.data.pop(key, None)


class Process:
    """A copy of the package, with a cached view."""

    def __init__(self, world: World, number: int, view: Any) -> None:
        modules: dict[str, Any] = another_process()
        self.step = 0.0  # seconds that the system clock is wrong
        modules["store"].logger = SimpleNamespace(error=lambda *words: None)
        modules["store"].time = SimpleNamespace(
            monotonic=lambda: world.now - 900 + number, time=lambda: world.now + self.step
        )
        modules["store"].caches = {"pages": Redis(world)}
        modules["key"].build = lambda: "release"
        modules["middleware"].transaction = SimpleNamespace(on_commit=lambda run, **_: run())
        self.invalidate = modules["pages"].invalidate
        self.store = modules["store"].page_store
        decorate = modules["pages"].cached_page(
            LIFE, hard=HARD, tags=lambda request, tag: [tag], query=["q"]
        )
        # Each request decorates the view again; the policy is that of the decorator.
        self.site = modules["pages"].PageCacheMiddleware(
            lambda request: decorate(view)(request, request.path.strip("/"))
        )

    def get(self, tag: str, number: int, noise: int, fresh: bool) -> HttpResponse:
        request = RequestFactory().get(f"/{tag}/", {"q": number, "utm": noise})
        request.COOKIES = {"x": "y", **({"djfast_fresh": "1"} if fresh else {})}
        response: HttpResponse = self.site(request)
        return response


class PageCache(RuleBasedStateMachine):
    """Visitors and writers at two processes; each response is checked against what is allowed."""

    @initialize()
    def start(self) -> None:
        self.world = World()
        self.value = dict.fromkeys(TAGS, 0)
        self.renders: list[tuple[str, Any]] = []
        self.during: Any = None  # what happens while a view renders
        self.fails = False
        self.processes = [Process(self.world, number, self.view) for number in range(2)]
        self.own: dict[tuple[str, int], int] = {}  # the value that the process has written
        self.received: list[tuple[float, str, int]] = []  # when Redis received which invalidation
        self.unsent: list[tuple[int, str, int]] = []  # of which process

    def view(self, request: HttpRequest, tag: str) -> HttpResponse:
        number = request.GET["q"]
        self.renders.append((tag, number))
        assert "utm" not in request.GET
        assert not request.COOKIES
        began, value = self.world.now, self.value[tag]
        if self.during:
            self.during()
        if self.fails:
            return HttpResponse(status=500)
        return HttpResponse(json.dumps({"tag": tag, "q": number, "value": value, "read": began}))

    def write(self, tag: str, by: int) -> None:
        """Change a value, invalidate its tag, and record from when on others have to see it."""
        self.value[tag] += 1
        process = self.processes[by]
        process.invalidate(tag)
        self.own[tag, by] = self.value[tag]
        if tag in process.store.unsent:
            self.unsent.append((by, tag, self.value[tag]))
        else:
            self.received.append((self.world.now, tag, self.value[tag]))

    def request(self, by: int, tag: str, number: int, noise: int, fresh: bool) -> None:
        """Request a page from a process, and check it."""
        before, oldest = len(self.renders), self.oldest(by, tag, fresh)
        response = self.processes[by].get(tag, number, noise, fresh)
        self.record_sent()
        if response.status_code == 500:
            assert self.fails
            assert len(self.renders) == before + 1
            return
        page = json.loads(response.content)
        assert (page["tag"], page["q"]) == (tag, str(number))
        assert self.world.now - page["read"] <= HARD
        assert page["value"] >= oldest, (page, oldest)
        if len(self.renders) == before and not self.world.down:
            assert int(response.headers["Age"]) >= 0

    def oldest(self, by: int, tag: str, fresh: bool) -> int:
        """Return the oldest value that this visitor may be shown now."""
        wait = 0 if fresh else COPY
        values = [v for when, t, v in self.received if t == tag and when + wait <= self.world.now]
        if self.world.down:  # an invalidation during an outage affects only its own process
            values = []
        return max([0, self.own.get((tag, by), 0), *values])

    def record_sent(self) -> None:
        """Record which invalidations Redis has received late."""
        for entry in [*self.unsent]:
            by, tag, value = entry
            if tag not in self.processes[by].store.unsent:
                self.unsent.remove(entry)
                self.received.append((self.world.now, tag, value))

    processes_ = st.integers(0, 1)
    tags = st.sampled_from(TAGS)

    @rule(
        by=processes_, tag=tags, number=st.integers(0, 1), noise=st.integers(), fresh=st.booleans()
    )
    def get(self, by: int, tag: str, number: int, noise: int, fresh: bool) -> None:
        self.request(by, tag, number, noise, fresh)

    @rule(by=processes_, tag=tags)
    def invalidate(self, by: int, tag: str) -> None:
        self.write(tag, by)

    @rule(by=processes_, writer=processes_, tag=tags, pause=st.sampled_from([0.0, 0.5, 3.0, 40.0]))
    def get_while_it_changes(self, by: int, writer: int, tag: str, pause: float) -> None:
        def during() -> None:
            self.during = None
            self.world.now += pause
            self.write(tag, writer)
            self.world.now += pause

        self.during = during
        response = self.processes[by].get(tag, 0, 0, False)
        self.during = None
        self.record_sent()
        assert response.status_code in (200, 500)
        self.world.now += 0.01
        self.request(writer, tag, 0, 0, False)
        self.request(1 - writer, tag, 0, 0, True)

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.1, 3.0, 4.1, 12.0, 19.5, 25.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(by=processes_, step=st.floats(-1e6, 1e6))
    def set_the_system_clock(self, by: int, step: float) -> None:
        self.processes[by].step = step

    @rule()
    def redis_fails(self) -> None:
        self.world.down = True

    @precondition(lambda self: self.world.down)
    @rule()
    def redis_recovers(self) -> None:
        self.world.down = False

    @precondition(lambda self: self.world.data)
    @rule(choose=st.data())
    def evict(self, choose: st.DataObject) -> None:
        key = choose.draw(st.sampled_from(sorted(self.world.data)))
        self.world.data.pop(key)

    @rule(fails=st.booleans())
    def fault(self, fails: bool) -> None:
        self.fails = fails

    @precondition(lambda self: not self.world.down and not self.fails)
    @rule(by=processes_, tag=tags)
    def become_stale(self, by: int, tag: str) -> None:
        """Of all requests for a stale page, exactly one renders it."""
        self.world.now += RETRY + COPY + 0.1  # earlier attempts are over
        for process in (by, 1 - by):
            self.request(process, tag, 0, 0, False)
        self.world.now += LIFE + COPY + 0.1
        if any(process.store.unsent for process in self.processes):
            return
        before = len(self.renders)
        for process in (by, 1 - by, by, 1 - by):
            self.request(process, tag, 0, 0, False)
        assert len(self.renders) == before + 1
        self.world.now += LIFE - COPY - 0.2
        for process in (by, 1 - by):
            self.request(process, tag, 0, 0, False)
        assert len(self.renders) == before + 1

    @precondition(lambda self: self.world.down and not self.fails)
    @rule(tag=tags)
    def become_stale_without_redis(self, tag: str) -> None:
        """While Redis is unreachable, each process renders a page once in its life."""
        for process in (0, 1):
            self.world.now += LIFE + 2 * COPY
            before = len(self.renders)
            for _ in range(4):
                self.request(process, tag, 0, 0, False)
                self.world.now += 0.9
            assert len(self.renders) <= before + 1

    @invariant()
    def no_single_flight_lock_is_left(self) -> None:
        assert not any(process.store.in_flight for process in getattr(self, "processes", []))


TestPageCache = pytest.mark.usefixtures("any_host")(PageCache.TestCase)
TestPageCache.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def any_host() -> Iterator[None]:
    with override_settings(ALLOWED_HOSTS=["*"]):
        yield
