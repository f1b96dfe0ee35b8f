"""The harness itself: it finds a difference where there is one, and measures any Django project."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any, ClassVar

import pytest
from djfast_bench import client, projects, timing
from djfast_bench.layering import measured
from djfast_bench.responses import Response, shown

RUNS = 20
ROWS = 60  # among which the probability of an error is divided, as in a whole suite


def noisy(rng: random.Random, seconds: float) -> Callable[[], float]:
    """A batch on a busy machine: 8 % of noise, and one in twelve disturbed by up to three times."""

    def batch() -> float:
        disturbed = rng.uniform(1.2, 3) if rng.random() < 1 / 12 else 1
        return seconds * rng.lognormvariate(0, 0.08) * disturbed

    return batch


def verdicts(factor: float) -> Counter[str]:
    """Measure a side that takes `factor` times as long as the other, RUNS times."""
    found: Counter[str] = Counter()
    for seed in range(RUNS):
        rng = random.Random(seed)
        sides = noisy(rng, factor), noisy(rng, 1)
        found[timing.interleave(*sides, alpha=0.05 / ROWS, seconds=0.5).verdict] += 1
    return found


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "more"), (1 / 1.2, "less"), (0.1, "less")])
def test_a_difference_of_twenty_percent_is_found(factor: float, verdict: str) -> None:
    assert verdicts(factor)[verdict] >= 19


@pytest.mark.parametrize("factor", [1, 1.03, 0.97])
def test_noise_below_the_smallest_effect_is_no_difference(factor: float) -> None:
    found = verdicts(factor)
    assert not found["less"] + found["more"]


def test_an_interval_misses_the_median_no_more_often_than_stated() -> None:
    rng = random.Random(1)
    missed = 0
    for _ in range(1000):
        samples = [rng.expovariate(1) for _ in range(25)]
        low, high = timing.confidence_interval(samples, alpha=0.05)
        missed += not low <= 0.6931 <= high  # the median of this distribution: ln 2
    assert 10 < missed < 60


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_too_few_samples_give_no_interval(alpha: float) -> None:
    least = timing.fewest_samples(alpha)
    timing.confidence_interval([1.0] * least, alpha)
    with pytest.raises(ValueError, match="too few"):
        timing.confidence_interval([1.0] * (least - 1), alpha)


def test_rounds_end_after_their_time_and_may_be_inconclusive() -> None:
    rng = random.Random(1)
    wild = [lambda: rng.lognormvariate(0, 2) for _ in range(2)]
    shares: list[float] = []
    found = timing.interleave(*wild, alpha=0.001, seconds=0.2, tick=shares.append)
    assert found.verdict == "inconclusive"
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_different_results_are_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "interleave", None)
    variants = timing.Variant(lambda: 1), timing.Variant(lambda: 2)
    with pytest.raises(timing.WrongResponse, match="1 is not 2"):
        timing.compare_variants(*variants, alpha=0.05, seconds=1)


def test_the_context_of_a_variant_is_entered_for_each_batch_and_not_timed() -> None:
    entered = []

    @contextmanager
    def slowly() -> Iterator[None]:
        entered.append(True)
        sleep(0.01)
        yield

    found = timing.compare_variants(
        timing.Variant(lambda: sum(range(100)), slowly),
        timing.Variant(lambda: sum(range(100))),
        alpha=0.05,
        seconds=1,
    )
    assert len(entered) > len(found["time"].experiment)
    assert max(found["time"].experiment) < 0.01


def test_memory_is_the_peak_of_one_run() -> None:
    found = timing.compare_variants(
        timing.Variant(lambda: sum(x for x in range(10_000))),
        timing.Variant(lambda: sum(list(range(10_000)))),
        alpha=0.05,
        seconds=1,
    )
    assert found["memory"].verdict == "less"
    assert found["memory"].control[0] > 80_000  # bytes: a list of ten thousand pointers


class Halting(BaseHTTPRequestHandler):
    """Responds at once, except for the first request of the second connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    connections: ClassVar[list[object]] = []

    def do_GET(self) -> None:
        if self.connection not in self.connections:
            self.connections.append(self.connection)
        if self.connections.index(self.connection) == 1:
            sleep(2)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *args: object) -> None:
        pass


def test_a_burst_is_timed_while_all_connections_are_busy() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Halting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        connections = [client.KeepAliveConnection(server.server_port) for _ in range(2)]
        connections[0].get(client.build_request("/"))
        total, *each = client.burst(connections, [client.build_request("/")], 20)
        assert total < 2  # seconds, which one of the requests takes
        assert len(each) == 20
        last = [client.parse(one.get(client.build_request("/last"))).body for one in connections]
        assert last == [b"/last", b"/last"]
        for one in connections:
            one.close()
        server.shutdown()


def page(text: str) -> Response:
    return Response(200, {"content-type": "text/html; charset=utf-8"}, text.encode())


