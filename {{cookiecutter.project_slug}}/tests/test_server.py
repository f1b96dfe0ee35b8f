"""The production server in operation: connections, processes, compressed bytes, browser caching."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from djfast.testing.server import Backends, Environment, Server, Serving

pytestmark = pytest.mark.django_db  # the server uses the database of the tests

# {% if cookiecutter.interface == "wsgi" %}
CONNECTIONS = 4  # threads of each process
# {% else %}
CONNECTIONS = 8  # in the pool of each process
# {% endif %}


def url(server: Server, ending: str) -> str:
    """Return the URL of the file on the start page that ends with `ending`."""
    page = server.get("/").body.decode()
    return str(re.findall(rf'"(/static/[^"]+{re.escape(ending)})"', page)[0])


@pytest.mark.speed("persistent connections", "connection pool")
def test_requests_share_a_few_persistent_connections(
    server: Server, backends: Backends, cookie: str
) -> None:
    def visit_often() -> set[int]:
        with ThreadPoolExecutor(16) as visitors:
            pages = list(visitors.map(lambda _: server.get("/", cookie=cookie), range(200)))
        assert all(b"visitor" in page.body for page in pages)  # found by a query
        return backends()

    first, second = visit_often(), visit_often()
    assert server.workers < len(second) <= server.workers * CONNECTIONS
    assert first <= second, "connections were closed"


def test_there_are_as_many_processes_as_configured(server: Server) -> None:
    children = [
        child
        for child in psutil.Process(server.pid).children()
        if "resource_tracker" not in " ".join(child.cmdline())
    ]
    assert len(children) == server.workers


@pytest.mark.speed("compression")
@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip"])
def test_a_page_is_compressed_as_the_browser_accepts(server: Server, encoding: str) -> None:
    plain = server.get("/")
    page = server.get("/", accept_encoding=encoding)
    assert page.headers["content-encoding"] == encoding
    assert "accept-encoding" in page.headers["vary"].lower()
    assert len(page.body) < len(plain.body)


@pytest.mark.speed("conditional GET")
def test_a_second_visit_to_an_unchanged_page_gets_304_without_a_body(server: Server) -> None:
    first = server.get("/", accept_encoding="zstd")
    second = server.get("/", accept_encoding="zstd", if_none_match=first.headers["etag"])
    assert (second.status, second.body) == (304, b"")


@pytest.mark.speed("static files")
@pytest.mark.parametrize("ending", [".css", ".js", ".svg"])
def test_a_static_file_is_compressed_and_immutable(server: Server, ending: str) -> None:
    file = server.get(url(server, ending), accept_encoding="gzip, br")
    assert file.status == 200
    assert "immutable" in file.headers["cache-control"]
    assert file.headers["content-encoding"] == "br"
    assert "accept-encoding" in file.headers["vary"].lower()


@pytest.mark.speed("bundles")
@pytest.mark.parametrize("kind", ["css", "js"])
def test_a_bundle_is_smaller_than_its_sources(server: Server, kind: str) -> None:
    bundle = server.get(url(server, f".{kind}"))
    folder = Path(__file__).parent.parent / "static" / kind
    assert server.get("/").body.count(f'.{kind}"'.encode()) == 1
    assert 0 < len(bundle.body) < sum(source.stat().st_size for source in folder.iterdir())


def test_the_health_probes_answer(server: Server) -> None:
    assert server.get("/health/live/").status == 200
    assert server.get("/health/ready/").status == 200


def test_pages_are_served_without_the_cache(
    production: Environment, serving: Serving, cookie: str
) -> None:
    with serving(production | {"REDIS_URL": "redis://127.0.0.1:1/0"}) as server:
        assert server.get("/").status == 200
        assert b"visitor" in server.get("/", cookie=cookie).body
