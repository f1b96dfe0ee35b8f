"""Measure another project, revision or Python against this project: `make compare`.

    python -m benchmarks.compare [--with ../other | rev:HEAD~3] [--python 3.12] [--quick] [--only NAME]

Both sides are copied, installed in environments of their own and served as in production, with this
project's workload; both get the same requests in turns. Two processes of one program can differ by
some percent for as long as they live, so both servers are started again and again: however many
rounds it has, a start gives one sample, and the interval is that of the median of all starts.

Needs DATABASE_URL and REDIS_URL, as `python -m config.services run` sets them.
"""

import argparse
import math
import os
import re
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count, zip_longest
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import django
import psutil
import psycopg
from rich.table import Table
from rich.text import Text

from benchmarks import client, results, servers
from benchmarks.answers import visible
from benchmarks.console import console, progress, publish
from benchmarks.measure import (
    BATCH,
    Row,
    WrongAnswer,
    decided,
    figure,
    sampled,
)
from benchmarks.sides import Side, ready

# Seconds that all starts may take, and that a page takes at each; as many starts as tell are made.
FULL, QUICK = (150.0, 0.5), (50.0, 0.25)
LEAST = 8  # answers of a page at each start
CROWD = 16  # visitors at once


class Page(NamedTuple):
    """A page, and how many visitors ask for it at once; they are signed in."""

    path: str
    scenario: str
    visitors: int = 1


PAGES = {
    "hello": Page("/catalogue/hello/", "a page without a query"),
    "count": Page("/catalogue/count/", "a page with one query"),
    "list": Page("/catalogue/", "a page with 50 rows, 5 queries"),
    "item": Page("/catalogue/items/amber-basket-13/", "a page with one item, 4 queries"),
    "json": Page("/catalogue/items.json", "50 rows as JSON, 2 queries"),
    "about": Page("/catalogue/about/", "the list for anybody, 4 queries, no session"),
    "home": Page("/", "the project's own start page"),
}
PAGES |= {
    f"{name} by {CROWD} at once": PAGES[name]._replace(visitors=CROWD)
    for name in ("hello", "count", "list")
}
# Of the servers themselves: what is looked at, and the dimension that the row is about.
SERVERS = {
    "start": ("from the command to the first answer", "time"),
    "server": ("all its processes, after pages; connections that they opened", "memory"),
}
UNITS = {"time": "s", "memory": "B", "connections": ""}


