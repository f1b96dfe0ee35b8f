"""Middleware and decorators of the page cache."""

import logging
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from djfast.cache.copies import bypass
from djfast.cache.pages.key import (
    Identity,
    Mask,
    Policy,
    Tags,
    identify,
    key_of,
    make_policy,
    refusal,
    vary_names,
)
from djfast.cache.pages.store import (
    WAIT,
    Entry,
    Lease,
    SingleFlightLock,
    encode,
    pack,
    page_store,
    unpack,
)

# Cookie of a client whose request called `invalidate`: its next requests bypass the copies.
FRESH = "djfast_fresh"
FRESH_AGE = 2  # seconds: longer than a process uses a copy
GONE = {301, 308, 404, 410}  # statuses: the page has ceased to exist

View = Callable[..., Any]

logger = logging.getLogger(__name__)
_changed: ContextVar[bool] = ContextVar("changed", default=False)  # by a call of `invalidate`


class Render:
    """The rendering of a page by its view, which is called inside a `with` block.

    The block hides from the view what the page must not depend on. If the view fails, waiters continue.

    Args:
        request: for the page.
        policy: of the view.
        identity: of the page; None: the response is not cached.
        entry: of the page in the store, if there is a store.
    """

    def __init__(
        self, request: Any, policy: Policy, identity: Identity | None, entry: Entry | None = None
    ) -> None:
        self.request = request
        self.policy = policy
        self.identity = identity
        self.entry = entry
        self.vary: set[str] = set()  # headers in the view's own Vary

    def __enter__(self) -> None:
        self.mask = Mask(self.request, self.policy.query, cookies=self.identity is not None)
        self.request._djfast_pages.render = self

    def __exit__(self, error: type[BaseException] | None, *details: object) -> None:
        if error:
            self.mask.remove(self.request)
            self.release()

    def rendered(self, response: Any) -> Any:
        """Record what the view depends on as soon as its response is rendered; return the response."""
        if not getattr(response, "is_rendered", True):
            response.add_post_render_callback(self.rendered)
            return response
        self.mask.remove(self.request)
        self.vary = vary_names(response)
        session = getattr(self.request, "session", None)
        if self.identity and session is not None and not session.modified:
            # An anonymous session is empty, and a user is in the key, so SessionMiddleware need not
            # add `Vary: Cookie`, which would prevent the page from being cached.
            session.accessed = False
        return response

    def finish(self, response: Any) -> None:
        """Store the finished response if it may be shared, and send it as if it were cached."""
        try:
            vary = vary_names(response) - {"accept-encoding"}
            patch_vary_headers(response, ("Accept-Encoding", "Cookie"))
            if self.identity is None:
                return
            shared = not self.policy.per_user
            reason = refusal(self.request, response, vary, shared)
            if reason:
                logger.debug("%s is not cached: %s", self.request.path, reason)
            if self.entry is None:
                return
            if response.status_code == 200:
                self.policy.storable = not reason
            if reason:
                page_store.give_up(self.entry, gone=response.status_code in GONE)
                return
            page = pack(response, self.entry.versions, shared=shared)
            encode(response, page, self.request)
            key = self.learn(vary)
            page_store.put(self.entry, key, page, self.policy.life, self.policy.hard)
        finally:
            self.release()

    def learn(self, vary: set[str]) -> str:
        """Add the headers that a page depends on to the policy, and return the key with them."""
        if settings.USE_I18N and "accept-language" not in self.vary:
            vary = vary - {"accept-language"}  # LocaleMiddleware's; the identity has the language
        self.policy.vary = tuple(sorted({*self.policy.vary, *vary}))
        return key_of(self.identity, self.request, self.policy)

    def release(self) -> None:
        """Let the waiters of this process continue."""
        if self.entry:
            page_store.release(self.entry)


@dataclass(slots=True)
class RequestState:
    """What the page cache stores on a request, as `request._djfast_pages`."""

    entry: Entry | None = None  # that the request has begun to look up
    render: Render | None = None  # once the view was called
    cancelled: bool = False  # whether the client has disconnected


def look_up(
    request: Any, policy: Policy, view: str, args: Any, kwargs: Any, *, wait: bool = True
) -> HttpResponse | SingleFlightLock | Render | None:
    """Return the cached response; or the lock to wait for; or how to have the view render it.

    Args:
        request: to a cached view.
        policy: of the view.
        view: its name.
        args: its positional arguments.
        kwargs: its keyword arguments.
        wait: whether to wait for another request of this process that is rendering the page.

    Returns:
        None if the page cache has no part in this request.
    """
    state = getattr(request, "_djfast_pages", None)
    # Without the middleware, and inside another cached view, the view is called as it is.
    if request.method not in ("GET", "HEAD") or state is None or state.render:
        return None
    identity = identify(request, policy, view)
    if identity is None or page_store.is_dummy:
        return Render(request, policy, identity)
    state.entry = entry = page_store.entry(key_of(identity, request, policy))
    tags = policy.tags(request, *args, **kwargs) if callable(policy.tags) else policy.tags
    entry.versions = dict.fromkeys(tags)
    page, fresh = page_store.lookup(entry)
    if request.method == "HEAD":  # the view may answer it without a body, so it is not stored
        return unpack(page, request) if page else Render(request, policy, None)
    if page and (fresh or page_store.lease(entry) is not Lease.HELD):
        return unpack(page, request)
    if not page and (shared := from_others(request, entry, wait=wait and policy.storable)):
        return shared
    page_store.create_versions(entry)
    return Render(request, policy, identity, entry)


