"""An HTTP client that costs little beside the server it measures: prepared bytes, kept connections."""

import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from benchmarks.measure import WrongAnswer

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
ACCEPT = "gzip, deflate, br, zstd"  # encodings, as browsers send them
PATIENCE = 30  # seconds that an answer may take
PART = 1 << 16  # bytes read at once: room for more is fetched from the kernel each time

Request = bytes


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire.

    Attributes:
        status: the status code.
        headers: by lower-case name; of several with one name the last.
        body: as it was sent: compressed, if it was.
        size: bytes on the wire, headers included.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    size: int


def request(path: str, *, cookie: str = "", **headers: str) -> Request:
    """Prepare a GET request; `accept_encoding="br"` is the header `accept-encoding: br`.

    Args:
        path: begins with a slash; may have a query.
        cookie: the value of the Cookie header, if there is one.
        headers: further headers.
    """
    named = {"host": "127.0.0.1", **headers} | ({"cookie": cookie} if cookie else {})
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


class Peer:
    """One connection to a server of this machine, made again whenever the server has closed it."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.socket: socket.socket | None = None
        self.received = b""

    def send(self, prepared: Request) -> None:
        """Send a request."""
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.socket.sendall(prepared)

    def receive(self) -> bytes | None:
        """Read what has come; return the whole answer once it is complete.

        Raises:
            ConnectionError: the server closed the connection within an answer.
        """
        assert self.socket
        part = self.socket.recv(PART)
        self.received += part
        head = self.received.find(b"\r\n\r\n")
        if head < 0 and part:
            return None
        length = LENGTH.search(self.received, 0, max(head, 0))
        if self.received[9:12] in (b"204", b"304"):
            complete = True
        elif length:
            complete = len(self.received) >= head + 4 + int(length[1])
        elif CHUNKED.search(self.received, 0, max(head, 0)):
            complete = self.received.endswith(b"\r\n0\r\n\r\n")
        else:
            complete = not part and head >= 0  # the end of the connection ends the body
        if not complete:
            if part:
                return None
            raise ConnectionError("the server closed the connection within an answer")
        if not part or CLOSE.search(self.received, 0, head):
            self.close()
        return self.received

    def ask(self, prepared: Request) -> bytes:
        """Send a request and wait for its answer."""
        self.send(prepared)
        while (answer := self.receive()) is None:
            pass
        return answer

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self.socket:
            self.socket.close()
        self.socket = None


def parsed(raw: bytes) -> Answer:
    """Take an answer apart."""
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
    return Answer(int(first.split()[1]), named, body, len(raw))


def ask(port: int, path: str, **options: str) -> Answer:
    """Ask once, on a connection of its own."""
    peer = Peer(port)
    try:
        return parsed(peer.ask(request(path, **options)))
    finally:
        peer.close()


def burst(peers: Sequence[Peer], requests: Sequence[Request], number: int) -> list[float]:
    """Let every peer ask again as soon as it has its answer, until `number` requests are answered.

    Until then all are busy: otherwise a server whose peers are not spread evenly over its processes would
    be timed while some of these have nothing left to do. What is then under way is waited for, untimed.

    Args:
        peers: as many requests are under way at once.
        requests: taken in turn.
        number: how many answers to wait for.

    Returns:
        The seconds that all of it took, then those of each answer.

    Raises:
        WrongAnswer: a status is neither 200 nor 304.
    """
    waiting: Iterator[Request] = islice(cycle(requests), number + len(peers) - 1)
    taken: list[float] = []
    end = 0.0
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        sent: dict[Peer, float] = {}

        def next_request(peer: Peer) -> None:
            if (prepared := next(waiting, None)) is None:
                if peer.socket and peer.socket.fileno() in selector.get_map():
                    selector.unregister(peer.socket)  # what comes now is the end of it, no answer
                return
            sent[peer] = time.perf_counter()
            peer.send(prepared)
            assert peer.socket
            if peer.socket.fileno() not in selector.get_map():
                selector.register(peer.socket, selectors.EVENT_READ, peer)

        for peer in peers:
            next_request(peer)
        while sent:
            ready = selector.select(PATIENCE)
            if not ready:
                raise WrongAnswer(f"no answer within {PATIENCE} seconds")
            for key, _ in ready:
                peer = key.data
                answer = peer.receive()
                if peer.socket is None:
                    selector.unregister(key.fileobj)
                if answer is None:
                    continue
                if answer[9:12] not in (b"200", b"304"):
                    raise WrongAnswer(f"the answer is {answer[:200]!r}")
                begun, now = sent.pop(peer), time.perf_counter()
                if len(taken) < number:
                    taken.append(now - begun)
                    end = now
                next_request(peer)
        return [end - start, *taken]
