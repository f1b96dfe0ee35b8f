"""Charts of measurements, as SVG files with selectable text and a light and a dark theme."""

import io
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

from djfast_bench.report import DIMENSIONS, ratio, suite, verdict
from djfast_bench.timing import Dimension, Measurement

if TYPE_CHECKING:  # importing matplotlib takes half a second, so only drawing does
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In a light and in a dark theme.
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

WIDTH = 350  # points: fits the screen of a phone
LONGEST = 1.5  # the bar of a higher ratio is drawn with a gap
STYLE: dict[Any, Any] = {
    "axes.facecolor": "none",
    "axes.labelcolor": QUIET,
    "font.sans-serif": ["DejaVu Sans"],  # for the layout; browsers show their own
    "font.size": 11,
    "lines.linewidth": 1,
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",  # fixed, so that the same results give the same file
    "text.color": QUIET,
    "text.parse_math": False,  # so that a dollar sign is shown
}
LINES = ((ACCENT, "-"), (WARNING, "--"), (QUIET, ":"), (INK, "-."))


def chart(rows: list[Measurement], dimension: str, title: str = "") -> str:
    """Draw the ratios of one dimension as bars, the lowest first; return the SVG, "" if none.

    Args:
        rows: of one suite; those without a figure in this dimension are left out.
        dimension: one of `DIMENSIONS`.
        title: above the chart; empty if the page around it has one.
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
            y = _write(axes, y + 4, f"A bar with a gap continues beyond {longest:g}.", 54)
        y += 5 + margin
        axes.set_ylim(y, 0)
        figure.set_size_inches(WIDTH / 72, y / 72)
    return drawn.getvalue()


def lines(series: dict[str, Any], label: str) -> str:
    """Draw values over time, on an axis that starts at zero; return the SVG.

    Args:
        series: `unit`, `x` (seconds), `lines` (values by name).
        label: for screen readers.
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
    """Yield an empty figure and a file, to which the SVG is written at the end.

    Args:
        label: for screen readers.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings(action="ignore"):  # about glyphs
        yield (figure := Figure(facecolor=PAPER)), drawn
        unknown = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(drawn, format="svg", metadata=unknown)
    _, start, svg = drawn.getvalue().partition("<svg ")
    # All charts of a page would have the same ids.
    svg = re.sub(r' (id|clip-path)="[^"]*"', "", svg)
    svg = svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for name, (light, _) in COLOURS.items():
        svg = svg.replace(light, f"var(--{name})")
    svg = re.sub("<style.*?</style>", f"<style>{style()}</style>", svg, flags=re.DOTALL)
    drawn.truncate(drawn.seek(0))
    drawn.write(f'{start}role="img" aria-label="{escape(label)}" {svg}')


def style() -> str:
    """Return CSS that defines each colour by its name, for both themes."""
    themes = []
    for theme in (0, 1):
        names = "".join(f"--{name}:{both[theme]};" for name, both in COLOURS.items())
        themes.append(":root{" + names + "}")
    return themes[0] + "@media(prefers-color-scheme:dark){" + themes[1] + "}"


def _write(axes: "Axes", y: float, text: str, width: int, size: int = 11) -> float:
    """Write lines of at most `width` characters below `y`; return the position of the last one.

    Args:
        axes: in points, downwards.
        y: position of the previous line.
        text: may be empty.
        width: in characters.
        size: in points; a larger one than usual is a heading.
    """
    heading: dict[str, Any] = {"weight": 700, "color": INK} if size > STYLE["font.size"] else {}
    for line in textwrap.wrap(text, width):
        y += round(1.3 * size)
        axes.text(0, y, line, size=size, **heading)
    return y


def _bar(axes: "Axes", y: float, one: Dimension, longest: float) -> None:
    """Draw a bar on a track from 0 to 1, with the interval as a whisker."""
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
