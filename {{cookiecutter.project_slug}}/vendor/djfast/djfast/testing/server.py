"""Fixtures that run the project's production server on the test database.

    def test_persistent_connections(server, backends):
        for _ in range(200):
            server.get("/")
        assert len(backends()) <= server.workers * 4

The server is `python -m config.server`, with the static files of `python -m config.build`.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django.plugin import DjangoDbBlocker

WORKERS = 2  # processes of the server
START = 90  # seconds until it must answer: the machine may be busy
STOP = 40  # seconds until it must have ended: more than djfast.server.GRACE
NAME = "server"  # its application_name in PostgreSQL

Environment = dict[str, str]
Serving = Callable[[Environment], AbstractContextManager["Server"]]
Backends = Callable[[], set[int]]


@dataclass(frozen=True)
class Response:
    """A response as it arrived: nothing is decompressed."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Server:
    """A production server on a free port of this machine."""

    port: int
    pid: int
    workers: int

    def get(self, path: str, **headers: str) -> Response:
        """Request `path`; `if_none_match="x"` becomes the header `if-none-match: x`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers=named)
            response = connection.getresponse()
            return Response(response.status, response.headers, response.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def production(
    django_db_setup: None, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """Return the environment of a production process: the test database, its own static files."""
    from django.conf import settings
    from django.db import connection

    url, name = urlsplit(os.environ["DATABASE_URL"]), connection.settings_dict["NAME"]
    query = "&".join(filter(None, [url.query, f"application_name={NAME}"]))
    environment = os.environ | {
        "DATABASE_URL": url._replace(path=f"/{name}", query=query).geturl(),
        "DEBUG": "0",
        "HOST": "127.0.0.1",
        "LOCAL_HTTP": "1",
        "SECRET_KEY": settings.SECRET_KEY,  # it signs the sessions that both sides read
        "STATIC_ROOT": str(tmp_path_factory.mktemp("static")),
        "WEB_CONCURRENCY": str(WORKERS),
    }
    build = [sys.executable, "-m", "config.build"]
    subprocess.run(build, cwd=pytestconfig.rootpath, env=environment, check=True)
    return environment


@pytest.fixture(scope="session")
def serving(pytestconfig: pytest.Config) -> Serving:
    """Return a context manager that runs the server in an environment, such as `production`."""

    @contextmanager
    def serving(environment: Environment) -> Iterator[Server]:
        with run(environment, pytestconfig.rootpath) as server:
            yield server

    return serving


@contextmanager
def run(environment: Environment, project: Path) -> Iterator[Server]:
    """Run the production server of a project until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "config.server"]
    process = subprocess.Popen(command, cwd=project, env=environment | {"PORT": str(port)})
    server = Server(port, process.pid, int(environment["WEB_CONCURRENCY"]))
    try:
        deadline = time.monotonic() + START
        while True:
            try:
                server.get("/health/live/")
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(STOP)


@pytest.fixture(scope="session")
def server(production: Environment, serving: Serving) -> Iterator[Server]:
    """Run the production server for all tests of the session."""
    with serving(production) as running:
        yield running


@pytest.fixture(scope="session")
def cookie(django_db_blocker: DjangoDbBlocker, production: Environment) -> Iterator[str]:
    """Return the session cookie of the user "visitor", for the server and the test client."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client

    with django_db_blocker.unblock():
        users: Any = get_user_model().objects  # a manager that the project chooses
        user = users.create_user("visitor", password="visitor")
        client = Client()
        client.force_login(user)
        yield f"{settings.SESSION_COOKIE_NAME}={client.session.session_key}"
        user.delete()


@pytest.fixture(scope="session")
def backends(production: Environment) -> Backends:
    """Return a function that returns the pids of PostgreSQL's backends for the production server."""
    import psycopg

    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    query += " AND application_name = %s AND pid <> pg_backend_pid()"

    def backends() -> set[int]:
        with psycopg.connect(production["DATABASE_URL"]) as connection:
            return {pid for (pid,) in connection.execute(query, [NAME])}

    return backends
