"""Write the generated parts of the documents: their prose is written by hand, their figures by this module.

    <!-- generated: BLOCK ARGUMENT -->
    <!-- end -->

A block is a function of this module that reads nothing but `djfast.rows` and the result files in
docs/results/. So does the file of figures that the library brings along, which a project uses until its own
first `make bench`.
"""

import json
import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from djfast.rows import ROWS, Row
from djfast_bench import report, results
from djfast_bench.charts import chart
from djfast_bench.timing import Dimension, Measurement

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RESULTS = DOCS / "results"
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
FIGURES = TEMPLATE / "vendor/djfast/djfast/figures.json"

ENGINES = ("django", "jinja2")  # of templates, each with a reference of its own
MARKED = re.compile(r"(<!-- generated: (\w+)([^>]*) -->\n).*?(<!-- end -->)", re.DOTALL)

Charts = dict[Path, str]


def documents() -> dict[Path, str]:
    """Return the contents of all generated files, by path: documents, charts, figures."""
    charts: Charts = {}

    def block(marked: re.Match[str]) -> str:
        start, name, argument, end = marked.groups()
        parts = [*BLOCKS[name](argument.strip(), charts)]
        blank = "" if len(parts) == 1 and "\n" not in parts[0] else "\n"
        return f"{start}{blank}{'\n\n'.join(parts)}\n{blank}{end}"

    written = {path: path.read_text("utf-8") for path in (ROOT / "README.md", *DOCS.glob("*.md"))}
    found = {path: MARKED.sub(block, old) for path, old in written.items() if MARKED.search(old)}
    return found | charts | {FIGURES: figures()}


def write() -> None:
    """Write all generated files; delete the charts that no document shows any more."""
    found = documents()
    for path in {*(DOCS / "charts").glob("*.svg")} - {*found}:
        path.unlink()
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    commits = {load(path.stem).conditions["commit"] for path in RESULTS.glob("*.json")}
    if len(commits) > 1:
        print(f"The results are from several commits: {', '.join(sorted(map(str, commits)))}.")


@cache
def load(name: str) -> results.Results:
    """Read a result file.

    Raises:
        SystemExit: it does not exist; the message has the command that measures it.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        sys.exit(f"docs/results/{path.name} is missing: `make docs ONLY={name}` measures it.")
    return results.load(path)


def benches() -> list[results.Results]:
    """Return the results of `make bench` in each project, the default one first."""
    names = [path.stem for path in RESULTS.glob("bench-*.json")]
    return [load(name) for name in sorted(names, key=lambda name: (name != "bench-default", name))]


def measured(row: Row) -> list[tuple[results.Results, Measurement]]:
    """Return the measurements of a row, in each project that has it; none if it is newer than the results."""
    return [
        (bench, found)
        for bench in benches()
        for found in bench.rows
        if (found.suite, found.name) == ("defaults", row.name)
    ]


def answers(found: results.Results) -> str:
    """Return the answers of the project that was measured."""
    return ", ".join(found.conditions["answers"].values())


def figures() -> str:
    """Return a result file with all rows, each as in the first project that has it.

    Of the samples it has the lowest, the median and the highest.
    """

    def few(samples: list[float]) -> list[float]:
        return sorted({min(samples), statistics.median(samples), max(samples)})

    def short(one: Dimension) -> Dimension:
        return replace(one, experiment=few(one.experiment), control=few(one.control))

    rows = [measured(row)[0][1] for row in ROWS if measured(row)]
    found = [replace(r, dimensions={n: short(d) for n, d in r.dimensions.items()}) for r in rows]
    known = load("bench-default").conditions | {"project": "djfast, the template"}
    with TemporaryDirectory() as folder:
        return results.save("bench", found, known, Path(folder)).read_text("utf-8")


def cell(text: str) -> str:
    """Escape a text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


def table(head: str, lines: Iterable[Iterable[str]]) -> str:
    """Return a table; a column whose heading ends with a colon has figures."""
    columns = [part.strip() for part in head.split("|")]
    rule = ["---:" if name.endswith(":") else "---" for name in columns]
    cells = [map(cell, line) for line in lines]
    every = [[name.rstrip(":") for name in columns], rule, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)


def figure(found: Measurement, name: str) -> str:
    """Return the ratio of one dimension and its verdict, or why there is none."""
    if found.error:
        return found.error
    if not (dimension := found.dimensions.get(name)):
        return ""
    return f"{report.ratio(dimension)} {report.verdict(name, dimension)}"


