"""Page cache: a decorator like Django's `cache_page` that shares no visitor's page and never rushes.

A page is kept when it was made for a stranger: no session cookie, no Authorization and no waiting
message came with the request; no cookie, CSRF token or nonce went into the finished answer. When it is
older than its life one request makes it anew and the others get the old one; beyond the hard limit
nobody does. Ages are counted by Redis and by monotonic clocks, so that setting a clock changes no more
than the header `Age`.
"""

import asyncio
import logging
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from hashlib import blake2b
from threading import Event
from typing import Any
from uuid import uuid4

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.messages import get_messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.middleware.csp import get_nonce
from django.utils.cache import patch_vary_headers
from django.utils.http import split_directive_names
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language
from django_http_compression.middleware import HttpCompressionMiddleware, best_coding

from speed import Finding
from speed.copies import Copies, direct
from speed.release import build

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd
try:
    import brotli
except ImportError:  # PyPy
    brotli = None

ALIAS = "pages"
COPY = 1  # seconds that a process may answer with what it has read from Redis
LIMIT = 8 * 2**20  # bytes of all these copies, per process
TAG_LIFE = 30 * 86400  # seconds: a tag that loses its version gets a new one, and its pages end
LEASE = 30  # seconds that making a page anew may take, before another request tries
RETRY = 1  # seconds between two tries: to make a page anew, to reach Redis
FLIGHT = 5  # seconds that a request waits for another one of its process to make a page
FRESH = "fresh"  # cookie of who has just changed something: reads past the copies of a process...
FRESH_AGE = 2  # seconds: ...for longer than they live
SMALL = 200  # bytes: not worth compressing
GONE = {301, 308, 404, 410}  # statuses: there is no such page any more
MARKS = {"_csp_config", "_csp_ro_config", "xframe_options_exempt"}  # by a view, for a middleware

Tags = Iterable[str] | Callable[..., Iterable[str]]
View = Callable[..., Any]
Page = dict[str, Any]  # plain data, as `packed` makes it

logger = logging.getLogger(__name__)
changed: ContextVar[bool] = ContextVar("changed", default=False)  # by this request
# What this process remembers:
flights: dict[str, "Flight"] = {}  # pages that it is making
copies = Copies[Page](lambda key, page: page["size"])  # that it has read or made
lost: set[str] = set()  # tags that Redis could not be told of
away = 0.0  # monotonic seconds until when Redis is not asked


class Flight(Event):
    """Set when the page is there, or will not come."""

    def __init__(self) -> None:
        super().__init__()
        self.until = time.monotonic() + FLIGHT


@dataclass
class Policy:
    """What the decorator was told, and has learned."""

    life: float
    hard: float
    tags: Tags
    query: tuple[str, ...]
    per_user: bool
    vary: tuple[str, ...] = ()  # headers of the request that pages so far depended on
    kept: bool = True  # whether the last page could be kept: else there is none to wait for


