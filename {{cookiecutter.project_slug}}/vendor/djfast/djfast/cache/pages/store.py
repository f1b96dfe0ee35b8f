"""Store of cached pages: their form, and one object for Redis and the state of this process."""

import asyncio
import logging
import sys
import time
import zlib
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import blake2b
from threading import Event
from typing import Any, TypedDict
from uuid import uuid4

from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.http import HttpRequest, HttpResponse
from django_http_compression.middleware import HttpCompressionMiddleware, best_coding

from djfast.cache.copies import Copies

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd
try:
    import brotli
except ImportError:  # PyPy
    brotli = None

ALIAS = "pages"
COPY = 1  # seconds that a process may use a page after reading it from Redis
LIMIT = 8 * 2**20  # bytes of these copies per process
TAG_LIFE = 30 * 86400  # seconds: a tag without a version gets a new one, which ends its pages
LEASE = 30  # seconds that a refresh may take before another request tries
RETRY = 1  # seconds between two attempts to refresh a page, or to reach Redis
WAIT = 5  # seconds that a request waits for another request of its process to render a page
SMALL = 200  # bytes: shorter bodies are not compressed
# Attributes that a view's decorators set on the response for a middleware.
VIEW_ATTRIBUTES = {"_csp_config", "_csp_ro_config", "xframe_options_exempt"}

logger = logging.getLogger(__name__)


class Page(TypedDict):
    """A cached page, in types that every release can unpickle."""

    bodies: dict[str, bytes]  # by content coding; at least "identity"
    etags: dict[str, str]  # by content coding
    headers: dict[str, str]
    made: float  # seconds since the epoch
    marks: dict[str, Any]  # VIEW_ATTRIBUTES and their values
    size: int  # bytes
    versions: dict[str, str | None]  # by tag


def pack(response: HttpResponse, versions: dict[str, str | None], *, shared: bool) -> Page:
    """Return a response as a page; a shared one with a body for each content coding."""
    body = response.content
    content_type = response.get("Content-Type", "").partition(";")[0]
    bodies = {"identity": body}
    # A page with a user's data is compressed for each response, with noise against BREACH.
    if (
        shared
        and len(body) >= SMALL
        and HttpCompressionMiddleware.content_type_re.match(content_type)
    ):
        # Higher levels take several times longer for hardly smaller pages.
        bodies["gzip"] = zlib.compress(body, level=9, wbits=31)
        bodies["zstd"] = zstd.compress(body, level=9)
        if brotli:
            bodies["br"] = brotli.compress(body, quality=7)
    return {
        "bodies": bodies,
        "etags": {k: f'"{blake2b(v, digest_size=12).hexdigest()}"' for k, v in bodies.items()},
        "headers": {k: v for k, v in response.items() if k not in {"Content-Length", "ETag"}},
        "made": time.time(),
        "marks": {name: v for name, v in vars(response).items() if name in VIEW_ATTRIBUTES},
        "size": sum(map(len, bodies.values())) + 1000,
        "versions": versions,
    }


