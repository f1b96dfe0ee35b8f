"""The page cache against a model: two processes, a Redis with its own clock, writers, outages, clock steps.

A process is a second copy of the module. All time is simulated: one true time, which Redis and the
monotonic clocks follow, and for each process a wall clock that is set at will.
"""

import importlib.util
import json
import pickle
import sys
import types
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from speed import pages

LIFE, HARD = 4, 20  # seconds
TAGS = ("a", "b")


class World:
    """True time, and Redis: plain values with an end, as django-redis shows them."""

    def __init__(self) -> None:
        self.now, self.down, self.data = 1000.0, False, {}

    def read(self, key: str) -> Any:
        until, value = self.data.get(key, (0.0, b""))
        return pickle.loads(value) if self.now < until else None


class Redis(BaseCache):
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
    """A copy of the module, with the view that it caches."""

    def __init__(self, world: World, number: int, view: Any) -> None:
        spec = importlib.util.spec_from_file_location(f"pages_{number}", pages.__file__)
        self.module: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        sys.modules[spec.name] = self.module  # type: ignore[union-attr]
        spec.loader.exec_module(self.module)  # type: ignore[union-attr]
        self.module.logger.disabled = True
        self.step = 0.0
        self.module.time = types.SimpleNamespace(
            monotonic=lambda: world.now - 900 + number, time=lambda: world.now + self.step
        )
        self.module.caches = {"pages": Redis(world)}
        self.module.build = lambda: "build"
        self.module.transaction = types.SimpleNamespace(on_commit=lambda run, **_: run())
        kept = self.module.cached_page(
            LIFE, hard=HARD, tags=lambda request, tag: [tag], query=["q"]
        )
        self.site = self.module.PageCacheMiddleware(
            lambda request: kept(view)(request, request.path.strip("/"))
        )
        # Each call of kept() shares one policy, as one decorated view does.

    def get(self, tag: str, number: int, noise: int, fresh: bool) -> HttpResponse:
        request = RequestFactory().get(f"/{tag}/", {"q": number, "utm": noise})
        request.COOKIES = {"x": "y", **({"fresh": "1"} if fresh else {})}
        answer: HttpResponse = self.site(request)
        return answer


