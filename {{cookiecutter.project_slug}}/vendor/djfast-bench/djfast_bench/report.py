"""Measurements in words: the table of a run, for the terminal and as Markdown.

A figure is the ratio of experiment to control, so below 1 is better.
"""

import statistics
from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from djfast_bench.results import Results
from djfast_bench.timing import Dimension, Measurement


class Suite(NamedTuple):
    """The words for the rows of a suite.

    Attributes:
        title: heading of the rows.
        about: what is compared, as a sentence.
        experiment: heading of the figures of the experiment.
        control: heading of the figures of the control.
    """

    title: str
    about: str
    experiment: str
    control: str


SUITES = {
    "defaults": Suite(
        title="Speed defaults",
        about="Each speed default against Django's own choice.",
        experiment="with it",
        control="Django's own choice",
    ),
    "advice": Suite(
        title="Django's performance guide",
        about="Each piece of advice against what the guide warns of.",
        experiment="as it advises",
        control="what the guide warns of",
    ),
}

# By dimension: its heading, the title of its chart, and the words for less and for more.
DIMENSIONS = {
    "time": ("Time", "Time taken", "faster", "slower"),
    "memory": ("Memory", "Memory used", "less", "more"),
    "queries": ("Database", "Queries", "fewer", "more"),
    "rows": ("Database", "Rows read", "fewer", "more"),
    "connections": ("Database", "Connections opened", "fewer", "more"),
    "bytes": ("Network", "Bytes sent", "smaller", "larger"),
    "requests": ("Network", "Requests of a browser", "fewer", "more"),
}

DASH = "\N{EN DASH}"  # between the ends of an interval
HEADER = ("Name", "Scenario", "Dimension", "Ratio", "Verdict")


def suite(rows: list[Measurement]) -> Suite:
    """Return the words for these rows; a comparison of projects names both."""
    new, old = rows[0].experiment, rows[0].control
    return SUITES.get(rows[0].suite) or Suite("Pages", f"{new}, against {old}.", new, old)


def ratio(dimension: Dimension) -> str:
    """Return a ratio as text, with its interval in brackets if it was sampled."""
    if dimension.ratio in (0, float("inf")):
        return "0" if not dimension.ratio else "∞"
    digits = 2 if dimension.ratio >= 0.1 else 3 if dimension.ratio >= 0.01 else 4
    text = f"{dimension.ratio:.{digits}f}"
    if len(dimension.experiment) > 1:
        text += f" ({dimension.low:.{digits}f}{DASH}{dimension.high:.{digits}f})"
    return text


def verdict(name: str, dimension: Dimension) -> str:
    """Return the verdict on a dimension in words."""
    _, _, less, more = DIMENSIONS[name]
    return {"less": less, "more": more}.get(dimension.verdict, dimension.verdict)


def amounts(dimension: Dimension) -> list[str]:
    """Return the medians of both sides as text, in the unit that suits the larger one."""
    medians = [statistics.median(side) for side in (dimension.experiment, dimension.control)]
    if dimension.unit == "s":
        units = {"s": 1, "ms": 1e-3, "µs": 1e-6}
    elif dimension.unit == "B" and max(medians) >= 1000:
        units = {"MB": 1e6, "kB": 1e3}
    else:
        return [f"{median:,.0f} {dimension.unit}" for median in medians]
    unit = next((unit for unit, size in units.items() if max(medians) >= size), list(units)[-1])
    values = [median / units[unit] for median in medians]
    return [f"{value:,.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}" for value in values]


def reading(results: Results) -> str:
    """Return what is compared with what, and which direction is better."""
    about = dict.fromkeys(suite([row]).about for row in results.rows)
    return " ".join([*about, "Below 1 is better."])


def sentence(results: Results) -> str:
    """Return when, on which machine and how completely it was measured."""
    known, date = results.conditions, datetime.fromisoformat(results.conditions["date"])
    answers = known["answers"]
    text = (
        f"Measured on {date.day} {date:%B %Y at %H:%M} in {known['project']}"
        f"{f' at commit {known["commit"]}' if known['commit'] else ''} "
        f"({answers['template_engine']} templates, {answers['interface']}, {answers['server']}) on "
        f"{known['cpu']} with {known['cores']} cores and {known['memory_gib']:g} GiB, {known['os']}, "
        f"{known['python']}{f' {build}' if (build := known.get('python_build')) else ''}, "
        f"Django {known['django']}"
        f"{f', PostgreSQL {known["postgresql"]}' if known['postgresql'] else ''}"
        f"{f', {known["valkey"]}' if known['valkey'] else ''}."
    )
    if known["quick"]:
        text += " It was a quick run, which leaves more rows inconclusive than a full one."
    if results.interrupted:
        text += " It was interrupted, so rows are missing."
    return " ".join([text, *results.notes])


def table(results: Results) -> Iterator[tuple[list[str], str]]:
    """Yield the lines of the short table, as cells and verdict.

    A row has a line for the dimension that it is about, and one for each that it makes worse.
    """
    for row in results.rows:
        if problem := trouble(row):
            yield [row.name, row.scenario, row.claim, "", problem], "error"
            continue
        start = [row.name, row.scenario]
        for name in sorted(row.dimensions, key=lambda name: name != row.claim):
            dimension = row.dimensions[name]
            if name == row.claim or dimension.verdict == "more":
                words = verdict(name, dimension)
                if name == row.claim and row.holds:
                    words += f"; holds: {row.holds}"
                yield [*start, name, ratio(dimension), words], dimension.verdict
                start = ["", ""]


def trouble(row: Measurement) -> str:
    """Return why a row has no figure for what it is about; "" if it has one."""
    return row.error or ("" if row.claim in row.dimensions else "It was not measured.")


def terminal(results: Results, console: Console) -> None:
    """Print the short table and the conditions."""
    shown = Table(*HEADER, box=None, header_style="bold", pad_edge=False)
    shown.columns[3].no_wrap = True
    colours = {"less": "green", "more": "red", "error": "red", "inconclusive": "yellow"}
    for cells, found in table(results):
        shown.add_row(*map(Text, cells[:-1]), Text(cells[-1], colours.get(found, "")))
    console.print(shown, Text(f"\n{reading(results)} {sentence(results)}"))


def markdown(results: Results) -> str:
    """Return the short table and the conditions as GitHub's Markdown."""
    lines = [HEADER, ("---", "---", "---", "---:", "---"), *(cells for cells, _ in table(results))]
    text = [" | ".join(escape(cell, False).replace("|", "\\|") for cell in line) for line in lines]
    shown = "\n".join(f"| {line} |" for line in text)
    return f"{shown}\n\n{reading(results)} {sentence(results)}\n"
