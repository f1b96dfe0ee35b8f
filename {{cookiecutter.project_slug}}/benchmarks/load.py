"""Let more and more visitors come to the production server, on this machine: `make load`.

    python -m benchmarks.load [--users 32] [--seconds 20] [--pages /,/catalogue/]

They come in stages, 1, 4, 16 and so on up to `--users`, which share the `--seconds`. Each is signed
in and asks for the pages in turn, for the next as soon as one has come: a user is a request under
way. What they do stands in benchmarks/visitors.py. / is the home page, /catalogue/ the list page of
the workload.

Needs DATABASE_URL and REDIS_URL, as `python -m config.services run` sets them.
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
from django.conf import settings
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import client, report, results, servers
from benchmarks.console import RESULTS

MOST = {"users": 100, "seconds": 600}  # beyond, it tells of the machine and not of the server
LIMIT = 0.5  # of its time: a generator that is busy for longer could not send twice as much

# What is drawn over time and told of each stage: the unit, how it is written, the figures.
CHARTS = {
    "Users": ("under way", "{:.0f}", "users"),
    "Answers": ("per s", "{:,.0f}", "answers", "errors"),
    "Time of an answer": ("ms", "{:,.1f}", "p50", "p95", "p99"),
    "Memory of the server": ("MB", "{:,.0f}", "memory"),
    "Database": ("open", "{:.0f}", "connections"),
    "Load generator": ("busy", "{:.0%}", "generator"),
}
DISTORTED = ("answers", "p50", "p95", "p99")  # by a generator at its limit

Second = dict[
    str, Any
]  # of visitors.py: users, seconds, generator, taken, reasons; and of `watched`


def arguments() -> argparse.Namespace:
    """Read the command line, which has no option for another host.

    Raises:
        SystemExit: a number is out of bounds, or a page is none of this project.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--users", type=int, default=32, help="requests under way at the end")
    parser.add_argument("--seconds", type=int, default=20, help="of all stages together")
    parser.add_argument("--pages", default="/,/catalogue/", help="paths, separated by commas")
    options = parser.parse_args()
    options.stages = [n for n in (1, 4, 16, 64) if n < options.users] + [options.users]
    options.pages = options.pages.split(",")
    for name, least in {"users": 1, "seconds": 2 * len(options.stages)}.items():
        if not least <= getattr(options, name) <= MOST[name]:
            parser.error(f"--{name} is at least {least} here, and at most {MOST[name]}")
    if outside := [page for page in options.pages if not page.startswith("/")]:
        parser.error(f"{outside[0]!r} is no path: the load is for this project on this machine")
    return options


@contextmanager
def visitors(**order: Any) -> Iterator[Iterator[Second]]:
    """Start the generator; give what each second brought, as it comes."""
    command = [sys.executable, "-m", "benchmarks.visitors", json.dumps(order)]
    # In a session of its own: Ctrl-C is for us, who then end it.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        try:
            yield map(json.loads, process.stdout)
        finally:
            process.terminate()


def watched(seconds: Iterator[Second], server: servers.Server, database: str) -> Iterator[Second]:
    """Add to each second what the server takes then: memory, connections to its database."""
    query = "SELECT pid FROM pg_stat_activity"
    query += " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(database, autocommit=True) as own:
        for second in seconds:
            connections = len(own.execute(query).fetchall())
            yield second | {"connections": connections, "memory": server.memory() / 1e6}


def figures(seconds: list[Second]) -> dict[str, Any]:
    """Summarise some seconds; what is None cannot be told."""
    length = sum(one["seconds"] for one in seconds)
    taken = sorted(time for one in seconds for time in one["taken"])
    found: dict[str, Any] = {"answers": len(taken) / length}
    found |= {f"p{n}": taken[len(taken) * n // 100] if taken else None for n in (50, 95, 99)}
    found |= {
        name: max(one[name] for one in seconds) for name in ("users", "memory", "connections")
    }
    found["generator"] = sum(one["generator"] for one in seconds) / len(seconds)
    found["errors"] = sum(len(one["reasons"]) for one in seconds) / length
    return found | (dict.fromkeys(DISTORTED) if found["generator"] > LIMIT else {})


def stages(seconds: list[Second]) -> list[dict[str, Any]]:
    """Summarise each stage without its first second, in which its users come."""
    every = [list(part) for _, part in groupby(seconds, lambda one: one["users"])]
    return [figures(part[1:] or part) for part in every]


def show(found: results.Results, screen: Console) -> None:
    """Print the stages, and what a reader must know of them."""
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
    text = f"\nGenerator and server share the {known['cores']} cores. For up to {most:.0%} of its"
    text += " time the generator worked, or waited for a core"
    if most > LIMIT:
        text += f"; beyond {LIMIT:.0%} it could not have sent twice as much: such a stage is"
        text += " generator-bound and has no figure (-)"
    screen.print(text, ".\n", report.sentence(found), sep="")


def main() -> None:
    """Run the load, show its stages, and store what each second brought in benchmarks/results/.

    Raises:
        SystemExit: a page does not answer 200, or something is missing.
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
        session = servers.prepare(dict(os.environ))
        django.setup()
        order = {"cookie": f"{settings.SESSION_COOKIE_NAME}={session}", "pages": options.pages}
        with servers.serving(dict(os.environ)) as server:
            for page in options.pages:
                answer = client.ask(server.port, page, cookie=order["cookie"])
                if answer.status != 200:
                    sys.exit(f"{page} answers {answer.status}: name pages that answer 200.")
            server.settle()
            order |= {"port": server.port, "stages": options.stages, "seconds": each}
            total = each * len(options.stages)
            try:
                with visitors(**order) as brought:
                    every = watched(brought, server, database)
                    seconds.extend(track(every, "Load", total, transient=True))
            except KeyboardInterrupt:
                if not seconds:
                    raise
                interrupted = True  # what has come so far is kept
        known = results.conditions()
    if not seconds:
        sys.exit("There was no load. If locust is missing: `make load` brings it.")
    reasons = Counter(reason for one in seconds for reason in one["reasons"])
    known |= {"pages": options.pages, "stages": stages(seconds), "errors": dict(reasons)}
    x = list(accumulate(one["seconds"] for one in seconds))
    drawn = [figures([one]) for one in seconds]
    series = {}
    for title, (unit, _, *names) in CHARTS.items():
        lines = {name: [one[name] for one in drawn] for name in names}
        if any(value is not None for values in lines.values() for value in values):
            series[title] = {"unit": unit, "x": x, "lines": lines}
    path = results.save("load", [], known, RESULTS, interrupted=interrupted, series=series)
    found = results.load(path)
    path.with_suffix(".html").write_text(report.page(found), "utf-8")
    console = Console(highlight=False)
    show(found, console)
    console.print(f"Stored as {path.relative_to(servers.PROJECT)}, shown in {path.stem}.html")
    sys.exit(130 if interrupted else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