def encode(response: HttpResponse, page: Page, request: HttpRequest) -> HttpResponse:
    """Set the body of a response to the one of a page in the coding that the client prefers."""
    coding: str = best_coding(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    if coding not in page["bodies"]:
        coding = "identity"
    response.content = body = page["bodies"][coding]
    headers = response.headers
    headers["ETag"] = page["etags"][coding]
    headers["Content-Length"] = str(len(body))
    headers["Age"] = str(max(0, int(time.time() - page["made"])))
    if coding != "identity":
        headers["Content-Encoding"] = coding
    return response


def unpack(page: Page, request: HttpRequest) -> HttpResponse:
    """Return a new response with a page, which middleware may change without affecting others."""
    response = HttpResponse(headers=page["headers"])
    vars(response).update(page["marks"])
    return encode(response, page, request)


class SingleFlightLock(Event):
    """Held by the one request of this process that renders a page; set when waiters may continue."""

    def __init__(self) -> None:
        super().__init__()
        self.expiry = time.monotonic() + WAIT

    async def wait_async(self, timeout: float) -> None:
        """Wait on an event loop, for `timeout` seconds at most, without a thread for each waiter."""
        end = time.monotonic() + timeout
        while not self.is_set() and time.monotonic() < end:
            await asyncio.sleep(0.01)


class Lease(Enum):
    """Whether a request has been chosen, among those of all processes, to refresh a page."""

    NONE = auto()  # no: another request was, or the page is fresh
    HELD = auto()  # yes
    OFFLINE = auto()  # Redis is unreachable, so each process has pages of its own


@dataclass
class Entry:
    """The state of one request for a page in the store."""

    key: str
    began: float  # monotonic seconds
    generation: int  # of the copies, when it began
    versions: dict[str, str | None] = field(default_factory=dict)  # by tag; None: Redis has none
    lease: Lease = Lease.NONE
    lock: SingleFlightLock | None = None


class PageStore:
    """Pages in Redis, and the state of this process.

    Attributes:
        copies: pages that this process has read or rendered within the last second.
        in_flight: the single-flight locks by key, of pages that this process is rendering.
        unsent: tags whose invalidation Redis has not received.
        offline_until: the time until which Redis is not asked, in monotonic seconds.
    """

    def __init__(self) -> None:
        self.copies = Copies[Page](lambda key, page: page["size"])
        self.in_flight: dict[str, SingleFlightLock] = {}
        self.unsent: set[str] = set()
        self.offline_until = 0.0

    @property
    def cache(self) -> BaseCache:
        """The cache that holds the pages of all processes."""
        return caches[ALIAS]

    @property
    def is_dummy(self) -> bool:
        """Whether nothing is stored, as in development."""
        return isinstance(self.cache, DummyCache)

    def entry(self, key: str) -> Entry:
        """Return an entry for a request that begins now."""
        return Entry(key, time.monotonic(), self.copies.generation)

    def lookup(self, entry: Entry) -> tuple[Page | None, bool]:
        """Return a page of which no tag was invalidated since, and whether it is fresh.

        Updates the versions of the entry's tags.
        """
        now, generation = time.monotonic(), self.copies.generation
        copy, offline = self.copies.get([entry.key, f"{entry.key}.offline"], now)
        if now < self.offline_until:
            copy = copy or offline
            return copy, copy is not None
        if copy:
            return copy, True
        if self.unsent:
            self.invalidate({*self.unsent}, again=True)
        fresh, tags = f"{entry.key}.fresh", {tag: f"djfast.tag.{tag}" for tag in entry.versions}
        found = self.cache.get_many([entry.key, fresh, *tags.values()])
        entry.versions = {tag: found.get(key) for tag, key in tags.items()}
        page = found.get(entry.key)
        if page is None or page["versions"] != entry.versions:
            return None, False
        if fresh in found:
            self.copies.put({entry.key: page}, generation, now, COPY, LIMIT)
        return page, fresh in found

    def lease(self, entry: Entry) -> Lease:
        """Try to become the one request of all processes that refreshes the page."""
        if time.monotonic() < self.offline_until:
            entry.lease = Lease.OFFLINE
            return entry.lease
        added: bool | None = self.cache.add(f"{entry.key}.fresh", 0, LEASE)
        if added is None:  # django-redis returns this for an exception that it ignores
            entry.lease, self.offline_until = Lease.OFFLINE, time.monotonic() + RETRY
        else:
            entry.lease, self.offline_until = Lease.HELD if added else Lease.NONE, 0.0
        return entry.lease

    def acquire(self, entry: Entry) -> SingleFlightLock | None:
        """Take the single-flight lock of a page, or return the one that another request holds."""
        for key, lock in [*self.in_flight.items()]:
            if time.monotonic() >= lock.expiry:
                self.in_flight.pop(key, None)
        entry.lock = SingleFlightLock()
        held = self.in_flight.setdefault(entry.key, entry.lock)
        if held is entry.lock:
            return None
        entry.lock = None
        return held

    def release(self, entry: Entry) -> None:
        """Release the single-flight lock, if the entry has it, so that waiters continue."""
        if entry.lock:
            if self.in_flight.get(entry.key) is entry.lock:
                self.in_flight.pop(entry.key, None)
            entry.lock.set()

    def create_versions(self, entry: Entry) -> None:
        """Give tags that Redis has not a version, so that a page with them can be stored."""
        missing = [tag for tag, version in entry.versions.items() if version is None]
        if missing and entry.lease is not Lease.OFFLINE:
            for tag in missing:
                self.cache.add(f"djfast.tag.{tag}", uuid4().hex, TAG_LIFE)
            self.lookup(entry)  # another process may have been first: use its versions

    def put(self, entry: Entry, key: str, page: Page, life: float, hard: float) -> None:
        """Store a page that was rendered.

        Args:
            entry: from before it was rendered: changes since then must not be overwritten.
            key: of the page, which may have turned out to depend on more headers.
            page: to store.
            life: seconds until it is stale.
            hard: seconds until it expires, counted from the beginning of the entry.
        """
        left = hard - COPY - (time.monotonic() - entry.began)
        if entry.lease is Lease.OFFLINE:
            offline = {f"{key}.offline": page}
            self.copies.put(offline, entry.generation, entry.began, life, LIMIT)
        elif left > 0 and None not in entry.versions.values():
            self.cache.set(key, page, left)
            self.cache.set(f"{key}.fresh", 1, life)
            self.copies.put({key: page}, entry.generation, entry.began, COPY, LIMIT)

    def give_up(self, entry: Entry, *, gone: bool) -> None:
        """End a refresh that gave no page.

        Args:
            entry: of the page.
            gone: whether to delete the stale page; otherwise another request may try again soon.
        """
        if entry.lease is not Lease.HELD:
            return
        if gone:
            self.cache.delete_many([entry.key, f"{entry.key}.fresh"])
        else:
            self.cache.set(f"{entry.key}.fresh", 1, RETRY)

    def invalidate(self, tags: set[str], *, again: bool = False) -> None:
        """Give tags new versions, and remember those that Redis has not received.

        Args:
            tags: to invalidate.
            again: whether this only repeats an invalidation that failed. Nothing has changed since
                then, so if it fails again, pages rendered in the meantime stay valid.
        """
        versions = {f"djfast.tag.{tag}": uuid4().hex for tag in tags}
        received = False
        self.unsent.update(tags)
        try:
            self.cache.set_many(versions, TAG_LIFE)
            received = self.cache.get_many(versions) == versions or self.is_dummy
        finally:
            if received or not again:
                self.copies.discard()
        if received:
            self.unsent.difference_update(tags)
        elif not again:
            logger.error("The cache is unreachable; tags to be invalidated later: %s", sorted(tags))


page_store = PageStore()