class Comparison:
    """Measures two sides.

    Args:
        sides: the other, and this one: as in a ratio.
        seconds: that all starts may take, and that a page takes at each.
        only: a part of the names to measure; empty: all.
    """

    def __init__(self, sides: tuple[Side, Side], seconds: tuple[float, float], only: str) -> None:
        self.sides = sides
        self.seconds, self.slot = seconds
        about = {name: (page.scenario, "time") for name, page in PAGES.items()} | SERVERS
        labels: Any = {"suite": "compare", "experiment": sides[0].label, "control": sides[1].label}
        self.rows = {
            name: Row(name=name, scenario=scenario, claim=claim, **labels)
            for name, (scenario, claim) in about.items()
            if only.lower() in name
        }
        # Shared out to all intervals: one for each row, and one for the connections.
        self.alpha = results.ALPHA / (len(self.rows) + 1)
        self.samples: dict[tuple[str, str], tuple[list[float], list[float]]]
        self.samples = defaultdict(lambda: ([], []))

    def check(self) -> None:
        """Compare the answers and their bytes; pages that differ get no figure."""
        with ExitStack() as stack:
            ports = [stack.enter_context(side.serving()).port for side in self.sides]
            for name in [name for name in PAGES if name in self.rows]:
                try:
                    new, old = (
                        client.ask(port, PAGES[name].path, **side.headers)
                        for side, port in zip(self.sides, ports, strict=True)
                    )
                except OSError as error:
                    self.rows[name].error = f"{error}."
                    continue
                self.rows[name].error = difference(new, old)
                # Without headers: what hinders BREACH makes them longer or shorter by chance.
                self.rows[name].dimensions["bytes"] = figure("B", len(new.body), len(old.body))

    def measure(self, tell: Callable[[str, float], None]) -> None:
        """Start both servers until each row is decided, or the time is over."""
        least = next(n for n in count(1) if 2 ** (1 - n) <= self.alpha)
        began = time.monotonic()
        for number in count():
            todo = [name for name, row in self.rows.items() if not row.error and not self.told(row)]
            if not todo or (number >= least and time.monotonic() - began >= self.seconds):
                return

            def tick(name: str, done: float, number: int = number) -> None:
                gone = (time.monotonic() - began) / self.seconds
                share = min(gone, (number + done) / least, 1)
                tell(f"start {number + 1}: {name}", share * self.seconds)

            self.start(todo, number, tick)

    def told(self, row: Row) -> bool:
        """Say whether a row needs no further starts."""
        found = row.dimensions.get(row.claim)
        return found is not None and decided(found)

    def start(self, todo: list[str], number: int, tick: Callable[[str, float], None]) -> None:
        """Start both servers once, and take one sample of each row that is to do."""
        tick("start", 0)
        before = self.connections()
        with ExitStack() as stack:
            running: dict[int, servers.Server] = {}
            taken = [0.0, 0.0]
            for i in turns(number):
                clock = time.monotonic()
                running[i] = stack.enter_context(self.sides[i].serving())
                taken[i] = time.monotonic() - clock
            both = [running[0], running[1]]
            for server in both:
                server.settle()
            with suppress(OSError, WrongAnswer):  # so that all threads connect; its own row tells
                self.visits(both, PAGES[f"count by {CROWD} at once"], 0)
            for done, name in enumerate(todo):
                tick(name, done / len(todo))
                if name == "start":
                    self.record(name, "time", taken)
                elif name == "server":
                    self.record(name, "memory", [server.memory() for server in both])
                else:
                    try:
                        self.record(name, "time", self.visits(both, PAGES[name], self.slot))
                    except (OSError, WrongAnswer) as error:
                        self.rows[name].error = f"{error}."
        if "server" in todo:
            after = self.connections()
            self.record("server", "connections", [after[i] - before[i] for i in (0, 1)])

    def visits(self, both: list[servers.Server], page: Page, seconds: float) -> list[float]:
        """Let both servers take turns with a page; return the median seconds per answer of each."""
        with ExitStack() as stack:
            peers = [[client.Peer(server.port) for _ in range(page.visitors)] for server in both]
            for peer in (*peers[0], *peers[1]):
                stack.callback(peer.close)

            def burst(i: int, number: int) -> list[float]:
                prepared = client.request(page.path, **self.sides[i].headers)
                total, *each = client.burst(peers[i], [prepared], number)
                # One visitor: how long each answer took. A crowd: how much the server gets done.
                return each if page.visitors == 1 else [total / number]

            # As many for both, so that connections can be compared; few, so that turns are short.
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

    def record(self, name: str, dimension: str, taken: list[float]) -> None:
        """Add a sample of each side, and judge anew."""
        new, old = self.samples[name, dimension]
        new.append(float(taken[0]))
        old.append(float(taken[1]))
        self.rows[name].dimensions[dimension] = sampled(UNITS[dimension], new, old, self.alpha)

    def connections(self) -> list[int]:
        """Return how many connections to the database of each side have been made."""
        time.sleep(0.1)  # seconds: by then a process of PostgreSQL that has ended is counted
        query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
        names = [urlsplit(side.database).path.strip("/") for side in self.sides]
        with psycopg.connect(os.environ["MAINTENANCE_URL"]) as own:
            return [(own.execute(query, [name]).fetchone() or [0])[0] for name in names]