def drawn(rows: list[Measurement], name: str, charts: Charts) -> Iterator[str]:
    """Draw the claims of several rows, in a chart for each dimension."""
    for dimension, (_, title, _, _) in report.DIMENSIONS.items():
        claimed = [row for row in rows if row.claim == dimension and not report.trouble(row)]
        if len(claimed) > 1:
            file = f"charts/{name}-{dimension}.svg"
            charts[DOCS / file] = chart(claimed, dimension, title)
            yield f"![{title}]({file})"


# The controls of a project's pages, and the heading of each one's column.
CONTROLS = {
    "informed stock": "× tuned stock:",
    "stock, a worker per core": "× stock, a worker per core:",
    "stock, one worker": "× stock, one worker:",
    "the limit": "% of the limit:",
    "Django's cache_page": "× cache_page:",
    "its hello": "× its hello:",
}


def headline(argument: str, charts: Charts) -> Iterator[str]:
    """Show how many times as many requests per second the default project answers as tuned stock."""
    lines = [[page, line[0], *line[-2:]] for page, line in briefly("django")]
    yield table("page | × tuned stock: | requests per second: | % of stock's bytes:", lines)
    yield report.sentence(load("reference-django"))


def briefly(engine: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of the headline; a form other than "everything" is named after its page."""
    for _, page, form, *figures in multiples(engine):
        yield page if form == "everything" else f"{page}, {form}", figures


def against_stock(argument: str, charts: Charts) -> Iterator[str]:
    """Show how many times as many requests per second a project answers, with both engines."""
    head = " | ".join(["engine", "page", "with", *CONTROLS.values(), "requests per second:"])
    lines = [line for engine in ENGINES for line in multiples(engine)]
    yield table(f"{head} | % of stock's bytes:", lines)
    found = load("reference-django")
    yield f"Requests per second, {found.rows[0].scenario}. {report.sentence(found)}"


def multiples(engine: str) -> Iterator[list[str]]:
    """Return the lines of the headline for one engine: a page of one form of the project each."""
    found: dict[tuple[str, str], dict[str, Measurement]] = {}
    for row in load(f"reference-{engine}").rows[:-1]:  # the last one has a table of its own
        found.setdefault((row.name, row.experiment), {})[row.control] = row
    for (page, side), rows in found.items():
        own = next(iter(rows.values()))
        second = 1 / statistics.median(own.dimensions["time"].experiment)
        factors = [times(rows[control]) if control in rows else "" for control in CONTROLS]
        size = own.dimensions["bytes"].ratio
        yield [engine, page, side, *factors, f"{second:,.0f}", f"{100 * size:.0f}"]


def expiry(argument: str, charts: Charts) -> Iterator[str]:
    """Show the slowest responses of a page that expires."""
    lines = []
    for engine in ENGINES:
        row = load(f"reference-{engine}").rows[-1]
        lines.append([engine, row.name, row.scenario, row.control, figure(row, "time")])
    yield table("engine | what | requested by | against | ratio of times", lines)


def times(row: Measurement) -> str:
    """Return how many times as many requests per second it is; of the limit, how many per cent."""
    if row.error:
        return row.error
    time = row.dimensions["time"]
    scale, digits = (100, 1) if row.control == "the limit" else (1, 2)
    factor, low, high = (f"{scale / one:.{digits}f}" for one in (time.ratio, time.high, time.low))
    open_ = time.verdict in ("inconclusive", "no difference")
    return f"{factor} ({low}–{high})" + (f" {time.verdict}" if open_ else "")


def conditions(argument: str, charts: Charts) -> Iterator[str]:
    """Show where and when the defaults were measured."""
    home, *others = benches()
    also = "; ".join(f"{answers(one)} at commit {one.conditions['commit']}" for one in others)
    yield f"{report.sentence(home)} Rows that depend on other answers were also measured with {also}."


def defaults(argument: str, charts: Charts) -> Iterator[str]:
    """Show the defaults of a group, each as measured in the first project that has it."""
    lines, found = [], []
    for row in (row for row in ROWS if row.group == argument):
        anchor = re.sub(r"[^\w -]", "", row.name.lower()).replace(" ", "-")  # as GitHub makes it
        figures = [one for _, one in measured(row)[:1]]
        ratio = figure(figures[0], row.claim) if figures else "not yet measured"
        replaces = "yes" if row.replaces_internals else "no"
        lines.append([f"[{row.name}](#{anchor})", row.benefit, row.claim, ratio, replaces])
        found += figures
    yield table("default | benefit | measured | ratio | replaces Django internals?", lines)
    yield from drawn([row for row in found if row.claim == "time"], f"defaults-{argument}", charts)


def default(argument: str, charts: Charts) -> Iterator[str]:
    """Show one default in a sentence, and a sentence for each project in which it was measured."""
    row = next(row for row in ROWS if row.name == argument)
    text = f"**Set in** {row.setting}. **Django’s default:** {row.django}."
    for bench, found in measured(row):
        also = "" if bench is benches()[0] else f" ({answers(bench)})"
        text += f" **Measured** on {row.scenario}{also}: {differences(found)}."
    yield text


def differences(found: Measurement) -> str:
    """Return the dimensions in which both sides differ; the one that the row is about comes first."""
    if problem := report.trouble(found):
        return problem.removesuffix(".")
    parts = []
    for name in sorted(found.dimensions, key=lambda name: name != found.claim):
        dimension = found.dimensions[name]
        if name == found.claim or dimension.verdict in ("less", "more"):
            new, old = report.amounts(dimension)
            parts.append(f"{name} {figure(found, name)}, {new.strip()} instead of {old.strip()}")
    return "; ".join(parts)


def advice(argument: str, charts: Charts) -> Iterator[str]:
    """Show the guide's claims from the URLs that contain one of these words."""
    words = argument.split()
    every = [row for row in load("bench-default").rows if row.suite == "advice"]
    rows = [row for row in every if any(word in row.source for word in words)]
    lines = []
    for row in rows:
        worse = [n for n, one in row.dimensions.items() if one.verdict == "more" and n != row.claim]
        figures = [f"{name} {figure(row, name)}" for name in (row.claim, *worse)]
        found = "; ".join(figures) + (f". {row.note}" if row.note else "")
        lines.append([f"[{row.benefit}]({row.source})", tested(row), found, row.holds])
    yield table("the guide says | tested | measured | holds", lines)
    yield from drawn(rows, f"advice-{re.sub(r'[^a-z]+', '-', words[0]).strip('-')}", charts)


def tested(row: Measurement) -> str:
    """Return the two variants of a claim, and what they were tested on."""
    return f"{row.name}, on {row.scenario}"


def comparison(argument: str, charts: Charts) -> Iterator[str]:
    """Show one comparison of two projects: a line for each page, a column for each dimension."""
    found = load(f"compare-{argument}")
    names = [name for name in report.DIMENSIONS if any(name in r.dimensions for r in found.rows)]
    lines = [
        [f"{row.name}: {row.scenario}", *(figure(row, name) for name in names)]
        for row in found.rows
    ]
    yield table(" | ".join(["page", *names]), lines)
    yield from drawn(found.rows, f"compare-{argument}", charts)
    settings = ", ".join(name for name, _, _ in found.differences["Settings"])
    versions = ", ".join(f"{n} {old} → {new}" for n, old, new in found.differences["Versions"])
    yield f"Settings that differ: {settings or 'none'}. Versions that differ: {versions or 'none'}."
    yield report.sentence(found)


def pythons(argument: str, charts: Charts) -> Iterator[str]:
    """Show the comparison with every other Python that the machine had."""
    own = load("bench-default").conditions["python"]
    paths = sorted(RESULTS.glob("compare-python*.json"))
    if not paths:
        yield "No other version was installed on the measuring machine."
    for path in paths:
        name = path.stem.removeprefix("compare-")
        yield f"### {name.replace('python', 'Python ')} against {own}"
        yield from comparison(name, charts)


def packages(argument: str, charts: Charts) -> Iterator[str]:
    """Show what tests/packages found: a line for each package, a column for each project."""
    paths = sorted((RESULTS / "packages").glob("*.json"))
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in paths}
    counted = next(one for name, one in found.items() if "-wsgi-" in name)
    lines = []
    for name, row in sorted(counted["packages"].items()):
        equal = [same(one["packages"][name]["equal"]) for one in found.values()]
        stock, own = row["queries"]
        lines.append([f"{name} {row['version']}", row["used"], *equal, f"{stock} → {own}"])
    yield table(" | ".join(["package", "what was used", *found, "queries"]), lines)
    known = {tuple(sorted(one["conditions"].items())) for one in found.values()}
    for conditions in map(dict, sorted(known)):
        yield "Django {django}, Python {python}, at commit {commit}.".format(**conditions)


def same(equal: dict[str, bool]) -> str:
    """Return in how many combinations a package gave what it gives under stock Django."""
    differs = [name for name, one in equal.items() if not one]
    return f"differs: {'; '.join(differs)}" if differs else f"equal in {len(equal)}"


BLOCKS = {
    block.__name__: block
    for block in (
        advice,
        against_stock,
        comparison,
        conditions,
        default,
        defaults,
        expiry,
        headline,
        packages,
        pythons,
    )
}