class Cache(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.value = dict.fromkeys(TAGS, 0)
        self.renders: list[tuple[str, int]] = []
        self.during: Any = None  # what happens while a view renders
        self.fails = False

        def view(request: Any, tag: str) -> HttpResponse:
            self.renders.append((tag, request.GET["q"]))
            assert "utm" not in request.GET
            assert not request.COOKIES
            began, value = self.world.now, self.value[tag]
            if self.during:
                self.during()
            if self.fails:
                return HttpResponse(status=500)
            said = {"tag": tag, "q": request.GET["q"], "value": value, "read": began}
            return HttpResponse(json.dumps(said))

        self.processes = [Process(self.world, number, view) for number in range(2)]
        # By tag and process: no page that was read before may be seen after that moment.
        self.seen = {(tag, p): -1.0 for tag in TAGS for p in range(2)}
        self.told = dict.fromkeys(TAGS, -1.0)  # when Redis was told
        self.told_by: dict[str, dict[int, float]] = {tag: {} for tag in TAGS}
        self.order = 0

    def write(self, tag: str, by: int) -> None:
        """Change a value and invalidate; remember that everybody has to know soon."""
        self.value[tag] += 1
        self.processes[by].module.invalidate(tag)
        self.own[tag, by] = self.value[tag]
        if tag not in self.processes[by].module.lost:
            self.known.append((self.world.now, tag, self.value[tag]))
        else:
            self.unknown.append((by, tag, self.value[tag]))

    @initialize()
    def nothing_known(self) -> None:
        self.own: dict[tuple[str, int], int] = {}  # value that the process itself must know
        self.known: list[tuple[float, str, int]] = []  # when Redis was told of which value
        self.unknown: list[tuple[int, str, int]] = []

    def ask(self, by: int, tag: str, number: int, noise: int, fresh: bool) -> None:
        before, floor = len(self.renders), self.floor(by, tag, fresh)
        answer = self.processes[by].get(tag, number, noise, fresh)
        self.heal()
        if answer.status_code == 500:
            assert self.fails
            assert len(self.renders) == before + 1
            return
        said = json.loads(answer.content)
        assert (said["tag"], said["q"]) == (tag, str(number))
        assert self.world.now - said["read"] <= HARD
        assert said["value"] >= floor, (said, floor)
        if len(self.renders) == before and not self.world.down:
            age = int(answer.headers["Age"])
            assert age >= 0

    def floor(self, by: int, tag: str, fresh: bool) -> int:
        """Return the oldest value that this visitor may see now."""
        wait = 0 if fresh else pages.COPY
        known = [v for when, t, v in self.known if t == tag and when + wait <= self.world.now]
        if self.world.down:  # a copy that was made without Redis is known to its process alone
            known = []
        return max([0, self.own.get((tag, by), 0), *known])

    def heal(self) -> None:
        for entry in [*self.unknown]:
            by, tag, value = entry
            if tag not in self.processes[by].module.lost:
                self.unknown.remove(entry)
                self.known.append((self.world.now, tag, value))

    processes_ = st.integers(0, 1)
    tags = st.sampled_from(TAGS)

    @rule(
        by=processes_, tag=tags, number=st.integers(0, 1), noise=st.integers(), fresh=st.booleans()
    )
    def get(self, by: int, tag: str, number: int, noise: int, fresh: bool) -> None:
        self.ask(by, tag, number, noise, fresh)

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
        answer = self.processes[by].get(tag, 0, 0, False)
        self.during = None
        self.heal()
        assert answer.status_code in (200, 500)
        self.world.now += 0.01
        self.ask(writer, tag, 0, 0, False)
        self.ask(1 - writer, tag, 0, 0, True)

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.1, 3.0, 4.1, 12.0, 19.5, 25.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(by=processes_, step=st.floats(-1e6, 1e6))
    def set_the_clock(self, by: int, step: float) -> None:
        self.processes[by].step = step

    @rule(down=st.booleans())
    def redis(self, down: bool) -> None:
        self.world.down = down

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
    def expire_softly(self, by: int, tag: str) -> None:
        """All ask a page that is old: exactly one makes it."""
        self.world.now += pages.RETRY + pages.COPY + 0.1  # whatever came before is over
        for process in (by, 1 - by):
            self.ask(process, tag, 0, 0, False)
        self.world.now += LIFE + pages.COPY + 0.1
        if any(process.module.lost for process in self.processes):
            return
        before = len(self.renders)
        for process in (by, 1 - by, by, 1 - by):
            self.ask(process, tag, 0, 0, False)
        assert len(self.renders) == before + 1
        self.world.now += LIFE - pages.COPY - 0.2
        for process in (by, 1 - by):
            self.ask(process, tag, 0, 0, False)
        assert len(self.renders) == before + 1

    @precondition(lambda self: self.world.down and not self.fails)
    @rule(tag=tags)
    def expire_without_redis(self, tag: str) -> None:
        """While Redis is away, each process makes a page once for its life."""
        for process in (0, 1):
            self.world.now += LIFE + 2 * pages.COPY
            before = len(self.renders)
            for _ in range(4):
                self.ask(process, tag, 0, 0, False)
                self.world.now += 0.9
            assert len(self.renders) <= before + 1

    @invariant()
    def no_flight_is_left(self) -> None:
        assert not any(process.module.flights for process in getattr(self, "processes", []))


TestCache = pytest.mark.usefixtures("simulated")(Cache.TestCase)
TestCache.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def simulated() -> Any:
    with override_settings(ALLOWED_HOSTS=["*"]):
        yield
