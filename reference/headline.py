"""Measure the pages of a project against stock Django and against the limit.

    python -m reference.headline FILE [--starts N]

See `reference.sides` for the servers and what this needs. Two processes of the same program can differ by some
percent for as long as they live, so all servers are restarted again and again, and a start gives one sample.
"""

import argparse
import signal
import statistics
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import django
from djfast_bench import client, results
from djfast_bench.responses import visible
from djfast_bench.timing import Dimension, Measurement, WrongResponse, fewest_samples

from reference.sides import EVERYTHING, GENERATOR, LIMIT, SETTINGS, STOCK, Side, prepared

VISITORS = 16  # at once: each process is busy, though connections are not spread evenly over them
SAMPLE = 0.4  # seconds that a sample takes, at least...
FEWEST = 4 * VISITORS  # ...and the responses that it has, at least
WARM_UP = 10 * VISITORS  # list pages: a server with several threads becomes faster until then
ANONYMOUS = 4000  # different requests: more than a sample sends

CACHE_PAGE = "Django's cache_page"
EXPIRY = "the slowest of 100 responses, of a page that expires each second"
# A page that expires again and again while many visitors request it.
EXPIRING = {
    EVERYTHING: "/catalogue/cached/expiring/",
    CACHE_PAGE: "/catalogue/cached/django-page/1/",
}
CROWD = 64  # visitors at once
SECONDS = 3  # of such requests


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that all sides have.

    Attributes:
        path: of the page in plain Django, neither cached as a whole nor in parts.
        cached: its paths on the sides that cache it, by side.
        anonymous: whether the visitors are anonymous, each with other cookies that do not concern the page, and
            one in ten with a query parameter that the page does not read.
        beside: further pages of the project, by what they are.
    """

    path: str
    cached: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False
    beside: dict[str, str] = field(default_factory=dict)


HELLO = "/catalogue/hello/"
FRAGMENT, BY_DJANGO = "/catalogue/cached/fragment/", "/catalogue/cached/django-page/"
PAGES = {
    "hello": Page(path=HELLO),
    "count": Page(path="/catalogue/count/"),
    "list": Page(path="/catalogue/"),
    "list, fragment cached": Page(
        path="/catalogue/", cached={EVERYTHING: FRAGMENT, SETTINGS: FRAGMENT}
    ),
    "anonymous list, page cached": Page(
        path="/catalogue/about/",
        cached={EVERYTHING: "/catalogue/cached/page/", SETTINGS: BY_DJANGO},
        anonymous=True,
        beside={"its hello": HELLO, CACHE_PAGE: BY_DJANGO},
    ),
}
# Page, experiment and control of each comparison.
COMPARED = [
    (title, experiment, control)
    for title, page in PAGES.items()
    for experiment in (EVERYTHING, SETTINGS)
    for control in (
        *STOCK,
        *(() if page.cached else (LIMIT,)),
        *((*page.beside, GENERATOR) if experiment == EVERYTHING else ()),
    )
]
REPORTED = 1 + sum(control != GENERATOR for _, _, control in COMPARED)  # 1: the page that expires
ALPHA = results.ALPHA / REPORTED  # the error of all intervals together is results.ALPHA
STARTS = fewest_samples(ALPHA)


@dataclass(frozen=True)
class Contender:
    """A page of a side, and what its visitors send."""

    side: Side
    path: str
    anonymous: bool = False

    def requests(self) -> list[bytes]:
        """Return the requests of its visitors."""
        request = partial(client.build_request, accept_encoding=client.ACCEPT)
        if not self.anonymous:
            return [request(self.path, cookie=self.side.cookie)]
        click = uuid4().hex  # so that no value of the parameter was sent before
        return [
            request(
                f"{self.path}?click={click}-{visitor}" if visitor % 10 == 0 else self.path,
                cookie=f"theme=dark; _ga=GA1.1.{visitor}.{visitor}",
            )
            for visitor in range(ANONYMOUS)
        ]


def contenders(page: Page, sides: dict[str, Side]) -> dict[str, Contender]:
    """Return what is measured for a page, by name: sides, and further pages of the project."""
    found = {
        name: Contender(side, page.cached.get(name, page.path), page.anonymous)
        for name, side in sides.items()
        if not (name == LIMIT and page.cached)  # it caches nothing
    }
    project = sides[EVERYTHING]
    return found | {name: Contender(project, path, True) for name, path in page.beside.items()}


def check(page: Page, found: dict[str, Contender], ports: dict[Side, int]) -> dict[str, int]:
    """Check that all contenders show the same page.

    Returns:
        The bytes of body that a browser receives from each.

    Raises:
        WrongResponse: they do not show the same, or the limit and stock differ by a byte.
    """
    sizes: dict[str, int] = {}
    seen: dict[str, object] = {}
    plain = b""
    for name, one in found.items():
        if name == GENERATOR or (name in page.beside and one.path == HELLO):
            continue
        cookie = "theme=dark" if one.anonymous else one.side.cookie
        response = client.get(
            ports[one.side], one.path, cookie=cookie, accept_encoding=client.ACCEPT
        )
        seen[name] = visible(response)
        sizes[name] = len(response.body)
        if name == LIMIT and response.body != plain:
            raise WrongResponse(f"{page.path} of the limit is not stock's to the byte")
        if name in STOCK:
            plain = response.body
    if different := [name for name in seen if seen[name] != seen[EVERYTHING]]:
        raise WrongResponse(f"{page.path} is not the same on all sides: {', '.join(different)}")
    return sizes | {GENERATOR: len(plain)}


def pace(port: int, one: Contender, before: int) -> float:
    """Return the seconds per response of a busy server, after `before` responses as a warm-up."""
    connections = [client.KeepAliveConnection(port) for _ in range(VISITORS)]
    warm = client.burst(connections, one.requests(), before)[0] / before
    number = max(FEWEST, int(SAMPLE / warm))
    taken = client.burst(connections, one.requests(), number)[0] / number
    for connection in connections:
        connection.close()
    return taken


def slowest(port: int, path: str) -> float:
    """Return the 99th percentile of the seconds per response while a page expires for a crowd."""
    connections = [client.KeepAliveConnection(port) for _ in range(CROWD)]
    requests = [client.build_request(path, accept_encoding=client.ACCEPT)]
    before = 20 * CROWD
    warm = client.burst(connections, requests, before)[0] / before
    _, *taken = client.burst(connections, requests, int(SECONDS / warm))
    for connection in connections:
        connection.close()
    return statistics.quantiles(taken, n=100)[-1]


@dataclass
class Samples:
    """What all starts gave.

    Attributes:
        times: seconds per response, by page and contender, one per start.
        sizes: bytes of the body, by page and contender.
        late: 99th percentiles of the expiring pages, in seconds, one per start.
    """

    times: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    late: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in EXPIRING})

    def start(self, sides: dict[str, Side], number: int) -> None:
        """Start all sides once, and take one sample of each contender."""
        with ExitStack() as stack:
            running = {side: stack.enter_context(side.serving()) for side in sides.values()}
            for server in running.values():
                server.settle()
            ports = {side: server.port for side, server in running.items()}
            for title, page in PAGES.items():
                found = contenders(page, sides)
                self.sizes[title] = check(page, found, ports)
                empty = f"/?{self.sizes[title][GENERATOR]}"  # a response of as many bytes
                found[GENERATOR] = replace(found[GENERATOR], path=empty, anonymous=False)
                turns, first = [*found], number % len(found)
                for name in turns[first:] + turns[:first]:
                    before = WARM_UP if title == "list" else FEWEST
                    taken = pace(ports[found[name].side], found[name], before)
                    self.times[title][name].append(taken)
            for name, path in EXPIRING.items():
                self.late[name].append(slowest(ports[sides[EVERYTHING]], path))


def measure(sides: dict[str, Side], starts: int) -> list[Measurement]:
    """Measure all pages of all sides, which take turns in every start."""
    samples = Samples()
    for number in range(starts):
        print(f"start {number + 1} of {starts}", flush=True)
        samples.start(sides, number)
    expiry = Measurement(
        suite="reference",
        name=EXPIRY,
        scenario=f"{CROWD} visitors at once",
        experiment=EVERYTHING,
        control=CACHE_PAGE,
        dimensions={
            "time": Dimension.sampled(
                "s", samples.late[EVERYTHING], samples.late[CACHE_PAGE], ALPHA
            )
        },
    )
    return [compare(samples, *each) for each in COMPARED] + [expiry]


def compare(samples: Samples, title: str, experiment: str, control: str) -> Measurement:
    """Compare two contenders of a page; what the load generator limits has an error instead of a ratio."""
    times, sizes = samples.times[title], samples.sizes[title]
    medians = {name: statistics.median(values) for name, values in times.items()}
    # A generator that cannot send twice what is reported would be what was measured.
    bound = min(medians[experiment], medians[control]) < 2 * medians[GENERATOR]
    found = Measurement(
        suite="reference",
        name=title,
        scenario=f"{VISITORS} visitors at once",
        experiment=experiment,
        control=control,
        error="generator-bound" if bound else "",
        dimensions={"time": Dimension.sampled("s", times[experiment], times[control], ALPHA)},
    )
    if control in sizes and control != GENERATOR:
        size = Dimension.constant("B", sizes[experiment], sizes[control])
        found.dimensions["bytes"] = size
    return found


def main() -> None:
    """Measure all pages and write the results to a file."""
    parser = argparse.ArgumentParser(prog="python -m reference.headline", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--starts", type=int, default=STARTS, help="of all servers; fewer give no intervals"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: stops all servers
    with prepared() as sides:
        found = measure(sides, options.starts)
        django.setup()
        known = results.conditions(quick=options.starts < STARTS)
    results.save("reference", found, known, options.file.parent).replace(options.file)


if __name__ == "__main__":
    main()
