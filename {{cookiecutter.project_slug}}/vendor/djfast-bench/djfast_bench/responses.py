"""Responses, and the part of them that must be equal before any times are compared."""

import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import import_module

from djfast_bench.timing import WrongResponse

INVISIBLE = {"link", "meta", "script", "style"}  # appearance and behaviour, not content
# The module for each Content-Encoding; django-http-compression installs the backport.
DECODERS = {
    "br": "brotli",
    "gzip": "gzip",
    "zstd": "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd",
}
HASH = re.compile(r"\.[0-9a-f]{12}(?=\.)")  # in the name of a static file


@dataclass(frozen=True)
class Response:
    """A response, from a server or straight from Django's handler.

    Attributes:
        status: the status code.
        headers: by lower-case name; the last one if there are several of one name.
        body: as it was sent, so compressed if there is a Content-Encoding.
        size: bytes on the wire including headers; 0 if no server was involved.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    size: int = 0


class Outline(HTMLParser):
    """A document as its tags and texts, without the parts that differ between two requests.

    Whitespace is collapsed; CSRF tokens and the hashes of file names are left out.
    """

    def __init__(self, document: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.current = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a visible tag with its URLs."""
        self.current = tag
        if tag not in INVISIBLE and ("name", "csrfmiddlewaretoken") not in attrs:
            urls = [HASH.sub("", value or "") for name, value in attrs if name in ("href", "src")]
            self.parts.append(" ".join([tag, *urls]))

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag."""
        self.current = ""

    def handle_data(self, data: str) -> None:
        """Record visible text."""
        if self.current not in INVISIBLE and (words := " ".join(data.split())):
            self.parts.append(words)


def decompress(body: bytes, encoding: str) -> bytes:
    """Decompress a body according to its `Content-Encoding`, which may be empty.

    Raises:
        WrongResponse: the encoding is none of zstd, br, gzip.
    """
    if not encoding:
        return body
    if encoding not in DECODERS:
        raise WrongResponse(f"the response has the unknown Content-Encoding {encoding!r}")
    return bytes(import_module(DECODERS[encoding]).decompress(body))


def visible(response: Response) -> tuple[int, object]:
    """Return what must be equal: the status, and the outline of a page or any other body as it is."""
    plain = decompress(response.body, response.headers.get("content-encoding", ""))
    if response.headers.get("content-type", "").startswith("text/html"):
        return response.status, Outline(plain.decode()).parts
    return response.status, plain


def shown(response: Response) -> object:
    """Return the visible part of a successful response; two equal errors are not a result.

    Raises:
        WrongResponse: the status is not 200.
    """
    if response.status != 200:
        raise WrongResponse(f"the status is {response.status}")
    return visible(response)
