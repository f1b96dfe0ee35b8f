"""A site with cached views for the tests, and the page cache as a second process has it."""

import asyncio
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csp import get_nonce
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.utils.translation import get_language
from django.views import View
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csp import csp_override
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from djfast.cache import pages
from djfast.cache.pages.store import page_store

FILLING = "<p>filling</p>" * 60  # long enough to be compressed
rendered: list[str] = []  # the URLs for which a view was called


@dataclass
class Behaviour:
    """What tests change about the views."""

    status: int = 200
    delay: float = 0.0  # seconds


behaviour = Behaviour()


def reset() -> None:
    """Empty the cache, and forget what the process knows about it."""
    caches["pages"].clear()
    page_store.copies.discard()
    page_store.in_flight.clear()
    page_store.unsent.clear()
    page_store.offline_until = 0.0
    rendered.clear()
    behaviour.status, behaviour.delay = 200, 0.0


def expire_life() -> None:
    """Make all pages stale."""
    store: Any = caches["pages"]
    store.delete_many(store.keys("*.fresh"))
    page_store.copies.discard()


def first_words(response: Any) -> bytes:
    """Return what a page contains before its filling."""
    text: bytes = response.content.partition(b"</p>")[0]
    return text


def get(url: str, **headers: str) -> bytes:
    """Return what an anonymous visitor gets, without the filling."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return first_words(Client().get(url, headers=named))


def page(request: HttpRequest, *words: object) -> HttpResponse:
    """Return a page that shows how many were rendered so far, and `words`."""
    rendered.append(request.get_full_path())
    time.sleep(behaviour.delay)
    return HttpResponse(f"<p>{len(rendered)} {' '.join(map(str, words))}</p>{FILLING}")


def plain(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return page(request, request.path)


def user(request: Any) -> HttpResponse:
    return page(request, request.user.get_username())


def session(request: Any) -> HttpResponse:
    return page(request, request.session.get("name", "nobody"))


def write_session(request: Any) -> HttpResponse:
    request.session["name"] = request.GET.get("name", "Ada")
    return page(request)


def token(request: Any) -> HttpResponse:
    return page(request, get_token(request))


def nonce(request: Any) -> HttpResponse:
    return page(request, str(get_nonce(request)))


def cookies(request: Any) -> HttpResponse:
    return page(request, request.COOKIES)


def template(request: Any) -> HttpResponse:
    rendered.append(request.get_full_path())
    source = (
        "{{ request.COOKIES }} {{ request.GET.urlencode }} {% if request.GET.token %}"
        "{% csrf_token %}{% endif %}" + FILLING
    )
    return TemplateResponse(request, engines["django"].from_string(source))


def stream(request: Any) -> StreamingHttpResponse:
    rendered.append(request.path)
    return StreamingHttpResponse([b"a", b"b"])


def set_cookie(request: Any) -> HttpResponse:
    response = page(request)
    response.set_cookie("seen", "1")
    return response


def set_cookie_header(request: Any) -> HttpResponse:
    response = page(request)
    response.headers["Set-Cookie"] = "seen=1"
    return response


def status(request: Any, code: int) -> HttpResponse:
    rendered.append(request.path)
    return HttpResponse(status=code)


def add_message(request: Any) -> HttpResponse:
    messages.info(request, "Saved")
    return page(request)


def show_messages(request: Any) -> HttpResponse:
    return page(request, *messages.get_messages(request))


def add_and_show_messages(request: Any) -> HttpResponse:
    messages.info(request, "Saved")
    return show_messages(request)


def language(request: Any) -> HttpResponse:
    return page(request, get_language())


def accept_language(request: Any) -> HttpResponse:
    return page(request, request.headers.get("Accept-Language"))


def header(request: Any) -> HttpResponse:
    return page(request, request.headers.get("X-Language"))


def fails_second_time(request: Any) -> HttpResponse:
    rendered.append(request.path)
    if len(rendered) > 1:
        raise RuntimeError
    return HttpResponse(FILLING)


def gone_second_time(request: Any) -> HttpResponse:
    rendered.append(request.path)
    return HttpResponse(FILLING, status=200 if len(rendered) == 1 else 404)


def with_status(request: Any) -> HttpResponse:
    rendered.append(request.path)
    return HttpResponse(FILLING, status=behaviour.status)


def change(request: Any) -> HttpResponse:
    pages.invalidate("t")
    return page(request)


async def async_page(request: Any, **kwargs: Any) -> HttpResponse:
    await asyncio.sleep(behaviour.delay)
    rendered.append(request.get_full_path())
    return HttpResponse(f"<p>{len(rendered)}</p>{FILLING}")


cached = pages.cached_page(60, tags=["t"], query=["q", "page"])


@method_decorator(cached, name="dispatch")
class Sync(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return page(request)


@method_decorator(cached, name="dispatch")
class Async(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await async_page(request)


class AsyncMethod(View):
    @method_decorator(cached)
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await async_page(request)


urlpatterns = [
    path("user/", cached(user)),
    path("session/", cached(session)),
    path("django/", cache_page(60, cache="pages")(session)),
    path("write-session/", write_session),
    path("cached-write-session/", cached(write_session)),
    path("own/", pages.cached_page_per_user(60)(user)),
    path("own-token/", pages.cached_page_per_user(60)(token)),
    path("own-messages/", pages.cached_page_per_user(60)(show_messages)),
    path("token/", cached(token)),
    path("nonce/", cached(nonce)),
    path("cookies/", cached(cookies)),
    path("template/", cached(template)),
    path("stream/", cached(stream)),
    path("set-cookie/", cached(set_cookie)),
    path("set-cookie-header/", cached(set_cookie_header)),
    path("status/<int:code>/", cached(status)),
    path("add-message/", add_message),
    path("cached-add-message/", cached(add_message)),
    path("messages/", cached(show_messages)),
    path("add-and-show/", cached(add_and_show_messages)),
    path("language/", pages.cached_page(60)(language)),  # its policy has seen no Vary of others
    path("vary/", cached(vary_on_headers("Accept-Language")(accept_language))),
    path("vary-alone/", pages.cached_page(60)(vary_on_headers("Accept-Language")(accept_language))),
    path("header/", pages.cached_page(60)(vary_on_headers("X-Language")(header))),
    path("vary-cookie/", cached(vary_on_cookie(plain))),
    path("vary-all/", cached(vary_on_headers("*")(plain))),
    path("never/", cached(never_cache(plain))),
    path("private/", cached(cache_control(private=True)(plain))),
    path("csp/", cached(csp_override({"default-src": ["'none'"]})(plain))),
    path("frame/", cached(xframe_options_exempt(plain))),
    path("fails/", pages.cached_page(1, hard=60)(fails_second_time)),
    path("with-status/", pages.cached_page(1, hard=60)(with_status)),
    path("gone/", pages.cached_page(1, hard=60)(gone_second_time)),
    path("async/", cached(async_page)),
    path("class/", Sync.as_view()),
    path("async-class/", Async.as_view()),
    path("async-method/", AsyncMethod.as_view()),
    path("nested/", cached(pages.cached_page(60, tags=["u"])(plain))),
    path("change/", change),
    re_path("^any/(?P<rest>.*)$", cached(plain)),
]


def visitor_id(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware as many sites have one: gives each browser an id in a cookie."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        if "vid" not in request.COOKIES:
            response.set_cookie("vid", "new")
        return response

    return middleware


def variant(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware that makes pages depend on a cookie, and declares it in Vary."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.content += request.COOKIES.get("variant", "none").encode()
        response.headers["Vary"] = "Cookie"
        return response

    return middleware


def user_by_header(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware that authenticates users by a header."""

    def middleware(request: Any) -> Any:
        if name := request.headers.get("X-Key"):
            request.user = get_user_model()(username=name)
        return get_response(request)

    return middleware


def another_process() -> dict[str, ModuleType]:
    """Import the page cache again, and return its modules with the state of another process."""

    def remove() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.startswith("djfast.cache.pages")]
        return {name.rpartition(".")[2]: sys.modules.pop(name) for name in names}

    own = remove()
    try:
        importlib.import_module("djfast.cache.pages")
    finally:
        another = remove()
        prefix = "djfast.cache."
        sys.modules.update(
            {prefix + ("" if name == "pages" else "pages.") + name: own[name] for name in own}
        )
        sys.modules["djfast.cache"].pages = own["pages"]  # type: ignore[attr-defined]
    return another
