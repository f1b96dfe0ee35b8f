"""Advice about static files and minification."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.staticfiles.finders import find
from django.http import HttpResponse
from django.templatetags.static import static

from djfast_bench.advice.base import (
    ABOUT,
    NEW,
    Pairs,
    at_new,
    guide,
    middleware,
    pair,
    result_of,
    visit,
)
from djfast_bench.responses import Response, decompress, visible
from djfast_bench.site import Site
from djfast_bench.timing import Variant

WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"


@guide("static-files", "WhiteNoise around Django", "WhiteNoise as middleware", "a stylesheet")
def whitenoise() -> Pairs:
    """Serve static files before Django handles the request (WhiteNoise's advice, not the guide's)."""
    url, site = static("catalogue/catalogue.css"), Site()
    wrap = import_module("whitenoise").WhiteNoise

    @contextmanager
    def around() -> Iterator[None]:
        with site.open():
            site.handler = wrap(site.handler, settings.STATIC_ROOT, settings.STATIC_URL)
            yield

    yield pair(Variant(partial(site.get, url), around), visit(url, middleware(WHITENOISE)))


@guide(
    "manifeststaticfilesstorage",
    "hashed names",
    "plain names",
    "a list page of 50 rows",
    expected="no difference",
)
def manifest() -> Pairs:
    """Give files names that a browser may cache for a long time; looking them up takes no time."""
    storage = "django.contrib.staticfiles.storage.{}StaticFilesStorage".format
    storages = ({"staticfiles": {"BACKEND": storage(name)}} for name in ("Manifest", ""))
    hashed, plain = (visit(ABOUT, {"STORAGES": settings.STORAGES | own}) for own in storages)
    yield pair(hashed, plain)


class Minifier(NamedTuple):
    """What makes a kind of file smaller.

    Attributes:
        kind: name of the kind.
        source: path of a static file, or of a page.
        minify: returns a smaller text with the same meaning.
        same: returns what must be equal before and after.
    """

    kind: str
    source: str
    minify: Callable[[str], str]
    same: Callable[[str], object]

    def text(self) -> str:
        """Return the text of the source."""
        if self.source.startswith("/"):
            return str(result_of(visit(self.source)).body.decode())
        return Path(str(find(self.source))).read_text("utf-8")


def minify_css(text: str) -> str:
    """Return a stylesheet without comments and superfluous whitespace."""
    return str(import_module("rcssmin").cssmin(text))


def minify_js(text: str) -> str:
    """Return a script without comments and superfluous whitespace."""
    return str(import_module("rjsmin").jsmin(text))


def minify_html(text: str) -> str:
    """Return a page without superfluous whitespace, quotes and closing tags."""
    return str(import_module("minify_html").minify(text, keep_html_and_head_opening_tags=True))


def outline(text: str) -> object:
    """Return the visible part of a page."""
    return visible(Response(200, {"content-type": "text/html"}, text.encode()))


def minified(minifier: Minifier, coding: str) -> Pairs:
    """Minify files and pages: comments and formatting are for their authors only."""
    text = minifier.text()
    compress: Callable[[bytes], bytes] = bytes
    if coding:
        compress = import_module("brotli").compress
    small, plain = (compress(one.encode()) for one in (minifier.minify(text), text))
    yield pair(partial(bytes, small), partial(bytes, plain))


def page_minifier() -> Pairs:
    """Minify pages to save bandwidth; the guide does not mention the time that this takes."""
    text = HTML.text()
    minify = at_new(lambda request: HttpResponse(minify_html(text)))
    yield pair(visit(NEW, minify), visit(NEW, at_new(lambda request: HttpResponse(text))))


def add_rows(minifier: Minifier) -> None:
    """Add the rows of a kind of file: its bytes as they are and compressed."""
    for coding in ("", "br"):
        label = minifier.kind + (" in brotli" if coding else "")
        same = partial(_same, minifier, coding)
        row = guide("minification", f"minified {label}", label, minifier.source, "bytes", same=same)
        row(partial(minified, minifier, coding))


def _same(minifier: Minifier, coding: str, sent: bytes) -> object:
    return minifier.same(decompress(sent, coding).decode())


CSS = Minifier("CSS", "admin/css/base.css", minify_css, minify_css)
JS = Minifier("JS", "admin/js/inlines.js", minify_js, minify_js)
HTML = Minifier("HTML", ABOUT, minify_html, outline)
for one in (CSS, JS, HTML):
    add_rows(one)
# Files are minified once, by a build, but pages for each response.
of_pages = guide(
    "minification",
    "the work of minify-html",
    "none",
    "the list page, ready",
    expected="more",
)
of_pages(page_minifier)
