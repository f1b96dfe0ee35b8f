"""Fixtures: fast passwords, a real production server, a signed-in visitor of it."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

PROJECT = Path(__file__).parent.parent
WORKERS = 2


@dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Server:
    """A production server on a free port of this machine."""

    port: int
    pid: int

    def get(self, path: str, **headers: str) -> Response:
        """Request `path`; `if_none_match="x"` becomes the header `if-none-match: x`."""
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            peer.request("GET", path, headers=named)
            response = peer.getresponse()
            return Response(response.status, response.headers, response.read())
        finally:
            peer.close()


@pytest.fixture(autouse=True, scope="session")
def _fast_passwords() -> None:
    """A real hasher is slow on purpose, and every user that a test makes would pay for it."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def production(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a production process: the test database, static files of its own."""
    url, name = urlsplit(os.environ["DATABASE_URL"]), connection.settings_dict["NAME"]
    environment = os.environ | {
        "DATABASE_URL": url._replace(path=f"/{name}", query="application_name=server").geturl(),
        "DEBUG": "0",
        "HOST": "127.0.0.1",
        "LOCAL_HTTP": "1",
        "SECRET_KEY": settings.SECRET_KEY,  # it signs the sessions that both sides read
        "STATIC_ROOT": str(tmp_path_factory.mktemp("static")),
        "WEB_CONCURRENCY": str(WORKERS),
    }
    subprocess.run([sys.executable, "-m", "config.build"], cwd=PROJECT, env=environment, check=True)
    return environment


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[Server]:
    """Run the production server until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "config.server"],
        cwd=PROJECT,
        env=environment | {"PORT": str(port)},
    )
    server = Server(port, process.pid)
    try:
        deadline = time.monotonic() + 90  # seconds: the machine may be busy
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
        process.wait(timeout=40)


@pytest.fixture(scope="session")
def server(production: dict[str, str]) -> Iterator[Server]:
    with serving(production) as running:
        yield running


@pytest.fixture(scope="session")
def server_without_cache(production: dict[str, str]) -> Iterator[Server]:
    """Its Redis address leads to a port where nothing listens."""
    with serving(production | {"REDIS_URL": "redis://127.0.0.1:1/0"}) as running:
        yield running


@pytest.fixture(scope="session")
def cookie(django_db_blocker: DjangoDbBlocker, production: dict[str, str]) -> Iterator[str]:
    """The session cookie of a signed-in visitor, whom both server and test see."""
    with django_db_blocker.unblock():
        user = get_user_model().objects.create_user("visitor", password="visitor")
        client = Client()
        client.force_login(user)
        yield f"{settings.SESSION_COOKIE_NAME}={client.session.session_key}"
        user.delete()


def backends(environment: dict[str, str]) -> set[int]:
    """Return the pids of the database's processes that production processes are connected to."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    query += " AND application_name = 'server' AND pid <> pg_backend_pid()"
    with psycopg.connect(environment["DATABASE_URL"]) as own:
        return {pid for (pid,) in own.execute(query)}