@dataclass
class Making:
    """A request to a cached view that the view itself may have to answer."""

    policy: Policy
    name: tuple[Any, ...] | None  # of the page, all but the headers; None: nothing is kept
    began: float  # monotonic seconds
    changes: int  # that `copies` knew of then
    key: str = ""
    versions: dict[str, Any] = field(default_factory=dict)  # of the tags
    leased: bool | None = False  # whether others leave it to this request; None: Redis is away
    flight: Flight | None = None
    hidden: tuple[Any, ...] = ()  # from the view: GET, QUERY_STRING, COOKIES
    header: str | None = None  # and the header with the cookies
    own: set[str] = field(default_factory=set)  # headers that the view says it depends on

    def look(self) -> tuple[Page | None, bool]:
        """Return the page, unless a tag of it was invalidated, and whether it is fresh."""
        now, changes = time.monotonic(), copies.changes
        copy, offline = copies.get([self.key, f"{self.key}.offline"], now)
        if now < away:
            copy = copy or offline
            return copy, copy is not None
        if copy:
            return copy, True
        if lost:
            publish({*lost}, again=True)
        fresh, tags = f"{self.key}.fresh", {tag: f"tag.{tag}" for tag in self.versions}
        found = caches[ALIAS].get_many([self.key, fresh, *tags.values()])
        self.versions = {tag: found.get(key) for tag, key in tags.items()}
        page = found.get(self.key)
        if page is None or page["versions"] != self.versions:
            return None, False
        if fresh in found:
            copies.keep({self.key: page}, changes, now, COPY, LIMIT)
        return page, fresh in found

    def lease(self) -> None:
        """Try to become the one of all processes that makes the page anew."""
        global away
        if time.monotonic() < away:
            self.leased = None
            return
        self.leased = caches[ALIAS].add(f"{self.key}.fresh", 0, LEASE)
        # None is what django-redis answers where it may not raise.
        away = time.monotonic() + RETRY if self.leased is None else 0.0

    def join(self, request: Any) -> Flight | None:
        """Become the one of this process that makes the page, or return what to wait for."""
        for key, flight in [*flights.items()]:
            if time.monotonic() >= flight.until:
                flights.pop(key, None)
        self.flight = Flight()
        first = flights.setdefault(self.key, self.flight)
        if first is not self.flight:
            self.flight = None
            return first
        if request._left:
            self.land()
        return None

    def land(self) -> None:
        """Let those go on who wait for the page."""
        if self.flight:
            if flights.get(self.key) is self.flight:
                flights.pop(self.key, None)
            self.flight.set()

    def mask(self, request: Any) -> None:
        """Show the view the request of a stranger: other parameters and cookies are not in the key."""
        meta = request.META
        self.hidden = request.GET, meta.get("QUERY_STRING", ""), request.COOKIES
        query = QueryDict(mutable=True)
        for name in self.policy.query:
            if name in request.GET:
                query.setlist(name, request.GET.getlist(name))
        query._mutable = False
        request.GET, meta["QUERY_STRING"] = query, query.urlencode()
        if self.name:
            session = settings.SESSION_COOKIE_NAME
            request.COOKIES = {k: v for k, v in request.COOKIES.items() if k == session}
            self.header = meta.pop("HTTP_COOKIE", None)
            vars(request).pop("headers", None)  # which Django makes of META, once
        request._pages = self

    def unmask(self, request: Any) -> None:
        """Undo that."""
        request.GET, request.META["QUERY_STRING"], request.COOKIES = self.hidden
        if self.header is not None:
            request.META["HTTP_COOKIE"] = self.header
            vars(request).pop("headers", None)

    def rendered(self, request: Any, response: Any) -> Any:
        """Take note, when the answer is rendered, of what the view depends on."""
        if not getattr(response, "is_rendered", True):
            response.add_post_render_callback(lambda late: self.rendered(request, late))
            return response
        self.unmask(request)
        self.own = varies(response)
        session = getattr(request, "session", None)
        if self.name and session is not None and not session.modified:
            # A stranger's is empty, and a user's is known by its user: the page does not vary on it.
            session.accessed = False
        return response

    def finish(self, request: HttpRequest, response: Any) -> None:
        """Keep the finished answer if others may have it, and give it the form that they get."""
        try:
            named = varies(response) - {"accept-encoding"}
            patch_vary_headers(response, ("Accept-Encoding", "Cookie"))
            if self.name is None:
                return
            store, reason = caches[ALIAS], self.refusal(request, response, named)
            if reason:
                logger.debug("%s is not kept: %s", request.path, reason)
            if isinstance(store, DummyCache):
                return
            if response.status_code == 200:
                self.policy.kept = not reason
            if not reason:
                page = packed(response, self)
                encode(response, page, request)
                self.keep(request, page, named)
                return
            if self.leased and response.status_code in GONE:
                store.delete_many([self.key, f"{self.key}.fresh"])  # there is no such page any more
            elif self.leased:
                store.set(f"{self.key}.fresh", 1, RETRY)
        finally:
            self.land()

    def refusal(self, request: Any, response: Any, named: set[str]) -> str:
        """Return why nobody else may have the finished answer; empty: they may."""
        shared = not self.policy.per_user
        told = {*split_directive_names(response.get("Cache-Control", ""))}
        user, session = getattr(request, "user", None), getattr(request, "session", None)
        refusals = {
            "its status is not 200": response.status_code != 200,
            "it is a stream": response.streaming,
            "it is encoded": response.has_header("Content-Encoding"),
            "it sets a cookie": response.cookies or response.has_header("Set-Cookie"),
            "it changes the session": session is not None and session.modified,
            "Cache-Control forbids it": told & {"no-store", "no-cache", *["private"] * shared},
            "it depends on more than headers": named & {"cookie", "*"},
            "it has a CSRF token": "CSRF_COOKIE_NEEDS_UPDATE" in request.META,
            "it has a nonce": get_nonce(request),
            "it has messages": len(get_messages(request)),
            "it is a user's": shared and user is not None and user.is_authenticated,
        }
        return next((reason for reason, holds in refusals.items() if holds), "")

    def keep(self, request: HttpRequest, page: Page, named: set[str]) -> None:
        """Put the page where the next request looks for it."""
        if settings.USE_I18N and "accept-language" not in self.own:
            named -= {"accept-language"}  # says Django's middleware; the name has the language
        self.policy.vary = tuple(sorted({*self.policy.vary, *named}))
        key = key_of(self.name, request, self.policy)
        left = self.policy.hard - COPY - (time.monotonic() - self.began)
        if self.leased is None:  # each process has pages of its own until Redis is back
            offline = {f"{key}.offline": page}
            copies.keep(offline, self.changes, self.began, self.policy.life, LIMIT)
        elif left > 0 and None not in self.versions.values():
            caches[ALIAS].set(key, page, left)
            caches[ALIAS].set(f"{key}.fresh", 1, self.policy.life)
            copies.keep({key: page}, self.changes, self.began, COPY, LIMIT)


