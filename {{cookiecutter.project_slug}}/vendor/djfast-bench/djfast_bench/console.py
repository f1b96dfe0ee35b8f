"""What a run shows in the terminal: its progress, and its results at the end."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from djfast_bench import html_report, report, results
from djfast_bench.timing import Measurement


def console() -> Console:
    """Return the terminal; a file gets lines of 120 characters."""
    return Console(width=None if sys.stdout.isatty() else 120)


@contextmanager
def progress(total: float, screen: Console) -> Iterator[Callable[[str, float], None]]:
    """Show a bar; yield a function that sets its description and the reached part of `total`.

    Args:
        total: seconds that the run may take; the remaining time is estimated from the pace so far.
        screen: where the bar is shown until the end.
    """
    columns = (TextColumn("{task.description:40}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=screen, transient=True) as shown:
        task = shown.add_task("", total=total, left="")
        start = time.monotonic()

        def show(description: str, reached: float) -> None:
            pace = (time.monotonic() - start) / reached if reached else 0
            left = max(0.0, pace * (total - reached))
            remaining = f"{left // 60:.0f} min {left % 60:.0f} s" if reached else ""
            shown.update(task, description=description, completed=reached, left=remaining)

        yield show


def publish(suite: str, rows: list[Measurement], conditions: dict[str, Any], **more: Any) -> None:
    """Store results in benchmarks/results/, as a page and as Markdown too; print the table.

    Args:
        suite: "bench" or "compare".
        rows: what was compared.
        conditions: from `results.conditions`.
        more: `interrupted`, `differences`, `notes`; see `results.Results`.
    """
    path = results.save(suite, rows, conditions, **more)
    found = results.load(path)
    path.with_suffix(".html").write_text(html_report.page(found), "utf-8")
    path.with_suffix(".md").write_text(report.markdown(found), "utf-8")
    screen = console()
    report.terminal(found, screen)
    screen.print(f"Stored as {path}, shown in {path.stem}.html and .md")
