"""What a cached page depends on: its key, and everything else, which the view must not use."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.contrib.messages import get_messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest, QueryDict
from django.middleware.csp import get_nonce
from django.utils.http import split_directive_names
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language

from djfast.cache.pages.store import COPY
from djfast.cache.release import build

Tags = Iterable[str] | Callable[..., Iterable[str]]
Identity = tuple[Any, ...]


@dataclass
class Policy:
    """The arguments of a decorator, and what the responses of its view have shown."""

    life: float  # seconds
    hard: float  # seconds
    tags: Tags
    query: tuple[str, ...]
    per_user: bool
    vary: tuple[str, ...] = ()  # request headers that a page has depended on
    storable: bool = True  # whether the last page could be stored; if not, nobody waits for one


def make_policy(
    life: float, hard: float | None, tags: Tags, query: Iterable[str], per_user: bool
) -> Policy:
    """Return the policy for the arguments of a decorator after checking them."""
    if callable(life):
        raise TypeError("The decorator takes the life of a page, in seconds: @cached_page(60)")
    hard = 10 * life if hard is None else hard
    if not (0 < life <= hard and hard > COPY):
        raise ValueError(f"0 < life <= hard and {COPY} < hard must hold: {life=}, {hard=}")
    if isinstance(tags, str) or isinstance(query, str):
        raise TypeError("tags and query are lists of strings")
    tags = tags if callable(tags) else tuple(tags)
    return Policy(life, hard, tags, tuple(sorted({*query})), per_user)


def identify(request: Any, policy: Policy, view: str) -> Identity | None:
    """Return what a page depends on except headers; None: the page must not be cached.

    Args:
        request: for the page.
        policy: of the view.
        view: its name.
    """
    meta, cookies, user = request.META, request.COOKIES, None
    if "HTTP_AUTHORIZATION" in meta or CookieStorage.cookie_name in cookies:
        return None
    if policy.per_user and request.user.is_authenticated:
        user = str(request.user.pk)
    elif settings.SESSION_COOKIE_NAME in cookies:
        return None
    query, raw = [], meta.get("QUERY_STRING", "")
    # Parse the query string only if it may contain one of the parameters.
    if not raw.isascii() or any(part in raw for part in ("%", "+", *policy.query)):
        query = [(k, request.GET.getlist(k)) for k in policy.query if k in request.GET]
    language = get_language() if settings.USE_I18N else None
    zone = str(get_current_timezone()) if settings.USE_TZ else None
    url = request.scheme, request.get_host(), request.path
    return build(), view, user, *url, query, language, zone


def key_of(identity: Identity | None, request: HttpRequest, policy: Policy) -> str:
    """Return the cache key of a page, from its identity and the headers that it depends on."""
    headers = {k: request.META.get(f"HTTP_{k.upper().replace('-', '_')}") for k in policy.vary}
    return f"djfast.page.{blake2b(repr((identity, headers)).encode(), digest_size=20).hexdigest()}"


def vary_names(response: Any) -> set[str]:
    """Return the names in the header `Vary` of a response, in lower case."""
    return {name.strip().lower() for name in response.get("Vary", "").split(",")} - {""}


class Mask:
    """Hides from a view what is not in the key of its page: other parameters, and all other cookies.

    Args:
        request: changed until `remove` is called.
        query: the parameters that stay.
        cookies: whether to hide cookies, except the one of the session.
    """

    def __init__(self, request: Any, query: tuple[str, ...], cookies: bool) -> None:
        meta = request.META
        self.original = request.GET, meta.get("QUERY_STRING", ""), request.COOKIES
        self.header: str | None = None
        visible = QueryDict(mutable=True)
        for name in query:
            if name in request.GET:
                visible.setlist(name, request.GET.getlist(name))
        visible._mutable = False  # as QueryDict.fromkeys does
        request.GET, meta["QUERY_STRING"] = visible, visible.urlencode()
        if cookies:
            session = settings.SESSION_COOKIE_NAME
            request.COOKIES = {k: v for k, v in request.COOKIES.items() if k == session}
            self.header = meta.pop("HTTP_COOKIE", None)
            vars(request).pop("headers", None)  # a cached property, computed from META

    def remove(self, request: Any) -> None:
        """Restore the request."""
        request.GET, request.META["QUERY_STRING"], request.COOKIES = self.original
        if self.header is not None:
            request.META["HTTP_COOKIE"] = self.header
            vars(request).pop("headers", None)


def refusal(request: Any, response: Any, vary: set[str], shared: bool) -> str:
    """Return why a finished response must not be cached; "" if it may be.

    Args:
        request: that it answers.
        response: after all middleware below the page cache.
        vary: the request headers that it depends on.
        shared: whether the page is for all visitors, not for one user.
    """
    directives = {*split_directive_names(response.get("Cache-Control", ""))}
    user, session = getattr(request, "user", None), getattr(request, "session", None)
    reasons = {
        "its status is not 200": response.status_code != 200,
        "it is streamed": response.streaming,
        "it is encoded": response.has_header("Content-Encoding"),
        "it sets a cookie": response.cookies or response.has_header("Set-Cookie"),
        "it changes the session": session is not None and session.modified,
        "Cache-Control forbids it": directives & {"no-store", "no-cache", *["private"] * shared},
        "it varies on cookies or on everything": vary & {"cookie", "*"},
        "it contains a CSRF token": "CSRF_COOKIE_NEEDS_UPDATE" in request.META,
        "it contains a nonce": get_nonce(request),
        "it contains messages": len(get_messages(request)),
        "it is for a signed-in user": shared and user is not None and user.is_authenticated,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
