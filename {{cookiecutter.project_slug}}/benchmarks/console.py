"""What a run shows: how far it is, and in the end its results."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from benchmarks import report, results
from benchmarks.measure import Row

RESULTS = Path(__file__).resolve().parent / "results"


def console() -> Console:
    """Return where a run is shown: a file gets lines of 120 characters."""
    return Console(width=None if sys.stdout.isatty() else 120)


@contextmanager
def progress(total: float, screen: Console) -> Iterator[Callable[[str, float], None]]:
    """Show a bar; give a function that tells it what is measured and what of `total` is reached.

    Args:
        total: seconds that all may take; what is left is judged by the pace so far.
        screen: where the bar is shown until the end.
    """
    columns = (TextColumn("{task.description:40}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=screen, transient=True) as shown:
        task = shown.add_task("", total=total, left="")
        start = time.monotonic()

        def tell(description: str, reached: float) -> None:
            pace = (time.monotonic() - start) / reached if reached else 0
            left = max(0.0, pace * (total - reached))
            remaining = f"{left // 60:.0f} min {left % 60:.0f} s" if reached else ""
            shown.update(task, description=description, completed=reached, left=remaining)

        yield tell


def publish(
    suite: str, rows: list[Row], conditions: dict[str, Any], screen: Console, **more: Any
) -> None:
    """Store what was found in benchmarks/results/, as a page and as Markdown too; print the table.

    Args:
        suite: "bench" or "compare".
        rows: what was compared.
        conditions: as `results.conditions` gave them.
        screen: where the table is printed.
        more: `interrupted`, `differences`; see `results.Results`.
    """
    path = results.save(suite, rows, conditions, RESULTS, **more)
    found = results.load(path)
    path.with_suffix(".html").write_text(report.page(found), "utf-8")
    path.with_suffix(".md").write_text(report.markdown(found), "utf-8")
    report.terminal(found, screen)
    screen.print(f"Stored as {path.relative_to(Path.cwd())}, shown in {path.stem}.html and .md")
