"""Show results: a table in the terminal, the same as Markdown, a page for the browser, charts.

A figure is a ratio, what is measured divided by what it is compared against: below 1 is better.
"""

import io
import re
import statistics
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from html import escape
from itertools import cycle, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FileSystemLoader
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.measure import Dimension, Row
from benchmarks.results import Results

if TYPE_CHECKING:  # matplotlib takes half a second: only what draws imports it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Suite(NamedTuple):
    """What to call the rows of a suite, and both sides of each."""

    title: str
    about: str
    experiment: str
    control: str


SUITES = {
    "defaults": Suite(
        title="Speed defaults",
        about="Each default of this project, against Django’s own choice in its place.",
        experiment="with it",
        control="Django’s own choice",
    ),
    "advice": Suite(
        title="Django’s performance guide",
        about="Each piece of its advice, against what it warns of.",
        experiment="as it advises",
        control="what the guide warns of",
    ),
}

# By dimension: the heading that it belongs to, what is measured, the words for less and for more.
DIMENSIONS = {
    "time": ("Time", "How long it takes", "faster", "slower"),
    "memory": ("Memory", "Memory that it takes", "less", "more"),
    "queries": ("Database", "Queries", "fewer", "more"),
    "rows": ("Database", "Rows that are read", "fewer", "more"),
    "connections": ("Database", "Connections that are opened", "fewer", "more"),
    "bytes": ("Network", "Bytes that are sent", "smaller", "larger"),
    "requests": ("Network", "Requests of a browser", "fewer", "more"),
}

# How the claim of a row came out, in the order in which the page tells it.
OUTCOMES = {
    "yes": "Holds",
    "less": "Better",
    "no": "Does not hold",
    "more": "Worse",
    "no difference": "No difference",
    "inconclusive": "Inconclusive",
    "error": "Not measured",
}

# As in static/css/base.css: on light, on dark.
COLOURS = {
    "paper": ("#fdfcfa", "#161719"),
    "sunk": ("#f4f2ed", "#1e2023"),
    "ink": ("#1c1d1f", "#e6e4df"),
    "quiet": ("#5b5d61", "#a3a5a9"),
    "rule": ("#dcd9d2", "#36383c"),
    "accent": ("#0a5a4b", "#7cd0bb"),
    "warning": ("#9c3d05", "#f2ab7c"),
}
PAPER, SUNK, INK, QUIET, RULE, ACCENT, WARNING = (light for light, _ in COLOURS.values())

WIDTH = 350  # points of a chart: what a telephone shows without shrinking it
LONGEST = 1.5  # a bar of a higher ratio is broken
STYLE: dict[Any, Any] = {
    "axes.facecolor": "none",
    "axes.labelcolor": QUIET,
    "font.sans-serif": ["DejaVu Sans"],  # measured with it, shown in the reader's own
    "font.size": 11,
    "lines.linewidth": 1,
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",  # the same results give the same file
    "text.color": QUIET,
    "text.parse_math": False,  # a dollar is a dollar
}
LINES = ((ACCENT, "-"), (WARNING, "--"), (QUIET, ":"), (INK, "-."))
HEADER = ("Name", "Scenario", "Dimension", "Ratio", "Verdict")


def suite(rows: list[Row]) -> Suite:
    """Return the words for these rows; those that compare other things carry the labels of both."""
    new, old = rows[0].experiment, rows[0].control
    return SUITES.get(rows[0].suite) or Suite("Pages", f"{new}, against {old}.", new, old)


def ratio(dimension: Dimension) -> str:
    """Write a ratio and, if it was sampled, its interval in brackets."""
    if dimension.ratio in (0, float("inf")):
        return "0" if not dimension.ratio else "∞"
    digits = 2 if dimension.ratio >= 0.1 else 3 if dimension.ratio >= 0.01 else 4
    text = f"{dimension.ratio:.{digits}f}"
    if len(dimension.experiment) > 1:
        text += f" ({dimension.low:.{digits}f}–{dimension.high:.{digits}f})"
    return text


def verdict(name: str, dimension: Dimension) -> str:
    """Write the verdict on a dimension in plain words."""
    _, _, less, more = DIMENSIONS[name]
    return {"less": less, "more": more}.get(dimension.verdict, dimension.verdict)


def amounts(dimension: Dimension) -> list[str]:
    """Write the medians of both sides, in the unit that suits the larger one."""
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
    """Say what is compared with what, and which way is better."""
    about = dict.fromkeys(suite([row]).about for row in results.rows)
    return " ".join([*about, "Below 1 is better."])


