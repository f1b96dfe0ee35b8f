"""The documents: their prose is written by hand, what stands between two markers by this module.

    <!-- generated: BLOCK ARGUMENT -->
    <!-- end -->

A block is a function of this module, and reads nothing but the results files in docs/results/. So does
the file of figures that a new project brings along until its own first `make bench`.
"""

import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RESULTS = DOCS / "results"
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
BASELINE = TEMPLATE / "benchmarks/results/template.json"

# The project's own report, unrendered. No bytecode there: it would travel into projects.
sys.dont_write_bytecode = True
sys.path.append(str(TEMPLATE))

from benchmarks import report, results  # noqa: E402
from benchmarks.measure import Dimension, Row  # noqa: E402
from speed.defaults import DEFAULTS  # noqa: E402

MARKED = re.compile(r"(<!-- generated: (\w+)([^>]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def documents() -> dict[Path, str]:
    """Return what is to be written, by path: documents that have markers, charts, the baseline."""
    charts: dict[Path, str] = {}

    def block(marked: re.Match[str]) -> str:
        start, name, argument, end = marked.groups()
        return f"{start}\n{'\n\n'.join(BLOCKS[name](argument.strip(), charts))}\n\n{end}"

    written = {path: path.read_text("utf-8") for path in (ROOT / "README.md", *DOCS.glob("*.md"))}
    found = {path: MARKED.sub(block, old) for path, old in written.items() if MARKED.search(old)}
    return found | charts | {BASELINE: baseline()}


def write() -> None:
    """Write it all; delete the charts that no document shows any more."""
    found = documents()
    for path in {*(DOCS / "charts").glob("*.svg")} - {*found}:
        path.unlink()
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@cache
def load(name: str) -> results.Results:
    """Read a results file.

    Raises:
        SystemExit: there is none; the message says how to make it.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        sys.exit(f"docs/results/{path.name} is missing: `make docs` measures it.")
    return results.load(path)


def benches() -> list[results.Results]:
    """Return what `make bench` found in each project, the default one first."""
    names = [path.stem for path in RESULTS.glob("bench-*.json")]
    return [load(name) for name in sorted(names, key=lambda name: (name != "bench-default", name))]


def of(name: str) -> list[tuple[results.Results, Row]]:
    """Return what was found of one default, in each project that was measured."""
    return [
        (bench, row)
        for bench in benches()
        for row in bench.rows
        if (row.suite, row.name) == ("defaults", name)
    ]


def answers(found: results.Results) -> str:
    """Name the answers of the project that was measured."""
    return ", ".join(found.conditions["answers"].values())


def baseline() -> str:
    """Return the figures of all defaults, each of the first project that has it, as a results file.

    Of many samples it keeps the lowest, the median and the highest.
    """

    def few(samples: list[float]) -> list[float]:
        return sorted({min(samples), statistics.median(samples), max(samples)})

    def short(one: Dimension) -> Dimension:
        return replace(one, experiment=few(one.experiment), control=few(one.control))

    rows = [of(default.name)[0][1] for default in DEFAULTS]
    found = [replace(r, dimensions={n: short(d) for n, d in r.dimensions.items()}) for r in rows]
    known = load("bench-default").conditions | {"project": "djfast, the template"}
    with TemporaryDirectory() as folder:
        return results.save("bench", found, known, Path(folder)).read_text("utf-8")


def cell(text: str) -> str:
    """Write a text so that a table takes it for nothing else."""
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


def table(head: str, lines: Iterable[Iterable[str]]) -> str:
    """Write a table; a column whose heading ends with a colon is one of figures."""
    columns = [part.strip() for part in head.split("|")]
    rule = ["---:" if name.endswith(":") else "---" for name in columns]
    cells = [map(cell, line) for line in lines]
    every = [[name.rstrip(":") for name in columns], rule, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)


def measured(row: Row, name: str) -> str:
    """Write one dimension of a row, or why it has none."""
    if row.error:
        return row.error
    if not (dimension := row.dimensions.get(name)):
        return ""
    return f"{report.ratio(dimension)} {report.verdict(name, dimension)}"


def drawn(rows: list[Row], name: str, charts: dict[Path, str]) -> Iterator[str]:
    """Draw what several rows claim, a chart for each dimension."""
    for dimension, (_, title, _, _) in report.DIMENSIONS.items():
        claimed = [row for row in rows if row.claim == dimension and not report.trouble(row)]
        if len(claimed) > 1:
            file = f"charts/{name}-{dimension}.svg"
            charts[DOCS / file] = report.chart(claimed, dimension, title)
            yield f"![{title}]({file})"


# What a project is measured against, and the heading of its column.
CONTROLS = {
    "informed stock": "× informed stock:",
    "stock, a worker per core": "× stock, a worker per core:",
    "stock, one worker": "× stock, one worker:",
    "the limit": "% of the limit:",
    "Django's cache_page": "× cache_page:",
    "its hello": "× its hello:",
}


def headline(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show how many times as many requests a second a project answers, for both engines."""
    lines = []
    for engine in ("django", "jinja2"):
        rows = load(f"reference-{engine}").rows
        for page in dict.fromkeys(row.name for row in rows):
            found = {row.control: row for row in rows if row.name == page}
            own = next(iter(found.values()))
            if "bytes" not in own.dimensions:
                continue  # it has a sentence of its own
            second = 1 / statistics.median(own.dimensions["time"].experiment)
            factors = [times(found[one]) if one in found else "" for one in CONTROLS]
            size = own.dimensions["bytes"].ratio or 0
            lines.append([engine, page, *factors, f"{second:,.0f}", f"{100 * size:.0f}"])
    head = " | ".join(["engine", "page", *CONTROLS.values(), "requests per second:"])
    yield table(f"{head} | % of stock's bytes:", lines)
    found = load("reference-django")
    yield f"Requests per second, {found.rows[0].scenario}. {report.sentence(found)}"


def expiry(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show what a page that expires does to the slowest visitors."""
    lines = []
    for engine in ("django", "jinja2"):
        row = load(f"reference-{engine}").rows[-1]
        lines.append([engine, row.name, row.scenario, row.control, measured(row, "time")])
    yield table("engine | what | who asks | against | ratio of times", lines)


def times(row: Row) -> str:
    """Write how many times as many requests a second it was; of the limit, how many per cent."""
    if row.error:
        return row.error
    time = row.dimensions["time"]
    scale, digits = (100, 1) if row.control == "the limit" else (1, 2)
    factor, low, high = (f"{scale / one:.{digits}f}" for one in (time.ratio, time.high, time.low))
    open_ = time.verdict in ("inconclusive", "no difference")
    return f"{factor} ({low}–{high})" + (f" {time.verdict}" if open_ else "")


def defaults(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show all defaults, each as it was measured in the first project that has it."""
    rows = [of(default.name)[0][1] for default in DEFAULTS]
    lines = []
    for row in rows:
        anchor = re.sub(r"[^\w -]", "", row.name.lower()).replace(" ", "-")  # as GitHub makes it
        link = f"[{row.name}](#{anchor})"
        lines.append([link, row.says, row.claim, measured(row, row.claim)])
    yield table("default | what it buys | measured | ratio", lines)
    yield from drawn(rows, "defaults", charts)
    home, *others = benches()
    also = "; ".join(f"{answers(one)} at commit {one.conditions['commit']}" for one in others)
    yield f"{report.sentence(home)} What other answers change was measured there, too: {also}."


def default(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show one default with all that was measured of it, in every project that has it."""
    row = next(default for default in DEFAULTS if default.name == argument)
    setting = row.setting.replace("{{ cookiecutter.server }}", "granian or gunicorn")
    yield f"**Set in** {setting}. **Django’s own choice:** {row.django}. **Buys:** {row.buys}"
    lines = []
    for bench, found in of(argument):
        project = answers(bench)
        if report.trouble(found):
            lines.append([project, found.claim, report.trouble(found), "", ""])
        for name, dimension in found.dimensions.items():
            lines.append([project, name, measured(found, name), *report.amounts(dimension)])
    yield f"Measured on {row.scenario}:"
    yield table("project | dimension | ratio | with it: | Django’s own:", lines)


def advice(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show the guide's claims from the addresses that have one of these words in them."""
    words = argument.split()
    every = [row for row in load("bench-default").rows if row.suite == "advice"]
    rows = [row for row in every if any(word in row.source for word in words)]
    lines = []
    for row in rows:
        worse = [n for n, one in row.dimensions.items() if one.verdict == "more" and n != row.claim]
        figures = [f"{name} {measured(row, name)}" for name in (row.claim, *worse)]
        found = "; ".join(figures) + (f". {row.note}" if row.note else "")
        lines.append([f"[{row.says}]({row.source})", tried(row), found, row.holds])
    yield table("the guide says | tried | measured | holds", lines)
    yield from drawn(rows, f"advice-{re.sub(r'[^a-z]+', '-', words[0]).strip('-')}", charts)


def tried(row: Row) -> str:
    """Write the two ways of a claim, and what they were tried on."""
    return f"{row.name}, on {row.scenario}"


def comparison(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show one comparison of two projects: a line for each page, a column for each dimension."""
    found = load(f"compare-{argument}")
    names = [name for name in report.DIMENSIONS if any(name in r.dimensions for r in found.rows)]
    lines = [
        [f"{row.name}: {row.scenario}", *(measured(row, name) for name in names)]
        for row in found.rows
    ]
    yield table(" | ".join(["page", *names]), lines)
    yield from drawn(found.rows, f"compare-{argument}", charts)
    settings = ", ".join(name for name, _, _ in found.differences["Settings"])
    versions = ", ".join(f"{n} {old} → {new}" for n, old, new in found.differences["Versions"])
    yield f"Settings that differ: {settings or 'none'}. Versions that differ: {versions or 'none'}."
    yield report.sentence(found)


def pythons(argument: str, charts: dict[Path, str]) -> Iterator[str]:
    """Show the comparison with every other Python that the machine had."""
    own = load("bench-default").conditions["python"]
    for path in sorted(RESULTS.glob("compare-python*.json")):
        name = path.stem.removeprefix("compare-")
        yield f"### {name.replace('python', 'Python ')} against {own}"
        yield from comparison(name, charts)


BLOCKS = {
    block.__name__: block
    for block in (advice, comparison, default, defaults, expiry, headline, pythons)
}