PAGE = '<p>A <a href="/style.0123456789ab.css">b</a></p><input name=csrfmiddlewaretoken value=1>'


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (PAGE.replace(" <a", "\n  <a"), True),
        (PAGE.replace("0123456789ab", "ba9876543210"), True),
        (PAGE.replace("value=1", "value=2"), True),
        (PAGE.partition("<input")[0], True),  # only one side has a CSRF token
        (PAGE + "<script>let other</script>", True),
        (PAGE.replace(">A", ">B"), False),
        (PAGE.replace("/style", "/other"), False),
        (PAGE.replace("p>", "h1>"), False),
    ],
)
def test_pages_are_equal_if_visitors_see_the_same(other: str, equal: bool) -> None:
    assert (shown(page(PAGE)) == shown(page(other))) is equal


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response(500, {}, b""), "the status is 500"),
        (Response(200, {"content-encoding": "zip"}, b""), "unknown Content-Encoding 'zip'"),
    ],
)
def test_an_error_is_no_page(response: Response, reason: str) -> None:
    with pytest.raises(timing.WrongResponse, match=reason):
        shown(response)


SCRATCH = {"DATABASE_URL": "postgresql://app:p%40ss@127.0.0.1:5432/app_bench?sslmode=disable"}
STATIC = {"STATIC_ROOT": "/tmp/static"}
STOCK: dict[str, Any] = {
    "DATABASES": {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path("/shop/db.sqlite3"),
            "CONN_MAX_AGE": 60,
            "OPTIONS": {"timeout": 20},
        }
    },
    "DEBUG": True,
    "INSTALLED_APPS": ["django.contrib.auth"],
}


def test_a_project_that_ignores_the_environment_is_measured_on_the_scratch_database() -> None:
    found = measured(STOCK, SCRATCH | STATIC)
    assert found["DATABASES"]["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "app_bench",
        "USER": "app",
        "PASSWORD": "p@ss",
        "HOST": "127.0.0.1",
        "PORT": 5432,
        "CONN_MAX_AGE": 60,  # as the project has it
        "OPTIONS": {"sslmode": "disable"},
    }
    assert found["DEBUG"] is False
    assert [text.partition(":")[0] for text in found["BENCH_ADDED"]] == [
        "DATABASES",
        "DEBUG",
        "STATIC_ROOT",
    ]


def test_the_engine_and_the_options_of_another_postgresql_are_kept() -> None:
    default = {"ENGINE": "own.postgresql", "NAME": "shop", "OPTIONS": {"pool": True}}
    found = measured({"DATABASES": {"default": default}}, SCRATCH | STATIC)["DATABASES"]["default"]
    assert found["ENGINE"] == "own.postgresql"
    assert found["NAME"] == "app_bench"
    assert found["OPTIONS"] == {"pool": True, "sslmode": "disable"}


def test_a_project_of_the_template_gets_the_workload_and_nothing_else() -> None:
    own = {"DATABASES": {"default": {"NAME": "app_bench"}}, "STATIC_ROOT": "/tmp/static"}
    found = measured(own, SCRATCH | STATIC)
    assert found["BENCH_ADDED"] == []
    assert "DATABASES" not in found
    assert found["INSTALLED_APPS"][-1] == "djfast_bench.workload"


def test_two_sides_share_no_cache_and_no_settings_object() -> None:
    caches = {"default": {"BACKEND": "redis", "KEY_PREFIX": "shop"}}
    sides = [measured({"CACHES": caches}, SCRATCH | STATIC | {"BENCH_SIDE": s}) for s in "lr"]
    prefixes = [side["CACHES"]["default"]["KEY_PREFIX"] for side in sides]
    assert len({*prefixes, "shop"}) == 3
    assert caches["default"]["KEY_PREFIX"] == "shop"


def test_a_default_is_reverted_by_its_row() -> None:
    own = {**STOCK, "MIDDLEWARE": ["django.middleware.http.ConditionalGetMiddleware"]}
    found = measured(own, SCRATCH | STATIC | {"BENCH_REVERT": "conditional GET"})
    assert found["MIDDLEWARE"] == []
    found = measured(own, SCRATCH | STATIC | {"BENCH_REVERT": "engine"})
    assert found["DJFAST_ENGINE"] is False
    with pytest.raises(SystemExit, match="no default: use one of persistent connections"):
        measured(own, SCRATCH | STATIC | {"BENCH_REVERT": "nonsense"})


def test_the_settings_of_a_project_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    with pytest.raises(SystemExit, match=r"is no Django project: it has no manage\.py"):
        projects.settings_module(tmp_path)
    manage = tmp_path / "manage.py"
    manage.write_text("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')", "utf-8")
    assert projects.settings_module(tmp_path) == "shop.settings"
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.other")
    assert projects.settings_module(tmp_path) == "shop.settings"  # it has no such module
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/other.py").touch()
    assert projects.settings_module(tmp_path) == "shop.other"
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    manage.write_text("from shop import main", "utf-8")
    with pytest.raises(SystemExit, match="export DJANGO_SETTINGS_MODULE"):
        projects.settings_module(tmp_path)
