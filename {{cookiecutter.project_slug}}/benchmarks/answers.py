"""What a visitor sees of an answer: equal on both sides, or no time of theirs means anything."""

import gzip
import re
import sys
from html.parser import HTMLParser
from typing import Any

import brotli

from benchmarks.measure import WrongAnswer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # comes with django-http-compression

HIDDEN = {"link", "meta", "script", "style"}  # how a page looks and behaves, not what it says
HASH = re.compile(r"\.[0-9a-f]{12}(?=\.)")  # in the name of a static file


class Outline(HTMLParser):
    """A document as its tags and texts, without what differs between two requests.

    Whitespace is collapsed; CSRF tokens and the hashes of file names are left out.
    """

    def __init__(self, document: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.inside = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag with its addresses, unless it is hidden."""
        self.inside = tag
        if tag not in HIDDEN and ("name", "csrfmiddlewaretoken") not in attrs:
            where = [HASH.sub("", value or "") for name, value in attrs if name in ("href", "src")]
            self.parts.append(" ".join([tag, *where]))

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag."""
        self.inside = ""

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        if self.inside not in HIDDEN and (words := " ".join(data.split())):
            self.parts.append(words)


def decoded(body: bytes, encoding: str) -> bytes:
    """Undo the compression that a `Content-Encoding` names.

    Raises:
        KeyError: it is none of zstd, br, gzip.
    """
    if not encoding:
        return body
    undo = {"zstd": zstd.decompress, "br": brotli.decompress, "gzip": gzip.decompress}
    return bytes(undo[encoding](body))


def visible(status: int, headers: dict[str, str], body: bytes) -> tuple[int, object]:
    """Return what must be equal: the status, and the outline of a page or any other body as it is."""
    plain = decoded(body, headers.get("content-encoding", ""))
    if headers.get("content-type", "").startswith("text/html"):
        return status, Outline(plain.decode()).parts
    return status, plain


def shown(given: Any) -> object:
    """Return what a visitor sees of an answer: two sides that fail alike are not equal.

    Args:
        given: has `status`, `headers` by lower-case name, `body`.

    Raises:
        WrongAnswer: the status is not 200.
    """
    if given.status != 200:
        raise WrongAnswer(f"the status is {given.status}")
    return visible(given.status, given.headers, given.body)
