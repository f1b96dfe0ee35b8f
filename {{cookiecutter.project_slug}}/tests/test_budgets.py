"""What each page may cost: one line per page in `[tool.budgets]` of pyproject.toml.

"/shop/" is the page as a stranger gets it, "/shop/ signed in" as somebody who is signed in. A limit
that is left out is not checked:

    queries          of a second request: what the first one left in a cache is not asked again
    duplicates       of these, the ones that repeat the SQL of another, whatever the values
    bytes            of the page as the production server sends it, compressed
    static_requests  files that the page and its stylesheets name, without what a script would load
    static_bytes     of these files, compressed
"""

import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from traceback import walk_stack
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.db import connections
from django.db.models import Model
from django.test import Client
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from .conftest import PROJECT, Server

pytestmark = pytest.mark.django_db(databases="__all__")

BUDGETS = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"].get("budgets", {})
LIMITS = ["queries", "duplicates", "bytes", "static_requests", "static_bytes"]
SIGNED_IN = " signed in"
ENCODINGS = "gzip, deflate, br, zstd"  # as browsers ask for them
TRANSACTION = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO")  # of a test, not of the page
MORE_COLUMNS = re.compile(r"(?<=^SELECT )([^,()]+,)[^()]+(?= FROM )")
NAMED_BY_CSS = re.compile(r"""(?:url\(|@import\s*(?=["']))\s*["']?([^"')]+)""")


class NamedByHtml(HTMLParser):
    """Collects the addresses of what a browser fetches to show a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ["href"] if tag in {"image", "link", "use"} else ["src", "poster"]
        self.addresses += [value for name, value in attrs if name in names and value]


@pytest.fixture(scope="module", autouse=True)
def content(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Rows that the pages show, for the server too: several of a kind, or a query for each hides."""
    with django_db_blocker.unblock():
        rows: list[Model] = []  # Item.objects.create(...)
        yield
        for row in reversed(rows):
            row.delete()


@pytest.mark.parametrize("page", BUDGETS)
def test_a_page_stays_within_its_budget(
    page: str, client: Client, server: Server, cookie: str, settings: Settings
) -> None:
    entry = f'"{page}" in [tool.budgets] of pyproject.toml'
    if wrong := mistakes(page):
        pytest.fail(f"{entry} {wrong}.", pytrace=False)
    headers = {"cookie": cookie} if page.endswith(SIGNED_IN) else {}
    path = page.removesuffix(SIGNED_IN)
    settings.DEBUG = False
    # It watches in development only, and would stop a page that has a budget for duplicates.
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("zeal.")]

    queries = queries_of(lambda: client.get(path, headers=headers))
    sent = server.get(path, accept_encoding=ENCODINGS, **headers)
    if sent.status != 200:
        answer = f"{sent.status} {sent.headers.get('location', '')}".strip()
        pytest.fail(f"{entry} answers {answer}: correct it, or delete the line.", pytrace=False)
    html = server.get(path, **headers).body.decode(errors="replace")
    files = files_of(server, path, html, settings.STATIC_URL)

    times = Counter(sql for sql, _ in queries)
    by_size = [f"{size:,} bytes  {name}" for name, size in files.most_common()]
    sent_as = sent.headers["content-encoding"] or "they are"
    found = {
        "queries": (len(queries), grouped(queries)),
        "duplicates": (len(queries) - len(times), grouped([q for q in queries if times[q[0]] > 1])),
        "bytes": (len(sent.body), [f"{path}  {len(html.encode()):,} bytes, sent as {sent_as}"]),
        "static_requests": (len(files), by_size),
        "static_bytes": (files.total(), by_size),
    }
    over = []
    for limit, budget in BUDGETS[page].items():
        number, culprits = found[limit]
        if number > budget:
            over.append(f"{limit} = {number}, {number - budget} more than the budget of {budget}:")
            over += [f"    {culprit}" for culprit in culprits]
    if over:
        end = f"Save them, or raise the number of {entry}."
        pytest.fail("\n".join([f'"{page}" is over its budget.', *over, end]), pytrace=False)


def mistakes(page: str) -> str:
    """Say what is wrong with a line of the table, if something is."""
    if not page.startswith("/") or " " in page.removesuffix(SIGNED_IN):
        return f'is no page: write "/path/" or "/path/{SIGNED_IN}"'
    if not isinstance(limits := BUDGETS[page], dict):
        return f"needs limits in braces, of {', '.join(LIMITS)}"
    if unknown := limits.keys() - LIMITS:
        return f"limits {' and '.join(sorted(unknown))}; what is counted: {', '.join(LIMITS)}"
    if wrong := [name for name, value in limits.items() if type(value) is not int or value < 0]:
        return f"has no whole number for {' and '.join(wrong)}"
    return ""


def queries_of(visit: Callable[[], object]) -> list[tuple[str, str]]:
    """Return the SQL of a second visit's queries, each with the line of the project that asks."""
    queries: list[tuple[str, str]] = []

    def record(execute: Any, sql: object, *arguments: Any) -> Any:
        if not str(sql).startswith(TRANSACTION):
            queries.append((str(sql), line_of_the_project()))
        return execute(sql, *arguments)

    visit()
    with ExitStack() as databases:
        for connection in connections.all():
            databases.enter_context(connection.execute_wrapper(record))
        visit()
    return queries


def line_of_the_project() -> str:
    """Return the innermost line of code or template under way that is neither a package's nor here."""
    inside = f"{PROJECT}{os.sep}"
    for frame, line in walk_stack(None):
        file, scope = frame.f_code.co_filename, frame.f_locals
        if frame.f_code.co_name == "thread_handler":  # of asgiref: who waits is on another stack
            break
        if frame.f_code.co_name == "render_annotated" and hasattr(scope["self"], "origin"):
            file, line = scope["self"].origin.name, scope["self"].token.lineno  # Django's template
        elif template := frame.f_globals.get("__jinja_template__"):
            line = template.get_corresponding_lineno(line)
        if file.startswith(inside) and not file.startswith(sys.prefix) and file != __file__:
            return f"{file.removeprefix(inside)}:{line}"
    return "asynchronous code, or a package"


def grouped(queries: list[tuple[str, str]]) -> list[str]:
    """List each SQL and line once, the most frequent first, without the names of all columns."""
    counts = Counter((MORE_COLUMNS.sub(r"\1 ...", sql), line) for sql, line in queries)
    return [f"{n} x {sql}  ({line})" for (sql, line), n in counts.most_common()]


def files_of(server: Server, path: str, html: str, static_url: str) -> Counter[str]:
    """Return the compressed bytes of each static file that a page and its stylesheets name."""
    sizes: Counter[str] = Counter()
    addresses = [urljoin(path, address) for address in NamedByHtml(html).addresses]
    for address in addresses:  # it grows on the way
        name = urlsplit(address).path
        if address.startswith(static_url) and name not in sizes:
            file = server.get(name, accept_encoding=ENCODINGS)
            if file.status != 200:
                pytest.fail(f"{path} names {name}, which answers {file.status}.", pytrace=False)
            sizes[name] = len(file.body)
            if name.endswith(".css"):
                names = NAMED_BY_CSS.findall(server.get(name).body.decode())
                addresses += [urljoin(address, found) for found in names]
    return sizes
