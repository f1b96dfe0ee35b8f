"""The measurements of two projects that are served side by side."""

import math
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import count, zip_longest
from typing import Any, NamedTuple

from djfast_bench import client, results, servers
from djfast_bench.responses import Response, visible
from djfast_bench.sides import Side
from djfast_bench.timing import BATCH, Dimension, Measurement, WrongResponse, fewest_samples

LEAST = 8  # responses of a page at each start
CROWD = 16  # concurrent visitors


class ComparedPage(NamedTuple):
    """A page of both sides, requested by signed-in visitors.

    Attributes:
        path: of the page.
        scenario: its description.
        visitors: number of concurrent requests.
    """

    path: str
    scenario: str
    visitors: int = 1


PAGES = {
    "hello": ComparedPage("/catalogue/hello/", "a page without a query"),
    "count": ComparedPage("/catalogue/count/", "a page with one query"),
    "list": ComparedPage("/catalogue/", "a page with 50 rows, 5 queries"),
    "item": ComparedPage("/catalogue/items/amber-basket-13/", "a page with one item, 4 queries"),
    "json": ComparedPage("/catalogue/items.json", "50 rows as JSON, 2 queries"),
    "about": ComparedPage("/catalogue/about/", "the public list, 4 queries, no session"),
    "home": ComparedPage("/", "the project's own start page"),
}
PAGES |= {
    f"{name} by {CROWD} at once": PAGES[name]._replace(visitors=CROWD)
    for name in ("hello", "count", "list")
}
# About the servers themselves: the scenario, and the dimension that the row is about.
SERVERS = {
    "start": ("from the command to the first response", "time"),
    "server": ("all its processes after these pages, and database connections opened", "memory"),
}
UNITS = {"time": "s", "memory": "B", "connections": ""}


