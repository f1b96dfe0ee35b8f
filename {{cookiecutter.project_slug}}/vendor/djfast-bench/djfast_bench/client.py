"""An HTTP client that costs little compared with the server under test.

Requests are prepared as bytes and sent over persistent connections.
"""

import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from djfast_bench.responses import Response
from djfast_bench.timing import WrongResponse

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
ACCEPT = "gzip, deflate, br, zstd"  # the Accept-Encoding of current browsers
TIMEOUT = 30  # seconds to wait for a response
CHUNK = 1 << 16  # bytes per read: a larger buffer would be allocated each time

Request = bytes


def build_request(path: str, *, cookie: str = "", **headers: str) -> Request:
    """Prepare a GET request; `accept_encoding="br"` becomes the header `accept-encoding: br`.

    Args:
        path: begins with a slash; may have a query string.
        cookie: value of the Cookie header, which is left out if this is empty.
        headers: further headers.
    """
    named = {"host": "127.0.0.1", **headers} | ({"cookie": cookie} if cookie else {})
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


class KeepAliveConnection:
    """A persistent connection to a server on this machine, reopened when the server has closed it."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.socket: socket.socket | None = None
        self.received = b""

    def send(self, prepared: Request) -> None:
        """Send a request."""
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.socket.sendall(prepared)

    def receive(self) -> bytes | None:
        """Read the available data; return the whole response once it is complete.

        Raises:
            ConnectionError: the server closed the connection within a response.
        """
        assert self.socket
        part = self.socket.recv(CHUNK)
        self.received += part
        head = self.received.find(b"\r\n\r\n")
        if not self.complete(head, closed=not part):
            if part:
                return None
            raise ConnectionError("the server closed the connection within a response")
        if not part or CLOSE.search(self.received, 0, head):
            self.close()
        return self.received

    def complete(self, head: int, *, closed: bool) -> bool:
        """Return whether a response has been received as a whole.

        Args:
            head: position of the end of the headers, or -1.
            closed: whether the server has closed the connection.
        """
        if head < 0:
            return False
        if self.received[9:12] in (b"204", b"304"):
            return True
        if length := LENGTH.search(self.received, 0, head):
            return len(self.received) >= head + 4 + int(length[1])
        if CHUNKED.search(self.received, 0, head):
            return self.received.endswith(b"\r\n0\r\n\r\n")
        return closed  # then the end of the connection is the end of the body

    def get(self, prepared: Request) -> bytes:
        """Send a request and wait for the response."""
        self.send(prepared)
        while (response := self.receive()) is None:
            pass
        return response

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self.socket:
            self.socket.close()
        self.socket = None


def parse(raw: bytes) -> Response:
    """Parse a complete response."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    named = {name.lower(): value for name, value in headers.items()}
    if named.get("transfer-encoding") == "chunked":
        chunks, rest = b"", body
        while length := int(rest.partition(b"\r\n")[0], 16):
            start = rest.index(b"\r\n") + 2
            chunks, rest = chunks + rest[start : start + length], rest[start + length + 2 :]
        body = chunks
    return Response(int(first.split()[1]), named, body, len(raw))


def get(port: int, path: str, **options: str) -> Response:
    """Send one request over a connection of its own; `options` are those of `build_request`."""
    connection = KeepAliveConnection(port)
    try:
        return parse(connection.get(build_request(path, **options)))
    finally:
        connection.close()


def burst(
    connections: Sequence[KeepAliveConnection], requests: Sequence[Request], number: int
) -> list[float]:
    """Send the next request on each connection as soon as it has its response, `number` in total.

    All connections stay busy until then: otherwise a server whose connections are not spread evenly
    over its processes would be timed while some of its processes are idle. Requests that are still
    under way at the end are awaited but not timed.

    Args:
        connections: the number of requests that are under way at once.
        requests: sent in turn.
        number: number of responses to wait for.

    Returns:
        The total time in seconds, followed by the time of each response.

    Raises:
        WrongResponse: a status is neither 200 nor 304.
    """
    waiting: Iterator[Request] = islice(cycle(requests), number + len(connections) - 1)
    taken: list[float] = []
    sent: dict[KeepAliveConnection, float] = {}
    with selectors.DefaultSelector() as selector:
        start = end = time.perf_counter()
        for connection in connections:
            _send_next(connection, waiting, sent, selector)
        while sent:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise WrongResponse(f"no response within {TIMEOUT} seconds")
            for key, _ in ready:
                connection = key.data
                response = connection.receive()
                if connection.socket is None:
                    selector.unregister(key.fileobj)
                if response is None:
                    continue
                if response[9:12] not in (b"200", b"304"):
                    raise WrongResponse(f"the response is {response[:200]!r}")
                begun, now = sent.pop(connection), time.perf_counter()
                if len(taken) < number:
                    taken.append(now - begun)
                    end = now
                _send_next(connection, waiting, sent, selector)
        return [end - start, *taken]


def _send_next(
    connection: KeepAliveConnection,
    waiting: Iterator[Request],
    sent: dict[KeepAliveConnection, float],
    selector: selectors.BaseSelector,
) -> None:
    if (prepared := next(waiting, None)) is None:
        if connection.socket and connection.socket.fileno() in selector.get_map():
            selector.unregister(connection.socket)  # no response will follow
        return
    sent[connection] = time.perf_counter()
    connection.send(prepared)
    assert connection.socket
    if connection.socket.fileno() not in selector.get_map():
        selector.register(connection.socket, selectors.EVENT_READ, connection)