def varies(response: Any) -> set[str]:
    """Return the headers of the request that an answer says it depends on, in lower case."""
    return {name.strip().lower() for name in response.get("Vary", "").split(",")} - {""}


def packed(response: HttpResponse, making: Making) -> Page:
    """Return an answer as plain data; a shared page with a body for each encoding."""
    body, kind = response.content, response.get("Content-Type", "").partition(";")[0]
    bodies = {"identity": body}
    # A page with a user's data is compressed each time anew, with noise against BREACH.
    if (
        len(body) >= SMALL
        and HttpCompressionMiddleware.content_type_re.match(kind)
        and not making.policy.per_user
    ):
        # Levels beyond which a page costs many times more and is hardly smaller.
        bodies["gzip"] = zlib.compress(body, level=9, wbits=31)
        bodies["zstd"] = zstd.compress(body, level=9)
        if brotli:
            bodies["br"] = brotli.compress(body, quality=7)
    etags = {k: f'"{blake2b(v, digest_size=12).hexdigest()}"' for k, v in bodies.items()}
    return {
        "bodies": bodies,
        "etags": etags,
        "headers": {k: v for k, v in response.items() if k not in {"Content-Length", "ETag"}},
        "made": time.time(),
        "marks": {name: value for name, value in vars(response).items() if name in MARKS},
        "size": sum(map(len, bodies.values())) + 1000,
        "versions": making.versions,
    }


def encode(response: HttpResponse, page: Page, request: HttpRequest) -> HttpResponse:
    """Give an answer the kept body in the best encoding that the visitor accepts."""
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


def answer(page: Page, request: HttpRequest) -> HttpResponse:
    """Make an answer of a kept page: a new object, so that nobody's changes reach another."""
    response = HttpResponse(headers=page["headers"])
    vars(response).update(page["marks"])
    return encode(response, page, request)


def name_of(request: Any, policy: Policy, view: str) -> tuple[Any, ...] | None:
    """Return what a page depends on, but for headers; None: the cache has nothing to do with it."""
    meta, cookies, user = request.META, request.COOKIES, None
    if "HTTP_AUTHORIZATION" in meta or CookieStorage.cookie_name in cookies:
        return None
    if policy.per_user and request.user.is_authenticated:
        user = str(request.user.pk)
    elif settings.SESSION_COOKIE_NAME in cookies:
        return None
    query, raw = [], meta.get("QUERY_STRING", "")
    if not raw.isascii() or any(part in raw for part in ("%", "+", *policy.query)):
        query = [(k, request.GET.getlist(k)) for k in policy.query if k in request.GET]
    language = get_language() if settings.USE_I18N else None
    zone = str(get_current_timezone()) if settings.USE_TZ else None
    where = request.scheme, request.get_host(), request.path
    return build(), view, user, *where, query, language, zone


