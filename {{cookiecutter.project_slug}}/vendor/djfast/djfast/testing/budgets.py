"""Budgets: what each page may cost, one line per page in `[tool.budgets]` of pyproject.toml.

    "/" = { queries = 0, duplicates = 0, bytes = 1500, static_requests = 3, static_bytes = 3000 }

"/shop/" is the page as an anonymous visitor gets it, "/shop/ signed in" as a signed-in one does. A
limit that is left out is not checked:

    queries          of a second request, when caches are filled
    duplicates       of these, the ones whose SQL, without its parameters, was already executed
    bytes            of the page as the production server sends it, compressed
    static_requests  files that the page and its stylesheets name, without what a script would load
    static_bytes     of these files, compressed

A test of the project checks them all, once per page:

    @pytest.mark.django_db
    def test_a_page_stays_within_its_budget(budget):
        budget.check()

Pages show the rows that `content()` of benchmarks/pages.py creates, if the project has that.
"""

import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from traceback import walk_stack
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import pytest
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from djfast.testing.server import Server

LIMITS = ["queries", "duplicates", "bytes", "static_requests", "static_bytes"]
SIGNED_IN = " signed in"
ENCODINGS = "gzip, deflate, br, zstd"  # as browsers send them
LIBRARY = str(Path(__file__).resolve().parents[1])
TRANSACTION = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO")  # of the test, not of the page
MORE_COLUMNS = re.compile(r"(?<=^SELECT )([^,()]+,)[^()]+(?= FROM )")
CSS_FILE = re.compile(r"""(?:url\(|@import\s*(?=["']))\s*["']?([^"')]+)""")


class Query(NamedTuple):
    """A query: its SQL with placeholders, and the line of the project that made it."""

    sql: str
    line: str


class Cost(NamedTuple):
    """The cost of a page under one limit, and its causes, the largest first."""

    number: int
    causes: list[str]


class PageFiles(HTMLParser):
    """Collect the URLs that a browser fetches to show a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ["href"] if tag in {"image", "link", "use"} else ["src", "poster"]
        self.urls += [value for name, value in attrs if name in names and value]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses the fixture `budget` once per page."""
    if "budget" in metafunc.fixturenames:
        table = tomllib.loads((metafunc.config.rootpath / "pyproject.toml").read_text("utf-8"))
        budgets = table.get("tool", {}).get("budgets", {})
        metafunc.parametrize("budget", budgets.items(), ids=list(budgets), indirect=True)


@pytest.fixture(scope="module")
def budget_rows(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, pytestconfig: pytest.Config
) -> Iterator[None]:
    """Create the rows of `content()` where the server sees them, and delete them after the module."""
    exists = (pytestconfig.rootpath / "benchmarks/pages.py").is_file()
    pages: Any = import_module("benchmarks.pages") if exists else None
    with django_db_blocker.unblock():
        rows: list[Any] = getattr(pages, "content", list)() or []
        yield
        for row in reversed(rows):
            row.delete()


@pytest.fixture
def budget(
    request: pytest.FixtureRequest,
    budget_rows: None,
    client: Any,
    server: Server,
    cookie: str,
    settings: Settings,
) -> "Budget":
    """Return the budget of one page."""
    settings.DEBUG = False
    # It is for development, and would raise an error on a page whose budget has duplicates.
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("zeal.")]
    page, limits = request.param
    headers = {"cookie": cookie} if page.endswith(SIGNED_IN) else {}
    visit = Visit(page.removesuffix(SIGNED_IN), headers, client, server, settings.STATIC_URL)
    return Budget(page, limits, visit, request.config.rootpath)


@dataclass(frozen=True)
class Visit:
    """A visitor's way to request a page: from the test client, and from the production server."""

    path: str
    headers: dict[str, str]
    client: Any
    server: Server
    static_url: str

    def render(self) -> object:
        """Request the page in this process."""
        return self.client.get(self.path, headers=self.headers)

    @cached_property
    def html(self) -> str:
        """The page as it is before compression."""
        return self.server.get(self.path, **self.headers).body.decode(errors="replace")

    def files(self) -> Counter[str]:
        """Return the compressed bytes of each static file that the page and its stylesheets name."""
        sizes: Counter[str] = Counter()
        urls = [urljoin(self.path, url) for url in PageFiles(self.html).urls]
        for url in urls:  # stylesheets extend the list
            name = urlsplit(url).path
            if url.startswith(self.static_url) and name not in sizes:
                file = self.server.get(name, accept_encoding=ENCODINGS)
                if file.status != 200:
                    pytest.fail(f"{self.path} names {name}: status {file.status}.", pytrace=False)
                sizes[name] = len(file.body)
                if name.endswith(".css"):
                    names = CSS_FILE.findall(self.server.get(name).body.decode())
                    urls += [urljoin(url, found) for found in names]
        return sizes


