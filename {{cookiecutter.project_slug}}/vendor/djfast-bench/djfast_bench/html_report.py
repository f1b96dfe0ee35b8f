"""The results of a run as one HTML page that needs no other file."""

from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from djfast_bench.charts import chart, lines, style
from djfast_bench.report import DIMENSIONS, amounts, ratio, sentence, suite, trouble, verdict
from djfast_bench.results import Results
from djfast_bench.timing import Measurement

# The outcomes of a claim, in the order of the page.
OUTCOMES = {
    "yes": "Holds",
    "less": "Better",
    "no": "Does not hold",
    "more": "Worse",
    "no difference": "No difference",
    "inconclusive": "Inconclusive",
    "error": "Not measured",
}


def page(results: Results) -> str:
    """Return the page: conditions, charts, then all figures."""
    folder = FileSystemLoader(Path(__file__).parent)
    site = Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    used = (amounts, charts, lines, outcomes, ratio, sentence, style, suite, trouble, verdict)
    groups = [list(rows) for _, rows in groupby(results.rows, lambda row: row.suite)]
    template = site.get_template("report.html", globals={each.__name__: each for each in used})
    return str(template.render(results=results, groups=groups))


def outcomes(rows: list[Measurement]) -> dict[str, list[str]]:
    """Return the names of rows by the outcome of their claims."""
    found: dict[str, list[str]] = {label: [] for label in OUTCOMES.values()}
    for row in rows:
        outcome = "error" if trouble(row) else row.holds or row.dimensions[row.claim].verdict
        found[OUTCOMES[outcome]].append(row.name)
    return found


def charts(rows: list[Measurement]) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Draw all dimensions.

    A row without a difference has a bar only in the dimension that it is about.

    Returns:
        By heading: the title of each chart, its SVG, and the names of the rows without a bar.
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
