"""Measure what the project's defaults buy and what Django's guide is worth here: `make bench`.

    python -m benchmarks [--quick] [--only NAME]

Needs DATABASE_URL and REDIS_URL, as `python -m config.services run` sets them.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import django
from rich.console import Console

from benchmarks import results, servers
from benchmarks.console import console, progress, publish
from benchmarks.measure import Row
from benchmarks.results import ALPHA
from speed.defaults import DEFAULTS, Default

# Seconds that the rounds of a row take at most: of a default, of an advice.
FULL, QUICK = (20.0, 6.0), (1.0, 0.3)


@dataclass(frozen=True)
class Job:
    """One row to measure; `run` takes the seconds that it may take, alpha and a tick."""

    name: str
    seconds: float
    run: Callable[..., Row]


@contextmanager
def laboratory() -> Iterator[dict[str, Any]]:
    """Become a measured process: scratch database with the workload, static files, Django set up."""
    with (
        servers.scratch_database() as database,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        static = Path(folder) / "static"
        os.environ["MAINTENANCE_URL"] = os.environ["DATABASE_URL"]
        os.environ.update(servers.environment(database, static))
        session = servers.prepare(dict(os.environ))
        django.setup()
        yield {"database": database, "static": static, "session": session}


def jobs(lab: dict[str, Any], seconds: tuple[float, float], only: str) -> list[Job]:
    """List what there is to measure, after Django is set up.

    Args:
        lab: what `laboratory` gives.
        seconds: that a default and an advice may take.
        only: parts of the names to measure, with commas between; empty: all.
    """
    from benchmarks import advice, defaults

    def default(row: Default, **limits: Any) -> Row:
        return defaults.measured(row, defaults.Lab(**lab, **limits))

    def claim(row: advice.Advice, **limits: Any) -> Row:
        return advice.measured(row, cookie=lab["session"], **limits)

    every = [Job(row.name, seconds[0], partial(default, row)) for row in DEFAULTS]
    if seconds is FULL or only:
        every += [Job(row.name, seconds[1], partial(claim, row)) for row in advice.ADVICE]
    names = [name.strip().lower() for name in only.split(",")]
    return [job for job in every if any(name in job.name.lower() for name in names)]


def main() -> None:
    """Measure, show a table, and write it with its raw samples to benchmarks/results/.

    Raises:
        SystemExit: nothing has that name, or a service is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="defaults only, in under a minute; few are decided"
    )
    parser.add_argument("--only", default="", metavar="NAME", help="rows with this in their name")
    options = parser.parse_args()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # like Ctrl-C: nothing is left running
    screen = console()
    rows: list[Row] = []
    interrupted = False
    with laboratory() as lab:
        todo = jobs(lab, QUICK if options.quick else FULL, options.only)
        if not todo:
            sys.exit(f"No default and no advice has {options.only!r} in its name.")
        try:
            measure(todo, rows, screen)
        except KeyboardInterrupt:
            interrupted = True
        known = results.conditions(quick=options.quick)
    if rows:
        publish("bench", rows, known, screen, interrupted=interrupted)
    sys.exit(130 if interrupted else 0)


def measure(todo: list[Job], rows: list[Row], screen: Console) -> None:
    """Measure one job after the other into `rows`; show how far it is and how long it may take."""
    done = 0.0
    with progress(sum(job.seconds for job in todo), screen) as tell:

        def tick(share: float) -> None:
            tell(job.name, done + share * job.seconds)

        for job in todo:
            tick(0)
            # The error that all rows together may make is shared out.
            limits = {"alpha": ALPHA / len(todo), "seconds": job.seconds, "tick": tick}
            rows.append(job.run(**limits))
            done += job.seconds


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before there was anything to keep
        sys.exit(130)