@dataclass(frozen=True)
class Budget:
    """The budget of a page: its key in `[tool.budgets]` and its limits."""

    page: str
    limits: Any
    visit: Visit
    project: Path

    def check(self) -> None:
        """Fail the test with every limit that the page exceeds, and with what causes it."""
        entry = f'"{self.page}" in [tool.budgets] of pyproject.toml'
        if wrong := self.mistake():
            pytest.fail(f"{entry} {wrong}.", pytrace=False)
        costs = self.costs(entry)
        over = []
        for limit, most in self.limits.items():
            number, causes = costs[limit]
            if number > most:
                over.append(f"{limit} = {number}, {number - most} more than the budget of {most}:")
                over += [f"    {cause}" for cause in causes]
        if over:
            over.insert(0, f'"{self.page}" is over its budget.')
            over.append(f"Reduce them, or raise the number of {entry}.")
            pytest.fail("\n".join(over), pytrace=False)

    def mistake(self) -> str:
        """Return what is wrong with the line of the table, or an empty string."""
        if not self.page.startswith("/") or " " in self.page.removesuffix(SIGNED_IN):
            return f'is no page: write "/path/" or "/path/{SIGNED_IN}"'
        if not isinstance(self.limits, dict):
            return f"needs limits in braces, of {', '.join(LIMITS)}"
        if unknown := self.limits.keys() - LIMITS:
            return f"limits {' and '.join(sorted(unknown))}; possible are {', '.join(LIMITS)}"
        if wrong := [n for n, value in self.limits.items() if type(value) is not int or value < 0]:
            return f"has no whole number for {' and '.join(wrong)}"
        return ""

    def costs(self, entry: str) -> dict[str, Cost]:
        """Return what the page costs, by limit; fail if the server does not serve it."""
        visit = self.visit
        queries = queries_of(visit.render, self.project)
        sent = visit.server.get(visit.path, accept_encoding=ENCODINGS, **visit.headers)
        if sent.status != 200:
            answer = f"{sent.status} {sent.headers.get('location', '')}".strip()
            pytest.fail(f"{entry}: status {answer}. Correct it, or delete the line.", pytrace=False)
        encoding = sent.headers["content-encoding"] or "they are"
        page = f"{visit.path}  {len(visit.html.encode()):,} bytes, sent as {encoding}"
        times = Counter(query.sql for query in queries)
        repeated = [query for query in queries if times[query.sql] > 1]
        files = visit.files()
        by_size = [f"{size:,} bytes  {name}" for name, size in files.most_common()]
        return {
            "queries": Cost(len(queries), grouped(queries)),
            "duplicates": Cost(len(queries) - len(times), grouped(repeated)),
            "bytes": Cost(len(sent.body), [page]),
            "static_requests": Cost(len(files), by_size),
            "static_bytes": Cost(files.total(), by_size),
        }


def queries_of(render: Callable[[], object], project: Path) -> list[Query]:
    """Return the queries of a second run of `render`."""
    from django.db import connections

    queries: list[Query] = []

    def record(execute: Any, sql: object, *arguments: Any) -> Any:
        if not str(sql).startswith(TRANSACTION):
            queries.append(Query(str(sql), project_line(project)))
        return execute(sql, *arguments)

    render()
    with ExitStack() as databases:
        for connection in connections.all():
            databases.enter_context(connection.execute_wrapper(record))
        render()
    return queries


def project_line(project: Path) -> str:
    """Return the innermost line of the project's code or templates on the stack."""
    inside = f"{project}{os.sep}"
    for frame, line in walk_stack(None):
        file, scope = frame.f_code.co_filename, frame.f_locals
        if frame.f_code.co_name == "thread_handler":  # of asgiref: the caller is on another stack
            break
        if frame.f_code.co_name == "render_annotated" and hasattr(scope["self"], "origin"):
            file, line = scope["self"].origin.name, scope["self"].token.lineno  # a Django template
        elif template := frame.f_globals.get("__jinja_template__"):
            line = template.get_corresponding_lineno(line)
        if file.startswith(inside) and not file.startswith((sys.prefix, LIBRARY)):
            return f"{file.removeprefix(inside)}:{line}"
    return "asynchronous code, or a package"


def grouped(queries: list[Query]) -> list[str]:
    """List each query once, the most frequent first, with the first of its columns only."""
    counts = Counter(Query(MORE_COLUMNS.sub(r"\1 ...", sql), line) for sql, line in queries)
    return [f"{n} x {sql}  ({line})" for (sql, line), n in counts.most_common()]
