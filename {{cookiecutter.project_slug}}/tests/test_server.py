"""The production server keeps the promises of `speed/defaults.py`, seen from outside."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from .conftest import WORKERS, Server, backends

pytestmark = pytest.mark.django_db  # the server's database is that of the tests

# {% if cookiecutter.interface == "wsgi" %}
CONNECTIONS = WORKERS * 4  # threads of each process
# {% else %}
CONNECTIONS = WORKERS * 8  # the pool of each process
# {% endif %}


def link(server: Server, ending: str) -> str:
    """Return the address of the file on the home page that ends with `ending`."""
    page = server.get("/").body.decode()
    return str(re.findall(rf'"(/static/[^"]+{re.escape(ending)})"', page)[0])


def test_requests_share_a_few_kept_connections(
    server: Server, production: dict[str, str], cookie: str
) -> None:
    def visit_often() -> set[int]:
        with ThreadPoolExecutor(16) as visitors:
            pages = list(visitors.map(lambda _: server.get("/", cookie=cookie), range(200)))
        assert all(b"visitor" in page.body for page in pages)  # found by a query
        return backends(production)

    first, second = visit_often(), visit_often()
    assert WORKERS < len(second) <= CONNECTIONS
    assert first <= second, "connections were closed"


def test_there_are_as_many_processes_as_were_asked_for(server: Server) -> None:
    children = [
        child
        for child in psutil.Process(server.pid).children()
        if "resource_tracker" not in " ".join(child.cmdline())
    ]
    assert len(children) == WORKERS


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip"])
def test_a_page_is_compressed_as_the_visitor_accepts(server: Server, encoding: str) -> None:
    plain = server.get("/")
    page = server.get("/", accept_encoding=encoding)
    assert page.headers["content-encoding"] == encoding
    assert "accept-encoding" in page.headers["vary"].lower()
    assert len(page.body) < len(plain.body)


def test_a_second_visit_to_an_unchanged_page_gets_no_body(server: Server) -> None:
    first = server.get("/", accept_encoding="zstd")
    second = server.get("/", accept_encoding="zstd", if_none_match=first.headers["etag"])
    assert (second.status, second.body) == (304, b"")


@pytest.mark.parametrize("ending", [".css", ".js", ".svg"])
def test_a_file_is_kept_by_the_browser_for_ever(server: Server, ending: str) -> None:
    file = server.get(link(server, ending), accept_encoding="gzip, br")
    assert file.status == 200
    assert "immutable" in file.headers["cache-control"]
    assert file.headers["content-encoding"] == "br"
    assert "accept-encoding" in file.headers["vary"].lower()


@pytest.mark.parametrize(
    ("kind", "sources"), [("css", ["base.css", "page.css"]), ("js", ["theme.js", "visit.js"])]
)
def test_a_bundle_is_smaller_than_its_sources(
    server: Server, kind: str, sources: list[str]
) -> None:
    bundle = server.get(link(server, f".{kind}"))
    folder = Path(__file__).parent.parent / "static" / kind
    assert server.get("/").body.count(f'.{kind}"'.encode()) == 1
    assert 0 < len(bundle.body) < sum((folder / name).stat().st_size for name in sources)


def test_pages_are_served_without_the_cache(server_without_cache: Server, cookie: str) -> None:
    assert server_without_cache.get("/").status == 200
    assert b"visitor" in server_without_cache.get("/", cookie=cookie).body