def sentence(results: Results) -> str:
    """Write when, on what and how completely it was measured."""
    known, date = results.conditions, datetime.fromisoformat(results.conditions["date"])
    answers = known["answers"]
    text = (
        f"Measured on {date.day} {date:%B %Y at %H:%M} in {known['project']}"
        f"{f' at commit {known["commit"]}' if known['commit'] else ''} "
        f"({answers['template_engine']} templates, {answers['interface']}, {answers['server']}) on "
        f"{known['cpu']} with {known['cores']} cores and {known['memory_gib']:g} GiB, {known['os']}, "
        f"{known['python']}, Django {known['django']}, "
        f"{f'PostgreSQL {known["postgresql"]}, ' if known['postgresql'] else ''}{known['valkey']}."
    )
    if known["quick"]:
        text += " It was a quick run, which leaves more rows inconclusive than a full one."
    if results.interrupted:
        text += " It was interrupted: rows are missing."
    return text


def table(results: Results) -> Iterator[tuple[list[str], str]]:
    """Give the lines of the short table, as cells and verdict.

    A row has one line for what it is about, and one for each dimension that it makes worse.
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


def trouble(row: Row) -> str:
    """Return why a row has no figure for what it is about; empty if it has."""
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


def chart(rows: list[Row], dimension: str, title: str = "") -> str:
    """Draw the ratios of one dimension as bars, the lowest first; return the SVG, empty if none.

    Args:
        rows: of one suite; those that have no such figure are left out.
        dimension: one of `DIMENSIONS`.
        title: above the chart; none where the page around it has one.
    """
    rows = [row for row in rows if dimension in row.dimensions and not row.error]
    if not rows:
        return ""
    rows.sort(key=lambda row: row.dimensions[dimension].ratio)
    found = [row.dimensions[dimension] for row in rows]
    longest = min(LONGEST, max(1.04, *(one.high for one in found)))
    with _canvas(title or DIMENSIONS[dimension][1]) as (figure, drawn):
        margin = 12 if title else 1  # points: a picture on its own has a border
        aside = longest * margin / (WIDTH - 2 * margin)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-aside, longest + aside))
        axes.set_axis_off()
        y = _write(axes, margin, title, 36, size=14)
        y = _write(axes, y + 2, f"1 (100 %) is {suite(rows).control}. Lower is better.", 54)
        for row, one in zip(rows, found, strict=True):
            y = _write(axes, y + 16, row.name, 42 - len(ratio(one)), size=12)
            axes.text(longest, y, ratio(one), ha="right", size=12, color=INK)
            axes.text(longest, y + 14, verdict(dimension, one), ha="right")
            y = _write(axes, y, row.scenario, 38) + 12
            _bar(axes, y, one, longest)
        y += 20
        for tick, align in ((0, "left"), (0.5, "center"), (1, "center"), (1.5, "right")):
            if tick <= longest:
                axes.text(tick, y, f"{tick:g}", ha=align)
        if any(one.high > longest for one in found):
            y = _write(axes, y + 4, f"What has a gap goes on beyond {longest:g}.", 54)
        y += 5 + margin
        axes.set_ylim(y, 0)
        figure.set_size_inches(WIDTH / 72, y / 72)
    return drawn.getvalue()


def lines(series: dict[str, Any], label: str) -> str:
    """Draw what changed over time, from zero; return the SVG.

    Args:
        series: `unit`, `x` (seconds), `lines` (values by name).
        label: what a screen reader says of the picture.
    """
    with _canvas(label) as (figure, drawn):
        figure.set_size_inches(WIDTH / 72, 200 / 72)
        figure.text(0, 0.83, series["unit"])
        axes = figure.add_axes((0.12, 0.2, 0.87, 0.57))
        for (name, values), (colour, dash) in zip(series["lines"].items(), cycle(LINES)):
            axes.plot(series["x"], values, color=colour, linestyle=dash, linewidth=1.5, label=name)
        axes.set_xlim(series["x"][0], series["x"][-1])
        axes.set_ylim(0, 1.05 * axes.dataLim.y1 or 1)
        axes.set_xlabel("seconds")
        axes.locator_params(nbins=5)
        axes.tick_params(bottom=False, left=False, labelcolor=QUIET)
        axes.grid(axis="y", color=RULE)
        axes.spines[:].set_visible(False)
        figure.legend(loc="upper left", bbox_to_anchor=(-0.02, 1), ncols=4, frameon=False)
    return drawn.getvalue()


@contextmanager
def _canvas(label: str) -> Iterator[tuple["Figure", io.StringIO]]:
    """Lend a figure, then write it as an SVG whose text is text and whose colours follow the theme.

    Args:
        label: what a screen reader says of the picture.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings(action="ignore"):  # other scripts
        yield (figure := Figure(facecolor=PAPER)), drawn
        unknown = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(drawn, format="svg", metadata=unknown)
    _, start, svg = drawn.getvalue().partition("<svg ")
    # Ids would be the same in all charts of a page, and so would be what they clip.
    svg = re.sub(r' (id|clip-path)="[^"]*"', "", svg)
    svg = svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for name, (light, _) in COLOURS.items():
        svg = svg.replace(light, f"var(--{name})")
    svg = re.sub("<style.*?</style>", f"<style>{style()}</style>", svg, flags=re.DOTALL)
    drawn.truncate(drawn.seek(0))
    drawn.write(f'{start}role="img" aria-label="{escape(label)}" {svg}')


