"""The measuring itself: it finds what is there, and nothing where nothing is."""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from types import ModuleType
from typing import ClassVar

import pytest

RUNS = 20
ROWS = 60  # among which the error of a whole suite is shared out


@pytest.fixture(scope="module")
def measure(template: Path) -> ModuleType:
    """`benchmarks/measure.py` of the template, which depends on no answer and on no package."""
    sys.path.insert(0, str(template))
    try:
        import benchmarks.client
        import benchmarks.measure

        return benchmarks.measure
    finally:
        sys.path.remove(str(template))


def noisy(rng: random.Random, seconds: float) -> Callable[[], float]:
    """A batch on a busy machine: 8 % of noise, and one in twelve disturbed by up to three times."""

    def batch() -> float:
        disturbed = rng.uniform(1.2, 3) if rng.random() < 1 / 12 else 1
        return seconds * rng.lognormvariate(0, 0.08) * disturbed

    return batch


def verdicts(measure: ModuleType, factor: float) -> Counter[str]:
    """Measure a side that takes `factor` times as long as the other, RUNS times."""
    found: Counter[str] = Counter()
    for seed in range(RUNS):
        rng = random.Random(seed)
        sides = noisy(rng, factor), noisy(rng, 1)
        found[measure.rounds(*sides, alpha=0.05 / ROWS, seconds=0.5).verdict] += 1
    return found


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "more"), (1 / 1.2, "less"), (0.1, "less")])
def test_a_difference_of_twenty_percent_is_found(
    measure: ModuleType, factor: float, verdict: str
) -> None:
    assert verdicts(measure, factor)[verdict] >= 19


@pytest.mark.parametrize("factor", [1, 1.03, 0.97])
def test_noise_and_what_is_below_the_smallest_effect_are_called_no_difference(
    measure: ModuleType, factor: float
) -> None:
    found = verdicts(measure, factor)
    assert not found["less"] + found["more"]


def test_an_interval_misses_the_median_no_more_often_than_it_says(measure: ModuleType) -> None:
    rng = random.Random(1)
    missed = 0
    for _ in range(1000):
        low, high = measure.interval([rng.expovariate(1) for _ in range(25)], alpha=0.05)
        missed += not low <= 0.6931 <= high  # the median of this distribution: ln 2
    assert 10 < missed < 60


def test_too_few_rounds_give_no_interval(measure: ModuleType) -> None:
    with pytest.raises(ValueError, match="too few"):
        measure.interval([1.0, 1.0, 1.0], alpha=0.001)


def test_rounds_end_when_the_time_is_over_and_say_that_nothing_was_decided(
    measure: ModuleType,
) -> None:
    rng = random.Random(1)
    wild = [lambda: rng.lognormvariate(0, 2) for _ in range(2)]
    shares: list[float] = []
    found = measure.rounds(*wild, alpha=0.001, seconds=0.2, tick=shares.append)
    assert found.verdict == "inconclusive"
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_a_wrong_answer_is_never_timed(
    measure: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "rounds", None)
    with pytest.raises(measure.WrongAnswer, match="1 is not 2"):
        measure.compare(measure.Way(lambda: 1), measure.Way(lambda: 2), alpha=0.05, seconds=1)


def test_what_surrounds_a_way_is_entered_for_each_batch_and_not_timed(
    measure: ModuleType,
) -> None:
    entered = []

    @contextmanager
    def slowly() -> Iterator[None]:
        entered.append(True)
        sleep(0.01)
        yield

    found = measure.compare(
        measure.Way(lambda: sum(range(100)), slowly),
        measure.Way(lambda: sum(range(100))),
        alpha=0.05,
        seconds=1,
    )
    assert len(entered) > len(found["time"].experiment)
    assert max(found["time"].experiment) < 0.01


class Halting(BaseHTTPRequestHandler):
    """Answers at once, but for the second connection, which it lets wait."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
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


def test_a_burst_is_timed_while_all_are_busy_and_ends_when_all_are_answered(
    measure: ModuleType,
) -> None:
    client = sys.modules[measure.__package__ + ".client"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Halting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        peers = [client.Peer(server.server_port) for _ in range(2)]
        peers[0].ask(client.request("/"))
        whole, *each = client.burst(peers, [client.request("/")], 20)
        assert whole < 2  # seconds, which one of the requests takes
        assert len(each) == 20
        last = [client.parsed(peer.ask(client.request("/last"))).body for peer in peers]
        assert last == [b"/last", b"/last"]
        for peer in peers:
            peer.close()
        server.shutdown()


def test_memory_is_the_peak_of_one_run(measure: ModuleType) -> None:
    found = measure.compare(
        measure.Way(lambda: sum(x for x in range(10_000))),
        measure.Way(lambda: sum(list(range(10_000)))),
        alpha=0.05,
        seconds=1,
    )
    assert found["memory"].verdict == "less"
    assert found["memory"].control[0] > 80_000  # bytes: a list of ten thousand pointers