class Comparison:
    """The measurements of two sides.

    Args:
        sides: experiment and control.
        maintenance: URL of a database on the server of both scratch databases.
        seconds: time limits, of all starts together and of a page at each start.
        only: a part of the names to measure; empty: all.
    """

    def __init__(
        self,
        sides: tuple[Side, Side],
        maintenance: str,
        seconds: tuple[float, float],
        only: str,
    ) -> None:
        self.sides = sides
        self.maintenance = maintenance
        self.seconds, self.slot = seconds
        about = {name: (page.scenario, "time") for name, page in PAGES.items()} | SERVERS
        labels: Any = {"suite": "compare", "experiment": sides[0].label, "control": sides[1].label}
        self.rows = {
            name: Measurement(name=name, scenario=scenario, claim=claim, **labels)
            for name, (scenario, claim) in about.items()
            if only.lower() in name
        }
        # Divided among all intervals: one for each row, and one for the connections.
        self.alpha = results.ALPHA / (len(self.rows) + 1)
        self.samples: dict[tuple[str, str], tuple[list[float], list[float]]]
        self.samples = defaultdict(lambda: ([], []))

    def check(self) -> None:
        """Compare the responses and their size; pages that differ are not timed."""
        with ExitStack() as stack:
            ports = [stack.enter_context(side.serving()).port for side in self.sides]
            for name in [name for name in PAGES if name in self.rows]:
                try:
                    new, old = (
                        client.get(port, PAGES[name].path, **side.headers)
                        for side, port in zip(self.sides, ports, strict=True)
                    )
                    self.rows[name].error = difference(new, old)
                except (OSError, WrongResponse) as error:
                    self.rows[name].error = f"{error}."
                    continue
                # Without headers, whose length varies by chance with protection against BREACH.
                size = Dimension.constant("B", len(new.body), len(old.body))
                self.rows[name].dimensions["bytes"] = size

    def measure(self, show: Callable[[str, float], None]) -> None:
        """Start both servers until each row is decided, or the time is over.

        Args:
            show: called with a description and the seconds that have passed.
        """
        least = fewest_samples(self.alpha)
        began = time.monotonic()
        for number in count():
            todo = [name for name, row in self.rows.items() if not row.error and not decided(row)]
            if not todo or (number >= least and time.monotonic() - began >= self.seconds):
                return

            def tick(name: str, done: float, number: int = number) -> None:
                passed = (time.monotonic() - began) / self.seconds
                share = min(passed, (number + done) / least, 1)
                show(f"start {number + 1}: {name}", share * self.seconds)

            self.start(todo, number, tick)

    def start(self, todo: list[str], number: int, tick: Callable[[str, float], None]) -> None:
        """Start both servers once, and take one sample of each row in `todo`."""
        tick("start", 0)
        before = self.connections()
        with ExitStack() as stack:
            running: dict[int, servers.ServerProcess] = {}
            taken = [0.0, 0.0]
            for i in turns(number):
                clock = time.monotonic()
                running[i] = stack.enter_context(self.sides[i].serving())
                taken[i] = time.monotonic() - clock
            both = [running[0], running[1]]
            for server in both:
                server.settle()
            # So that all threads connect to the database; an error is reported in that page's row.
            with suppress(OSError, WrongResponse):
                self.visit(both, PAGES[f"count by {CROWD} at once"], 0)
            for done, name in enumerate(todo):
                tick(name, done / len(todo))
                self.sample(name, both, taken)
        if "server" in todo:
            opened = [new - old for new, old in zip(self.connections(), before, strict=True)]
            self.record("server", "connections", opened)

    def sample(self, name: str, both: list[servers.ServerProcess], starts: list[float]) -> None:
        """Take a sample of one row.

        Args:
            name: of the row.
            both: the running servers.
            starts: the seconds that each took to start.
        """
        if name == "start":
            self.record(name, "time", starts)
        elif name == "server":
            self.record(name, "memory", [server.memory() for server in both])
        else:
            try:
                self.record(name, "time", self.visit(both, PAGES[name], self.slot))
            except (OSError, WrongResponse) as error:
                self.rows[name].error = f"{error}."

    def visit(
        self, both: list[servers.ServerProcess], page: ComparedPage, seconds: float
    ) -> list[float]:
        """Request a page from both servers in turns; return the median seconds per response of each.

        Args:
            both: the running servers.
            page: the page.
            seconds: no further turn begins after this time.
        """
        with ExitStack() as stack:
            connections = [
                [client.KeepAliveConnection(server.port) for _ in range(page.visitors)]
                for server in both
            ]
            for connection in (*connections[0], *connections[1]):
                stack.callback(connection.close)

            def burst(i: int, number: int) -> list[float]:
                prepared = client.build_request(page.path, **self.sides[i].headers)
                total, *each = client.burst(connections[i], [prepared], number)
                # One visitor: the time of each response. A crowd: the throughput of the server.
                return each if page.visitors == 1 else [total / number]

            # The same number for both, so that connections can be compared; small, for short turns.
            first = min(burst(i, page.visitors + 1)[-1] for i in (0, 1))
            number = max(3 * page.visitors - 2, math.ceil(BATCH / first))
            taken: tuple[list[float], list[float]] = ([], [])
            end = time.monotonic() + seconds
            for turn in count():
                for i in turns(turn):
                    taken[i].extend(burst(i, number))
                if time.monotonic() >= end and (turn + 1) * number >= LEAST:
                    break
            return [statistics.median(side) for side in taken]

    def record(self, name: str, dimension: str, taken: Sequence[float]) -> None:
        """Add a sample of each side, and judge the row again."""
        new, old = self.samples[name, dimension]
        new.append(float(taken[0]))
        old.append(float(taken[1]))
        found = Dimension.sampled(UNITS[dimension], new, old, self.alpha)
        self.rows[name].dimensions[dimension] = found

    def connections(self) -> list[int]:
        """Return how many connections to the database of each side have been made."""
        time.sleep(0.1)  # seconds: by then a PostgreSQL process that has ended is counted
        databases = [side.database for side in self.sides]
        return servers.connections_made(databases, self.maintenance)


def decided(row: Measurement) -> bool:
    """Return whether a row needs no further starts."""
    found = row.dimensions.get(row.claim)
    return found is not None and found.decided


def turns(number: int) -> tuple[int, int]:
    """Return the order of the sides, which alternates: effects of the first hit both alike."""
    return (0, 1) if number % 2 else (1, 0)


def difference(new: Response, old: Response) -> str:
    """Return why two responses are not timed: their first visible difference; "" if there is none."""
    shown = [visible(response) for response in (new, old)]
    if shown[0] == shown[1]:
        return "" if new.status == 200 else f"Both respond with status {new.status}."
    parts: list[list[str]] = [[f"status {status}"] for status, _ in shown]
    for part, (_, body) in zip(parts, shown, strict=True):
        if isinstance(body, bytes):
            part += re.findall(".{1,80}", body.decode(errors="backslashreplace"), re.DOTALL)
        elif isinstance(body, list):
            part += body
    pairs = zip_longest(*parts, fillvalue="nothing")
    differs = next((f"{a!r} against {b!r}" for a, b in pairs if a != b), "one is HTML")
    return f"The responses differ: {differs}."
