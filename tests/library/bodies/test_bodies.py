"""Requests whose body has no length, on the wire, on each server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.test import Client
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded

SECONDS = 30  # until a server must answer

GRANIAN = ["granian", "--host=127.0.0.1", "--blocking-threads=2", "--interface=wsgi"]
COMMANDS = {
    "granian": [*GRANIAN, "length_applications:wsgi"],
    "gunicorn": ["gunicorn", "--worker-class=gthread", "--threads=2", "length_applications:wsgi"],
    "runserver": ["django", "runserver", "--noreload"],
    "asgi": ["granian", "--host=127.0.0.1", "--interface=asginl", "length_applications:asgi"],
}
WSGI = ["granian", "gunicorn"]

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
EMPTY = b"0\r\n\r\n"


@dataclass
class Site:
    """The site on one of the servers."""

    port: int
    log: Path

    def ask(self, method: str, *headers: str, body: bytes = b"", wait: str = "") -> tuple[int, str]:
        """Send a request as it is written here; return the status and body of the final response.

        With `wait`, the body follows only when the server has sent a line that begins with it.
        """
        lines = [f"{method} /echo/ HTTP/1.1", "Host: localhost", "Connection: close", *headers]
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = connection.makefile("rb")
            status = answer.readline().decode() if wait else ""
            if status.startswith(wait):
                connection.sendall(body)
            if wait and answer.readline() == b"\r\n":  # the end of "100 Continue"
                status = ""
            rest = answer.read().decode()
        head, _, content = (status + rest).partition("\r\n\r\n")
        return int(head.split()[1]), content

    def ask_http2(self, method: str, body: bytes, *headers: tuple[str, str]) -> tuple[int, str]:
        """Do the same in HTTP/2, where a body needs no header."""
        http2 = H2Connection()
        http2.initiate_connection()
        names = {":method": method, ":path": "/echo/", ":scheme": "http", ":authority": "localhost"}
        http2.send_headers(1, [*names.items(), *headers], end_stream=not body)
        if body:
            http2.send_data(1, body, end_stream=True)
        events: list[Event] = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            while not any(isinstance(event, StreamEnded) for event in events):
                connection.sendall(http2.data_to_send())
                events += http2.receive_data(connection.recv(65536))
        (response,) = (event for event in events if isinstance(event, ResponseReceived))
        content = b"".join(event.data for event in events if isinstance(event, DataReceived))
        return int(dict(response.headers)[b":status"]), content.decode()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """Run every server."""
    here = Path(__file__).parent
    env = os.environ | {
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "length_settings",
        "LOCAL_HTTP": "1",
        "PYTHONPATH": f"{here}:{Path.cwd()}",
    }
    found, processes = {}, []
    for name, command in COMMANDS.items():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        address = {"gunicorn": f"--bind=127.0.0.1:{port}", "runserver": f"127.0.0.1:{port}"}
        log = tmp_path_factory.mktemp(name) / "log"
        with log.open("wb") as output:
            full = [sys.executable, "-m", *command, address.get(name, f"--port={port}")]
            processes.append(subprocess.Popen(full, env=env, stdout=output, stderr=output))
        found[name] = Site(port, log)
    try:
        for site in found.values():
            wait_for(site)
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(SECONDS)


def wait_for(site: Site) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            assert site.ask("GET") == (200, "GET ")
            return
        except OSError:
            assert time.monotonic() < deadline, site.log.read_text()
            time.sleep(0.1)


@pytest.mark.parametrize("server", [*WSGI, "runserver"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
def test_a_chunked_body_is_refused_and_logged(
    sites: dict[str, Site], server: str, method: str
) -> None:
    site = sites[server]
    status, content = site.ask(method, CHUNKED, body=CHUNKS)
    assert (status, "Content-Length" in content) == (411, True)
    assert f"Refused {method} /echo/ with 411" in site.log.read_text()


@pytest.mark.parametrize("server", WSGI)
@pytest.mark.parametrize(
    "header", ["transfer-encoding: Chunked", "Transfer-Encoding: gzip, chunked"]
)
def test_every_spelling_and_coding_is_refused(
    sites: dict[str, Site], server: str, header: str
) -> None:
    assert sites[server].ask("POST", header, body=CHUNKS)[0] == 411


@pytest.mark.parametrize("server", WSGI)
def test_a_client_that_waits_for_permission_gets_an_answer(
    sites: dict[str, Site], server: str
) -> None:
    expect = "Expect: 100-continue"
    assert sites[server].ask("PUT", expect, CHUNKED, body=CHUNKS, wait="HTTP/1.1 100")[0] == 411
    length = "Content-Length: 5"
    answer = sites[server].ask("PUT", expect, length, body=b"hello", wait="HTTP/1.1 100")
    assert answer == (200, "PUT hello")


@pytest.mark.parametrize("server", [*WSGI, "asgi"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_an_empty_chunked_body_is_an_empty_body(
    sites: dict[str, Site], server: str, method: str
) -> None:
    assert sites[server].ask(method, CHUNKED, body=EMPTY) == (200, f"{method} ")


@pytest.mark.parametrize("server", COMMANDS)
def test_a_body_with_a_length_and_no_body_are_as_ever(sites: dict[str, Site], server: str) -> None:
    site = sites[server]
    assert site.ask("POST", "Content-Length: 5", body=b"hello") == (200, "POST hello")
    assert site.ask("POST", "Content-Length: 0") == (200, "POST ")
    assert site.ask("POST") == (200, "POST ")
    assert site.ask("GET") == (200, "GET ")


def test_a_body_of_http_2_is_refused_unless_it_has_a_length(sites: dict[str, Site]) -> None:
    site = sites["granian"]
    assert site.ask_http2("POST", b"hello")[0] == 411
    assert site.ask_http2("POST", b"hello", ("content-length", "5")) == (200, "POST hello")
    assert site.ask_http2("POST", b"") == (200, "POST ")
    assert site.ask_http2("GET", b"") == (200, "GET ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_asgi_application_reads_chunks(sites: dict[str, Site], method: str) -> None:
    assert sites["asgi"].ask(method, CHUNKED, body=CHUNKS) == (200, f"{method} hello world")
    assert sites["asgi"].ask_http2(method, b"hello") == (200, f"{method} hello")


def test_a_path_cannot_write_a_line_of_its_own_into_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.post("/%0AERROR/", headers={"transfer-encoding": "chunked"})
    assert response.status_code == 404  # the test client sends a length
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert client.post("/%0AERROR/", **chunked).status_code == 411
    (refusal,) = (text for text in caplog.messages if text.startswith("Refused"))
    assert "/\\nERROR/" in refusal
    assert "\n" not in refusal