def key_of(name: tuple[Any, ...] | None, request: HttpRequest, policy: Policy) -> str:
    """Return the key of a page; a representation of strings is unambiguous."""
    headers = {k: request.META.get(f"HTTP_{k.upper().replace('-', '_')}") for k in policy.vary}
    return blake2b(repr((name, headers)).encode(), digest_size=20).hexdigest()


def begin(
    request: Any, policy: Policy, view: str, args: Any, kwargs: Any, wait: bool = True
) -> HttpResponse | Flight | Making | None:
    """Return the answer that was kept, or what to wait for; else the view has to answer.

    Args:
        request: to a cached view.
        policy: what the decorator was told.
        view: its name.
        args: of the view, as
        kwargs: are.
        wait: for a request of this process that makes the page already.
    """
    if request.method not in ("GET", "HEAD") or getattr(request, "_pages", "") is not None:
        return None  # nor inside another cached view, nor without the middleware
    making = Making(policy, name_of(request, policy, view), time.monotonic(), copies.changes)
    if making.name is None:
        return making
    request._making = making
    if isinstance(caches[ALIAS], DummyCache):
        return making
    making.key = key_of(making.name, request, policy)
    tags = policy.tags(request, *args, **kwargs) if callable(policy.tags) else policy.tags
    making.versions = dict.fromkeys(tags)
    page, fresh = making.look()
    if request.method == "HEAD":  # what a view answers may have no body to keep
        making.name = None
        return answer(page, request) if page else making
    if page and not fresh:
        making.lease()
    if page and not making.leased:
        return answer(page, request)
    if not page:
        if (flight := making.join(request)) and wait and policy.kept:
            return flight
        making.lease()
        page, _ = making.look()
        if page:  # it has landed in between
            making.land()
            return answer(page, request)
    missing = [tag for tag, version in making.versions.items() if version is None]
    if missing and making.leased is not None:
        for tag in missing:
            caches[ALIAS].add(f"tag.{tag}", uuid4().hex, TAG_LIFE)
        making.look()
    return making


def cached_page(
    life: float,
    *,
    hard: float | None = None,
    tags: Tags = (),
    query: Iterable[str] = (),
) -> Callable[[View], View]:
    """Keep the pages of a view for strangers; who has a session gets the view itself.

    Args:
        life: seconds until one request makes the page anew, while the others get the old one.
        hard: seconds after which the old one is not served either; ten times `life` by default.
        tags: what `invalidate` may name, or a function of the request and the view's arguments.
        query: parameters that the page depends on. The view sees no others, and no cookie.

    Raises:
        TypeError: one string was given for several.
        ValueError: the hard limit is below the life, or so low that no process may keep a copy.
    """
    return keeping(life, hard, tags, query, per_user=False)


def cached_page_per_user(
    life: float,
    *,
    hard: float | None = None,
    tags: Tags = (),
    query: Iterable[str] = (),
) -> Callable[[View], View]:
    """Keep a page for each signed-in user, who is in its key; all else as with `cached_page`.

    The page may depend on the user, not on what else is in the session.
    """
    return keeping(life, hard, tags, query, per_user=True)


def keeping(
    life: float, hard: float | None, tags: Tags, query: Iterable[str], per_user: bool
) -> Callable[[View], View]:
    """Make either decorator."""
    if callable(life):
        raise TypeError("The decorator takes the life of a page, in seconds: @cached_page(60)")
    hard = 10 * life if hard is None else hard
    if not (0 < life <= hard and hard > COPY):
        raise ValueError(f"0 < life <= hard and {COPY} < hard must hold: {life=}, {hard=}")
    if isinstance(tags, str) or isinstance(query, str):
        raise TypeError("tags and query are lists of strings")
    tags = tags if callable(tags) else tuple(tags)
    policy = Policy(life, hard, tags, tuple(sorted({*query})), per_user)

    def decorate(view: View) -> View:
        named = getattr(view, "view_class", view)  # as_view() has one name for all classes
        name = f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"

        @wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            found = begin(request, policy, name, args, kwargs)
            if isinstance(found, Flight):
                found.wait(FLIGHT)
                found = begin(request, policy, name, args, kwargs, wait=False)
            if not isinstance(found, Making):
                return found or view(request, *args, **kwargs)
            found.mask(request)
            try:
                return found.rendered(request, view(request, *args, **kwargs))
            except BaseException:
                found.unmask(request)
                found.land()
                raise

        @wraps(view)
        async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            found = await sync_to_async(begin)(request, policy, name, args, kwargs)
            if isinstance(found, Flight):
                while not found.is_set() and time.monotonic() < found.until:
                    await asyncio.sleep(0.01)
                found = await sync_to_async(begin)(request, policy, name, args, kwargs, wait=False)
            if not isinstance(found, Making):
                return found or await view(request, *args, **kwargs)
            found.mask(request)
            try:
                return found.rendered(request, await view(request, *args, **kwargs))
            except BaseException:
                found.unmask(request)
                found.land()
                raise

        return awaited if asynchronous(view) else wrapped

    return decorate


