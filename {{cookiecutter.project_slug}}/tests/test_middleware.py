"""The lean middleware sends what Django's sends, and does not do what it promises to leave out."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from django.conf import LazySettings
from django.contrib import messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware import http
from django.test import Client, RequestFactory
from django.urls import ResolverMatch
from django.utils.cache import get_conditional_response

from speed import middleware

DATE = "Sun, 29 Nov 2026 18:00:00 GMT"


def page(**headers: str) -> Callable[[HttpRequest], HttpResponse]:
    """Answer with headers of one's own."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: HttpResponse("a page", headers=names)


def stream(request: HttpRequest) -> Any:
    return StreamingHttpResponse([b"a", b"page"])


def missing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("none", status=404)


PAGES: dict[str, Callable[[HttpRequest], Any]] = {
    "a page": page(),
    "an empty page": lambda request: HttpResponse(),
    "a page that says its ETag": page(ETag='"mine"'),
    "a page that says its date": page(Last_Modified=DATE),
    "a page that no cache may have": page(Cache_Control="no-store"),
    "a stream": stream,
    "no page": missing,
}
ASKED: list[dict[str, Any]] = [
    {},
    {"HTTP_IF_NONE_MATCH": '"mine"'},
    {"HTTP_IF_NONE_MATCH": "*"},
    {"HTTP_IF_MATCH": '"other"'},
    {"HTTP_IF_MODIFIED_SINCE": DATE},
    {"HTTP_IF_UNMODIFIED_SINCE": "Sun, 29 Nov 2020 18:00:00 GMT"},
    {"REQUEST_METHOD": "HEAD"},
    {"REQUEST_METHOD": "POST", "HTTP_IF_NONE_MATCH": "*"},
]


def sent(middleware: Any, view: Any, asked: dict[str, Any]) -> tuple[int, object, bytes]:
    """Return what an answer has that a visitor gets."""
    response = middleware(view)(RequestFactory().get("/", **asked))
    return response.status_code, sorted(response.items()), b"".join(response)


@pytest.mark.parametrize("name", PAGES)
def test_an_answer_has_the_etag_and_the_status_that_django_gives_it(name: str) -> None:
    ours, djangos = middleware.ConditionalGetMiddleware, http.ConditionalGetMiddleware
    for asked in ASKED:
        assert sent(ours, PAGES[name], asked) == sent(djangos, PAGES[name], asked)


def test_a_first_visit_compares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[HttpRequest] = []

    def noted(request: HttpRequest, **options: Any) -> Any:
        compared.append(request)
        return get_conditional_response(request, **options)

    monkeypatch.setattr(http, "get_conditional_response", noted)
    first = sent(middleware.ConditionalGetMiddleware, page(), {})
    assert compared == []
    again = {"HTTP_IF_NONE_MATCH": dict(cast(Any, first[1]))["ETag"]}
    assert sent(middleware.ConditionalGetMiddleware, page(), again)[0] == 304
    assert len(compared) == 1


@pytest.fixture
def storages(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The storages of messages that are made."""
    made: list[object] = []
    init = FallbackStorage.__init__

    def noted(self: FallbackStorage, request: HttpRequest) -> None:
        made.append(self)
        init(self, request)

    monkeypatch.setattr(FallbackStorage, "__init__", noted)
    return made


class OwnStorage(FallbackStorage):
    """A storage of a project's own, which marks each answer."""

    def update(self, response: HttpResponseBase) -> Any:
        """Mark it."""
        response["X-Updated"] = "yes"
        return super().update(response)


def greet(request: HttpRequest) -> HttpResponse:
    """Leave a message for the next page."""
    messages.success(request, "Wëlcome")
    return HttpResponse()


def show(request: HttpRequest) -> HttpResponse:
    """Show the messages."""
    return HttpResponse(", ".join(map(str, messages.get_messages(request))))


def keep_none(request: Any) -> HttpResponse:
    """Do without messages."""
    del request._messages
    return HttpResponse()


def keep_own(request: Any) -> HttpResponse:
    """Put another storage in the place of the first."""
    request._messages = OwnStorage(request)
    return HttpResponse()


def greet_too_long(request: HttpRequest) -> HttpResponse:
    """Leave a message for which a cookie has no room."""
    messages.success(request, "".join(map(str, range(2000))))
    return HttpResponse()


Visit = Callable[[Callable[[Any], HttpResponse]], Any]


@pytest.fixture
def visit(client: Client, monkeypatch: pytest.MonkeyPatch) -> Visit:
    """Ask the project for a page that a view makes."""

    def one(view: Callable[[Any], HttpResponse]) -> Any:
        resolved = ResolverMatch(view, (), {})
        monkeypatch.setattr(BaseHandler, "resolve_request", lambda self, request: resolved)
        return client.get("/")

    return one


def test_a_request_without_messages_makes_no_storage(visit: Visit, storages: list[object]) -> None:
    assert visit(page()).status_code == 200
    assert storages == []


def test_a_message_is_shown_on_the_next_page_and_no_other(
    visit: Visit, storages: list[object]
) -> None:
    visit(greet)
    assert visit(show).content.decode() == "Wëlcome"
    assert visit(show).content == b""
    assert len(storages) == 3


def test_a_view_may_do_without_messages_or_keep_them_itself(visit: Visit) -> None:
    assert visit(keep_none).status_code == 200
    assert visit(keep_own)["X-Updated"] == "yes"


def test_a_storage_of_ones_own_sees_each_request(visit: Visit, settings: LazySettings) -> None:
    settings.MESSAGE_STORAGE = f"{__name__}.OwnStorage"
    assert visit(page())["X-Updated"] == "yes"


def test_a_message_for_which_there_is_no_room_is_reported(
    visit: Visit, settings: LazySettings
) -> None:
    settings.DEBUG = True
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
    with pytest.raises(ValueError, match="Not all temporary messages could be stored"):
        visit(greet_too_long)


def test_a_storage_in_the_session_needs_a_session(visit: Visit, settings: LazySettings) -> None:
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
    settings.MIDDLEWARE = ["speed.middleware.MessageMiddleware"]
    with pytest.raises(ImproperlyConfigured, match="requires session middleware"):
        visit(page())


@pytest.mark.parametrize("name", ["ConditionalGetMiddleware", "MessageMiddleware"])
def test_djangos_own_in_its_place_is_found(settings: LazySettings, name: str) -> None:
    assert middleware.finding()[0]
    module = {"C": "django.middleware.http", "M": "django.contrib.messages.middleware"}[name[0]]
    settings.MIDDLEWARE = [
        path.replace(f"speed.middleware.{name}", f"{module}.{name}") for path in settings.MIDDLEWARE
    ]
    holds, show = middleware.finding()
    assert (holds, show()) == (False, f"{module}.{name}")
