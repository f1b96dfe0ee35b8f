"""Measure the speed defaults of a project and the advice of Django's performance guide: `make bench`.

    python -m djfast_bench [--quick] [--only NAME]

The project is the current directory. Needs DATABASE_URL, as `python -m djfast.services run` sets it.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import django

from djfast_bench import results, servers
from djfast_bench.console import console, progress, publish
from djfast_bench.fixture import Fixture
from djfast_bench.results import ALPHA
from djfast_bench.timing import Measurement

# Time limits in seconds for the rounds of one comparison: of a default, of a piece of advice.
FULL, QUICK = (20.0, 6.0), (1.0, 0.3)


class Job(NamedTuple):
    """One comparison to run.

    Attributes:
        name: of the default or the advice.
        seconds: its time limit.
        run: takes the limits of its rounds, and returns what was found.
    """

    name: str
    seconds: float
    run: Callable[[dict[str, Any]], Measurement]


@contextmanager
def prepared_process() -> Iterator[Fixture]:
    """Make this a measured process: scratch database with the workload, static files, Django set up."""
    with (
        servers.scratch_database() as database,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        maintenance = os.environ["DATABASE_URL"]
        static = Path(folder) / "static"
        os.environ.update(servers.environment(database, static))
        cookie = servers.prepare(dict(os.environ)).cookie
        django.setup()
        delete_cached()
        yield Fixture(database, maintenance, static, cookie)


def delete_cached() -> None:
    """Delete what an earlier run has cached, where that deletes nothing else."""
    from django.core.cache import caches

    for cache in caches.all(initialized_only=False):
        if delete := getattr(cache, "delete_pattern", None):  # of django-redis
            delete("*")


def jobs(fixture: Fixture, seconds: tuple[float, float], only: str) -> list[Job]:
    """Return the comparisons to run; Django is set up.

    Args:
        fixture: from `prepared_process`.
        seconds: time limits of a default and of a piece of advice.
        only: parts of the names to measure, separated by commas; empty: all.
    """
    from djfast_bench import ablation, advice
    from djfast_bench.layering import importable

    every = []
    if importable("djfast.rows"):
        from djfast.rows import applicable

        every += [
            Job(row.name, seconds[0], partial(ablation.measure_row, row, fixture))
            for row in applicable()
        ]
    if seconds is FULL or only or not every:
        every += [
            Job(one.name, seconds[1], partial(advice.measure_advice, one, fixture.cookie))
            for one in advice.ADVICE
        ]
    names = [name.strip().lower() for name in only.split(",")]
    return [job for job in every if any(name in job.name.lower() for name in names)]


def run_jobs(todo: list[Job]) -> Iterator[Measurement]:
    """Run one job after the other, and show the progress."""
    finished = 0.0
    with progress(sum(job.seconds for job in todo), console()) as show:

        def tick(share: float) -> None:
            show(job.name, finished + share * job.seconds)

        for job in todo:
            tick(0)
            # The probability of an error is divided among all comparisons.
            yield job.run({"alpha": ALPHA / len(todo), "seconds": job.seconds, "tick": tick})
            finished += job.seconds


def main() -> None:
    """Measure, print a table, and store it with the raw samples in benchmarks/results/.

    Raises:
        SystemExit: no default has that name, or a service is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m djfast_bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="defaults only, in about two minutes; few are decided"
    )
    parser.add_argument("--only", default="", metavar="NAME", help="rows with this in their name")
    options = parser.parse_args()
    # Like Ctrl-C, so that no server is left running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found: list[Measurement] = []
    interrupted = False
    with prepared_process() as fixture:
        todo = jobs(fixture, QUICK if options.quick else FULL, options.only)
        if not todo:
            sys.exit(f"No default and no advice has {options.only!r} in its name.")
        try:
            found.extend(run_jobs(todo))  # one by one: after Ctrl-C, those so far are there
        except KeyboardInterrupt:
            interrupted = True
        conditions = results.conditions(quick=options.quick)
    if found:
        publish("bench", found, conditions, interrupted=interrupted)
    sys.exit(130 if interrupted else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before anything was measured
        sys.exit(130)