def style() -> str:
    """Return CSS that gives each colour its name, by the theme of whoever looks."""
    themes = []
    for theme in (0, 1):
        names = "".join(f"--{name}:{both[theme]};" for name, both in COLOURS.items())
        themes.append(":root{" + names + "}")
    return themes[0] + "@media(prefers-color-scheme:dark){" + themes[1] + "}"


def _write(axes: "Axes", y: float, text: str, width: int, size: int = 11) -> float:
    """Write lines of at most `width` characters below `y`; return where the last one stands.

    Args:
        axes: in points, downwards.
        y: where the line before stands.
        text: may be empty.
        width: in characters.
        size: in points; larger than the rest is a heading.
    """
    heading: dict[str, Any] = {"weight": 700, "color": INK} if size > STYLE["font.size"] else {}
    for line in textwrap.wrap(text, width):
        y += round(1.3 * size)
        axes.text(0, y, line, size=size, **heading)
    return y


def _bar(axes: "Axes", y: float, one: Dimension, longest: float) -> None:
    """Draw a bar on the track that stands for 1, with the interval as a whisker."""
    colour = {"less": ACCENT, "more": WARNING}.get(one.verdict, QUIET)
    alpha = 0.25 if one.verdict == "inconclusive" else 0.65
    axes.barh(y, 1, 8, color=SUNK)
    axes.barh(y, min(one.ratio, longest), 8, color=colour, alpha=alpha)
    axes.plot([1, 1], [y - 7, y + 7], color=INK)
    if one.low < one.high:
        ends = [min(one.low, longest), min(one.high, longest)]
        axes.plot(ends, [y, y], color=INK)
        axes.vlines(ends, y - 2.5, y + 2.5, color=INK)
    if one.high > longest:
        axes.plot([0.95 * longest, 0.97 * longest], [y + 7, y - 7], color=PAPER, linewidth=4)


def page(results: Results) -> str:
    """Return the page: conditions, charts, then all figures; it needs no other file."""
    folder = FileSystemLoader(Path(__file__).parent)
    site = Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    used = (amounts, charts, lines, outcomes, ratio, sentence, style, suite, trouble, verdict)
    groups = [list(rows) for _, rows in groupby(results.rows, lambda row: row.suite)]
    template = site.get_template("report.html", globals={each.__name__: each for each in used})
    return str(template.render(results=results, groups=groups))


def outcomes(rows: list[Row]) -> dict[str, list[str]]:
    """Sort the names of rows by how their claims came out."""
    found: dict[str, list[str]] = {label: [] for label in OUTCOMES.values()}
    for row in rows:
        outcome = "error" if trouble(row) else row.holds or row.dimensions[row.claim].verdict
        found[OUTCOMES[outcome]].append(row.name)
    return found


def charts(rows: list[Row]) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Draw all dimensions: by heading, what is measured, the SVG, and the names without a bar.

    A dimension that a row is not about and in which nothing differs needs none.
    """
    found: dict[str, list[tuple[str, str, list[str]]]] = {}
    for name, (heading, what, _, _) in DIMENSIONS.items():
        having = [row for row in rows if name in row.dimensions and not row.error]
        equal = [row for row in having if row.dimensions[name].verdict == "no difference"]
        equal = [row for row in equal if row.claim != name]
        drawn = [row for row in having if row not in equal]
        if having:
            names = [row.name for row in equal]
            found.setdefault(heading, []).append((what, chart(drawn, name), names))
    return found