def asynchronous(view: View) -> bool:
    """Say whether a view is awaited: a function, or the `dispatch` of a class, from method_decorator."""
    instance = getattr(getattr(view, "func", None), "__self__", None)
    return iscoroutinefunction(view) or getattr(instance, "view_is_async", False)


def invalidate(*tags: str, using: str | None = None) -> None:
    """Let no page be served that was made under one of these tags, once the transaction is committed.

    At once in Redis and this process, within a second in the others. Who is answered by the request
    that calls this sees the change at once, wherever the next request goes. While Redis is away this
    process remembers the tags and tells it later; if the process ends before, pages live to their limit.

    Args:
        tags: names that `cached_page` was given.
        using: the database whose transaction it is; Django's default one by default.
    """
    changed.set(True)
    transaction.on_commit(lambda: publish({*tags}), using=using, robust=True)


def publish(tags: set[str], *, again: bool = False) -> None:
    """Give tags new versions, and remember those that Redis does not know afterwards.

    `again`: nothing has changed since it was tried before, so what was made meanwhile may stay.
    """
    store, versions = caches[ALIAS], {f"tag.{tag}": uuid4().hex for tag in tags}
    arrived = False
    lost.update(tags)
    try:
        store.set_many(versions, TAG_LIFE)
        arrived = store.get_many(versions) == versions or isinstance(store, DummyCache)
    finally:
        if arrived or not again:
            copies.forget()
    if arrived:
        lost.difference_update(tags)
    elif not again:
        logger.error("The cache could not be told yet that these changed: %s", sorted(tags))


class PageCacheMiddleware:
    """Keeps what is finished: below ConditionalGet, above whatever sets a cookie or changes a page.

    What stands below takes part in each answer, also in those that were kept.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer with what is below, and keep it if it is a page."""
        self.start(request)
        if self.is_async:
            return self.later(request)
        return self.end(request, self.get_response(request))

    async def later(self, request: Any) -> Any:
        """Do the same under ASGI, without another thread for what is none of the cache's business."""
        try:
            response = await self.get_response(request)
            if request._pages or changed.get():
                return await sync_to_async(self.end)(request, response)
            return response
        except BaseException:  # the visitor has left, and a thread may still begin to make the page
            request._left = True
            if request._making:
                request._making.land()
            raise

    def start(self, request: Any) -> None:
        """Tell the decorator that pages are kept, and all that keeps copies who reads past them."""
        changed.set(False)
        direct.set(FRESH in request.COOKIES)
        request._pages = request._making = None
        request._left = False

    def end(self, request: Any, response: HttpResponseBase) -> HttpResponseBase:
        """Keep the page, if it is one."""
        if request._pages:
            request._pages.finish(request, response)
        if changed.get():
            secure = request.is_secure()
            response.set_cookie(FRESH, "1", FRESH_AGE, httponly=True, samesite="Lax", secure=secure)
        return response


def finding() -> Finding:
    """Say whether finished pages are kept, and where."""
    if ALIAS not in settings.CACHES or f"{__name__}.PageCacheMiddleware" not in settings.MIDDLEWARE:
        return False, lambda: "no page is kept"
    if isinstance(caches[ALIAS], DummyCache):
        return None, lambda: "no page is kept in development"
    return True, lambda: f"pages of build {build()} in the cache {ALIAS!r}"