def turns(number: int) -> tuple[int, int]:
    """Say who comes first: what the first leaves behind (caches, heat) hits both alike."""
    return (0, 1) if number % 2 else (1, 0)


def difference(new: client.Answer, old: client.Answer) -> str:
    """Say why two answers get no figure: what a visitor first sees to differ; empty if they do."""
    shown = [visible(answer.status, answer.headers, answer.body) for answer in (new, old)]
    if shown[0] == shown[1]:
        return "" if new.status == 200 else f"Both answer with status {new.status}."
    parts: list[list[str]] = [[f"status {status}"] for status, _ in shown]
    for part, (_, body) in zip(parts, shown, strict=True):
        if isinstance(body, bytes):
            part += re.findall(".{1,80}", body.decode(errors="backslashreplace"), re.DOTALL)
        elif isinstance(body, list):
            part += body
    pairs = zip_longest(*parts, fillvalue="nothing")
    differs = next((f"{a!r} against {b!r}" for a, b in pairs if a != b), "one is HTML")
    return f"The answers differ: {differs}."


def differences(new: dict[str, Any], old: dict[str, Any]) -> Iterator[list[str]]:
    """Give each name whose value differs, the old one and the new; of lists, what only one has."""
    for name in sorted({*old, *new}):
        both = [old.get(name, []), new.get(name, [])]
        if all(isinstance(value, list) for value in both):
            only = [[item for item in a if item not in b] for a, b in (both, both[::-1])]
            both = only if any(only) else both  # else they differ in order, if at all
        if both[0] != both[1]:
            yield [name, *(v if isinstance(v, str) else ", ".join(v) or "–" for v in both)]


def main() -> None:
    """Compare, show tables, and store them with the samples in benchmarks/results/.

    Raises:
        SystemExit: there is nothing to compare; the message says why.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--with", default="", dest="other", metavar="FOLDER", help="or rev:")
    parser.add_argument("--python", default="", metavar="VERSION", help="of the other side")
    parser.add_argument("--quick", action="store_true", help="about a minute; fewer rows decided")
    parser.add_argument("--only", default="", metavar="NAME", help="rows with this in their name")
    options = parser.parse_args()
    if not options.other and not options.python:
        sys.exit("Say what to compare with: WITH=../other, WITH=rev:HEAD~3 or PYTHON=3.12.")
    if not any(options.only.lower() in name for name in (*PAGES, *SERVERS)):
        sys.exit(f"{options.only!r} is in none of the names: {'; '.join((*PAGES, *SERVERS))}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
    screen = console()
    interrupted = False
    with ExitStack() as stack:
        try:
            with screen.status("Both sides are copied, installed and filled."):
                sides = stack.enter_context(ready(options.other, options.python))
        except KeyboardInterrupt:
            sys.exit(130)
        comparison = Comparison(sides, QUICK if options.quick else FULL, options.only)
        try:
            with progress(comparison.seconds, screen) as tell:
                comparison.check()
                comparison.measure(tell)
        except KeyboardInterrupt:
            interrupted = True
            for process in (left := psutil.Process().children(recursive=True)):
                process.terminate()
            psutil.wait_procs(left, servers.STOP)
        os.environ.update(sides[1].env)
        django.setup()
        known = results.conditions(quick=options.quick)
    new, old = (side.described for side in sides)
    found = {title: [*differences(new[title], old[title])] for title in old}
    measured = [row for row in comparison.rows.values() if row.error or row.claim in row.dimensions]
    if not measured:
        sys.exit("Stopped before anything was measured.")
    publish("compare", measured, known, screen, interrupted=interrupted, differences=found)
    for title, lines in found.items():
        shown = Table(title, sides[1].label, sides[0].label, box=None, header_style="bold")
        for line in lines:
            shown.add_row(*map(Text, line))
        screen.print("", shown if lines else f"{title}: no difference")
    sys.exit(130 if interrupted else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before there was anything to keep
        sys.exit(130)
