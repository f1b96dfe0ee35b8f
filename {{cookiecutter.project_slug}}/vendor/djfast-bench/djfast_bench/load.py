"""Increase the load on the production server in stages, on this machine: `make load`.

    python -m djfast_bench.load [--users 32] [--seconds 20] [--pages /,/catalogue/]

The stages have 1, 4, 16 and so on up to `--users` users, and share the `--seconds`. Each user is
signed in and requests the pages in turn, the next one as soon as it has a response. / is the home
page, /catalogue/ the list page of the workload.

Needs DATABASE_URL, as `python -m djfast.services run` sets it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import django
import psycopg
from rich.console import Console
from rich.progress import track
from rich.table import Table

from djfast_bench import client, html_report, report, results, servers

MOST = {"users": 100, "seconds": 600}  # more would measure the machine, not the server
LIMIT = 0.5  # share of its time: a generator that is busier could not send twice as much

# The charts, and the columns of the table of stages: unit, format, figures.
CHARTS = {
    "Users": ("under way", "{:.0f}", "users"),
    "Responses": ("per s", "{:,.0f}", "responses", "errors"),
    "Response time": ("ms", "{:,.1f}", "p50", "p95", "p99"),
    "Memory of the server": ("MB", "{:,.0f}", "memory"),
    "Database": ("open", "{:.0f}", "connections"),
    "Load generator": ("busy", "{:.0%}", "generator"),
}
DISTORTED = ("responses", "p50", "p95", "p99")  # by a generator at its limit

# From visitors.py: users, seconds, generator, taken, reasons; from `observed`: connections, memory.
Second = dict[str, Any]


def arguments() -> argparse.Namespace:
    """Read the command line, which has no option for another host.

    Raises:
        SystemExit: a number is out of bounds, or a page is not a path.
    """
    parser = argparse.ArgumentParser(prog="python -m djfast_bench.load", description=__doc__)
    parser.add_argument(
        "--users", type=int, default=32, help="concurrent requests in the last stage"
    )
    parser.add_argument("--seconds", type=int, default=20, help="of all stages in total")
    parser.add_argument("--pages", default="/,/catalogue/", help="paths, separated by commas")
    options = parser.parse_args()
    options.stages = [n for n in (1, 4, 16, 64) if n < options.users] + [options.users]
    options.pages = options.pages.split(",")
    for name, least in {"users": 1, "seconds": 2 * len(options.stages)}.items():
        if not least <= getattr(options, name) <= MOST[name]:
            parser.error(f"--{name} is at least {least} here, and at most {MOST[name]}")
    if outside := [page for page in options.pages if not page.startswith("/")]:
        parser.error(f"{outside[0]!r} is not a path: the load is for this project on this machine")
    return options


@contextmanager
def visitors(**order: Any) -> Iterator[Iterator[Second]]:
    """Start the load generator; yield the figures of each second."""
    command = [sys.executable, "-m", "djfast_bench.visitors", json.dumps(order)]
    # In its own session: Ctrl-C reaches this process only, which then stops the generator.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        try:
            yield map(json.loads, process.stdout)
        finally:
            process.terminate()


def observed(
    seconds: Iterator[Second], server: servers.ServerProcess, database: str
) -> Iterator[Second]:
    """Add the memory of the server and the open connections to its database to each second."""
    query = "SELECT pid FROM pg_stat_activity"
    query += " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(database, autocommit=True) as own:
        for second in seconds:
            connections = len(own.execute(query).fetchall())
            yield second | {"connections": connections, "memory": server.memory() / 1e6}


def figures(seconds: list[Second]) -> dict[str, Any]:
    """Summarize some seconds; an unknown figure is None."""
    length = sum(one["seconds"] for one in seconds)
    taken = sorted(time for one in seconds for time in one["taken"])
    found: dict[str, Any] = {"responses": len(taken) / length}
    found |= {f"p{n}": taken[len(taken) * n // 100] if taken else None for n in (50, 95, 99)}
    found |= {
        name: max(one[name] for one in seconds) for name in ("users", "memory", "connections")
    }
    found["generator"] = sum(one["generator"] for one in seconds) / len(seconds)
    found["errors"] = sum(len(one["reasons"]) for one in seconds) / length
    return found | (dict.fromkeys(DISTORTED) if found["generator"] > LIMIT else {})


def stages(seconds: list[Second]) -> list[dict[str, Any]]:
    """Summarize each stage without its first second, in which its users start."""
    every = [list(part) for _, part in groupby(seconds, lambda one: one["users"])]
    return [figures(part[1:] or part) for part in every]


def print_stages(found: results.Results, screen: Console) -> None:
    """Print the stages and the conditions."""
    known = found.conditions
    shown = Table(box=None, pad_edge=False)
    for unit, _, *names in CHARTS.values():
        for name in names:
            shown.add_column(f"{name}\n{unit}", justify="right")
    for one in known["stages"]:
        cells = [(one[name], form) for _, form, *names in CHARTS.values() for name in names]
        shown.add_row(*("-" if value is None else form.format(value) for value, form in cells))
    screen.print(shown, *(f"{number} x {reason}" for reason, number in known["errors"].items()))
    most = max(one["generator"] for one in known["stages"])
    text = f"\nGenerator and server share the {known['cores']} cores. The generator was busy, or waiting"
    text += f" for a core, for up to {most:.0%} of its time"
    if most > LIMIT:
        text += f"; a stage with more than {LIMIT:.0%} is generator-bound and has no figure (-)"
    screen.print(text, ".\n", report.sentence(found), sep="")


def chart_series(seconds: list[Second]) -> dict[str, Any]:
    """Return what is drawn over time, as `results.Results` has it."""
    x = list(accumulate(one["seconds"] for one in seconds))
    drawn = [figures([one]) for one in seconds]
    series = {}
    for title, (unit, _, *names) in CHARTS.items():
        lines = {name: [one[name] for one in drawn] for name in names}
        if any(value is not None for values in lines.values() for value in values):
            series[title] = {"unit": unit, "x": x, "lines": lines}
    return series


def store(seconds: list[Second], known: dict[str, Any], *, interrupted: bool) -> None:
    """Store the results in benchmarks/results/, and print them."""
    reasons = Counter(reason for one in seconds for reason in one["reasons"])
    known |= {"stages": stages(seconds), "errors": dict(reasons)}
    series = chart_series(seconds)
    path = results.save("load", [], known, interrupted=interrupted, series=series)
    found = results.load(path)
    path.with_suffix(".html").write_text(html_report.page(found), "utf-8")
    screen = Console(highlight=False)
    print_stages(found, screen)
    screen.print(f"Stored as {path}, shown in {path.stem}.html")


def main() -> None:
    """Run the load, print its stages, and store the figures of each second.

    Raises:
        SystemExit: a page does not respond with 200, or something is missing.
    """
    options = arguments()
    each = options.seconds // len(options.stages)
    seconds: list[Second] = []
    interrupted = False
    with (
        servers.scratch_database("load") as database,
        tempfile.TemporaryDirectory(prefix="load-") as folder,
    ):
        os.environ.update(servers.environment(database, Path(folder) / "static"))
        cookie = servers.prepare(dict(os.environ)).cookie
        django.setup()
        with servers.serving(dict(os.environ)) as server:
            for page in options.pages:
                if (status := client.get(server.port, page, cookie=cookie).status) != 200:
                    sys.exit(f"{page} responds with {status}: name pages that respond with 200.")
            server.settle()
            order = {"cookie": cookie, "pages": options.pages, "port": server.port}
            try:
                with visitors(**order, stages=options.stages, seconds=each) as brought:
                    every = observed(brought, server, database)
                    total = each * len(options.stages)
                    seconds.extend(track(every, "Load", total, transient=True))
            except KeyboardInterrupt:
                if not seconds:
                    raise
                interrupted = True  # the figures so far are stored
        known = results.conditions() | {"pages": options.pages}
    if not seconds:
        sys.exit("There was no load. If locust is missing: `make load` installs it.")
    store(seconds, known, interrupted=interrupted)
    sys.exit(130 if interrupted else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
