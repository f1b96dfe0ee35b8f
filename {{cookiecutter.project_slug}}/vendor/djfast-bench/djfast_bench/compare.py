"""Measure another project, revision or Python against this project: `make compare`.

    python -m djfast_bench.compare [--with ../other | rev:HEAD~3] [--python 3.12] [--quick] [--only NAME]

The other side can be any Django project. Both sides are copied, installed in environments of their
own and served as in production, with this project's workload, and get the same requests in turns.
Two processes of one program can differ by some percent for as long as they live, so both servers are
started again and again. Each start gives one sample, however many requests it answers, and the
interval is that of the median of all starts.

Needs DATABASE_URL, as `python -m djfast.services run` sets it.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import django
import psutil
from rich.table import Table
from rich.text import Text

from djfast_bench import results, servers
from djfast_bench.comparison import PAGES, SERVERS, Comparison
from djfast_bench.console import console, progress, publish
from djfast_bench.sides import Side, ready

# Time limits in seconds: of all starts together, and of a page at each start.
FULL, QUICK = (150.0, 0.5), (50.0, 0.25)


def differences(new: dict[str, Any], old: dict[str, Any]) -> Iterator[list[str]]:
    """Yield each name whose value differs, with the values of control and experiment.

    Of two lists, only the items that the other one lacks are shown.
    """
    for name in sorted({*old, *new}):
        both = [old.get(name, []), new.get(name, [])]
        if all(isinstance(value, list) for value in both):
            only = [[item for item in a if item not in b] for a, b in (both, both[::-1])]
            both = only if any(only) else both  # else they differ in order, if at all
        if both[0] != both[1]:
            yield [name, *(v if isinstance(v, str) else ", ".join(v) or "-" for v in both)]


def arguments() -> argparse.Namespace:
    """Read the command line.

    Raises:
        SystemExit: there is nothing to compare; the message says why.
    """
    parser = argparse.ArgumentParser(prog="python -m djfast_bench.compare", description=__doc__)
    parser.add_argument("--with", default="", dest="other", metavar="FOLDER", help="or rev:")
    parser.add_argument("--python", default="", metavar="VERSION", help="of the other side")
    parser.add_argument("--quick", action="store_true", help="about a minute; fewer rows decided")
    parser.add_argument("--only", default="", metavar="NAME", help="rows with this in their name")
    options = parser.parse_args()
    if not options.other and not options.python:
        sys.exit("Set what to compare with: WITH=../other, WITH=rev:HEAD~3 or PYTHON=3.12.")
    if not any(options.only.lower() in name for name in (*PAGES, *SERVERS)):
        sys.exit(f"{options.only!r} is in none of the names: {'; '.join((*PAGES, *SERVERS))}.")
    return options


def run(comparison: Comparison) -> bool:
    """Run a comparison and show its progress; return whether Ctrl-C has interrupted it."""
    try:
        with progress(comparison.seconds, console()) as show:
            comparison.check()
            comparison.measure(show)
    except KeyboardInterrupt:
        for process in (left := psutil.Process().children(recursive=True)):
            process.terminate()
        psutil.wait_procs(left, servers.STOP_TIMEOUT)
        return True
    return False


def print_differences(sides: tuple[Side, Side], found: dict[str, list[list[str]]]) -> None:
    """Print the settings and versions that differ."""
    screen = console()
    for title, lines in found.items():
        shown = Table(title, sides[1].label, sides[0].label, box=None, header_style="bold")
        for line in lines:
            shown.add_row(*map(Text, line))
        screen.print("", shown if lines else f"{title}: no difference")


def main() -> None:
    """Compare, print tables, and store them with the samples in benchmarks/results/.

    Raises:
        SystemExit: there is nothing to compare; the message says why.
    """
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
    maintenance = os.environ.get("DATABASE_URL", "")
    with ExitStack() as stack:
        with console().status("Both sides are copied, installed and filled."):
            sides = stack.enter_context(ready(options.other, options.python))
        limits = QUICK if options.quick else FULL
        comparison = Comparison(sides, maintenance, limits, options.only)
        interrupted = run(comparison)
        os.environ.update(sides[1].env)
        django.setup()
        conditions = results.conditions(quick=options.quick)
    measured = [row for row in comparison.rows.values() if row.error or row.claim in row.dimensions]
    if not measured:
        sys.exit("Stopped before anything was measured.")
    new, old = (side.described for side in sides)
    found = {title: [*differences(new[title], old[title])] for title in old}
    notes = [side.note for side in sides if side.note]
    more: dict[str, Any] = {"interrupted": interrupted, "differences": found, "notes": notes}
    publish("compare", measured, conditions, **more)
    print_differences(sides, found)
    sys.exit(130 if interrupted else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before anything was measured
        sys.exit(130)