def from_others(
    request: Any, entry: Entry, *, wait: bool
) -> HttpResponse | SingleFlightLock | None:
    """Return the lock of a request that is rendering the page, or the page if one just has.

    Otherwise the entry has the lock of this process, and the lease if no other process has it.
    """
    lock = page_store.acquire(entry)
    if request._djfast_pages.cancelled:
        page_store.release(entry)
    if lock and wait:
        return lock
    page_store.lease(entry)
    page, _ = page_store.lookup(entry)
    if page:
        page_store.release(entry)
        return unpack(page, request)
    return None


def cached_page(
    life: float,
    *,
    hard: float | None = None,
    tags: Tags = (),
    query: Iterable[str] = (),
) -> Callable[[View], View]:
    """Cache the pages of a view for anonymous visitors; requests with a session reach the view.

    Args:
        life: seconds until a page is stale, and one request refreshes it while others get it as it is.
        hard: seconds until a page expires; ten times `life` by default.
        tags: names for `invalidate`, or a function that returns them for the request and the view's
            arguments.
        query: the parameters that the page depends on. The view sees no others, and no cookies.

    Raises:
        TypeError: `tags` or `query` is one string.
        ValueError: `hard` is less than `life`, or not more than the second that a copy is used.
    """
    policy = make_policy(life, hard, tags, query, per_user=False)
    return lambda view: cached(view, policy)


def cached_page_per_user(
    life: float,
    *,
    hard: float | None = None,
    tags: Tags = (),
    query: Iterable[str] = (),
) -> Callable[[View], View]:
    """Cache a page for each signed-in user, who is part of its key; otherwise like `cached_page`.

    The page may depend on the user, but not on other values in the session.
    """
    policy = make_policy(life, hard, tags, query, per_user=True)
    return lambda view: cached(view, policy)


def cached(view: View, policy: Policy) -> View:
    """Return a view that is called only for pages that are not cached.

    The two variants differ only in awaiting.
    """
    named = getattr(view, "view_class", view)  # as_view() returns functions of the same name
    name = f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"

    @wraps(view)
    def sync_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        found = look_up(request, policy, name, args, kwargs)
        if isinstance(found, SingleFlightLock):
            found.wait(WAIT)
            found = look_up(request, policy, name, args, kwargs, wait=False)
        if not isinstance(found, Render):
            return found or view(request, *args, **kwargs)
        with found:
            return found.rendered(view(request, *args, **kwargs))

    @wraps(view)
    async def async_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        found = await sync_to_async(look_up)(request, policy, name, args, kwargs)
        if isinstance(found, SingleFlightLock):
            await found.wait_async(WAIT)
            found = await sync_to_async(look_up)(request, policy, name, args, kwargs, wait=False)
        if not isinstance(found, Render):
            return found or await view(request, *args, **kwargs)
        with found:
            return found.rendered(await view(request, *args, **kwargs))

    return async_view if is_async(view) else sync_view


def is_async(view: View) -> bool:
    """Return whether a view is awaited: a function, or a class's `dispatch` in method_decorator."""
    instance = getattr(getattr(view, "func", None), "__self__", None)
    return iscoroutinefunction(view) or getattr(instance, "view_is_async", False)


def invalidate(*tags: str, using: str | None = None) -> None:
    """Invalidate all pages with one of these tags when the transaction is committed.

    The change is visible at once in Redis and in this process, and within a second in others; for the
    client whose request calls this, at once everywhere. While Redis is unreachable, the tags are
    remembered in this process and sent later; if the process ends first, pages stay until their limit.

    Args:
        tags: as given to `cached_page`.
        using: the database of the transaction; default: Django's default database.
    """
    _changed.set(True)
    transaction.on_commit(lambda: page_store.invalidate({*tags}), using=using, robust=True)


class PageCacheMiddleware:
    """Stores finished responses of cached views.

    Place it below compression, conditional GET and any middleware that changes the body of a page,
    and above SessionMiddleware. Middleware below it processes a page again on each cache hit.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Return the response of the middleware below after storing it if it may be shared."""
        self.start(request)
        if self.is_async:
            return self.call_async(request)
        return self.end(request, self.get_response(request))

    async def call_async(self, request: Any) -> Any:
        """Return the response under ASGI, using a thread only if there is something to store."""
        state = request._djfast_pages
        try:
            response = await self.get_response(request)
            if state.render or _changed.get():
                return await sync_to_async(self.end)(request, response)
            return response
        except BaseException:
            # The client may have disconnected while a thread is still in look_up().
            state.cancelled = True
            if state.entry:
                page_store.release(state.entry)
            raise

    def start(self, request: Any) -> None:
        """Prepare the request for cached views, and decide whether it is served copies."""
        _changed.set(False)
        bypass(FRESH in request.COOKIES)
        request._djfast_pages = RequestState()

    def end(self, request: Any, response: HttpResponseBase) -> HttpResponseBase:
        """Store the response, and mark a client that has changed something."""
        state = request._djfast_pages
        if state.render:
            state.render.finish(response)
        elif state.entry:  # the look-up failed after it had acquired the lock
            page_store.release(state.entry)
        if _changed.get():
            secure = request.is_secure()
            response.set_cookie(FRESH, "1", FRESH_AGE, httponly=True, samesite="Lax", secure=secure)
        return response
