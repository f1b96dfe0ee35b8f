"""The lean middleware sends what Django's sends, and leaves out what it says."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib import messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csp import get_nonce
from django.test import Client, RequestFactory
from django.utils.csp import CSP, build_policy
from django.utils.module_loading import import_string
from django.views.decorators.csp import csp_override, csp_report_only_override

from speed import middleware

DATE = "Sun, 29 Nov 2026 18:00:00 GMT"
OWN_POLICY = {"default-src": [CSP.NONE], "script-src": [CSP.NONCE]}


def page(**headers: str) -> Callable[[HttpRequest], HttpResponse]:
    """Answer with headers of one's own."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: HttpResponse("a page", headers=names)


def stream(request: HttpRequest) -> Any:
    return StreamingHttpResponse([b"a", b"page"])


def missing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("none", status=404)


def with_nonce(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a nonce" if str(get_nonce(request)) else "")


PAGES: dict[str, Callable[[HttpRequest], Any]] = {
    "a page": page(),
    "an empty page": lambda request: HttpResponse(),
    "a page that says its ETag": page(ETag='"mine"'),
    "a page that says its date": page(Last_Modified=DATE),
    "a page that no cache may have": page(Cache_Control="no-store"),
    "a page with a policy": page(Content_Security_Policy="default-src *"),
    "a page with a policy to report": page(Content_Security_Policy_Report_Only="default-src *"),
    "a stream": stream,
    "no page": missing,
    "another policy": csp_override(OWN_POLICY)(page()),
    "no policy": csp_override({})(page()),
    "another policy to report": csp_report_only_override(OWN_POLICY)(page()),
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
CLASSES = ("ConditionalGetMiddleware", "ContentSecurityPolicyMiddleware")


def sent(middleware: Any, view: Any, asked: dict[str, Any]) -> tuple[int, object, bytes]:
    """Return what an answer has that a visitor gets."""
    response = middleware(view)(RequestFactory().get("/", **asked))
    return response.status_code, sorted(response.items()), b"".join(response)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("kind", CLASSES)
def test_an_answer_is_that_of_djangos_own(settings: LazySettings, kind: str, name: str) -> None:
    settings.SECURE_CSP_REPORT_ONLY = {"img-src": {CSP.SELF, "data:"}, "script-src": CSP.NONCE}
    ours: Any = getattr(middleware, kind)
    for asked in ASKED:
        assert sent(ours, PAGES[name], asked) == sent(ours.__mro__[1], PAGES[name], asked)


def test_a_policy_is_written_once_and_anew_when_settings_change(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def noted(config: Any) -> str:
        written.append(config)
        return build_policy(config)

    monkeypatch.setattr(middleware, "build_policy", noted)
    answer: Any = middleware.ContentSecurityPolicyMiddleware(page())
    request = RequestFactory().get("/")
    first, second = (answer(request)[CSP.HEADER_ENFORCE] for _ in range(2))
    assert first == second
    assert written == [settings.SECURE_CSP]
    settings.SECURE_CSP = {"default-src": [CSP.NONE]}
    assert answer(request)[CSP.HEADER_ENFORCE] == "default-src 'none'"


def test_a_page_with_a_nonce_has_it_in_its_policy(settings: LazySettings) -> None:
    settings.SECURE_CSP = {"script-src": [CSP.SELF, CSP.NONCE]}
    answer: Any = middleware.ContentSecurityPolicyMiddleware(with_nonce)
    policies = {answer(RequestFactory().get("/"))[CSP.HEADER_ENFORCE] for _ in range(2)}
    assert len(policies) == 2
    assert all("'nonce-" in policy for policy in policies)
    answer.get_response = page()
    assert answer(RequestFactory().get("/"))[CSP.HEADER_ENFORCE] == "script-src 'self'"


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The stores of messages that are made."""
    made: list[object] = []
    init = FallbackStorage.__init__

    def noted(self: FallbackStorage, request: HttpRequest) -> None:
        made.append(self)
        init(self, request)

    monkeypatch.setattr(FallbackStorage, "__init__", noted)
    return made


def greet(request: HttpRequest) -> HttpResponse:
    """Leave a message for the next page."""
    messages.success(request, "Wëlcome")
    return HttpResponse()


def show(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join(map(str, messages.get_messages(request))))


def test_a_request_without_messages_makes_no_store(client: Client, stores: list[object]) -> None:
    client.get("/health/live/")
    assert client.get("/nowhere/").status_code == 404
    assert stores == []


def test_a_message_is_shown_on_the_next_page_and_no_other(
    client: Client, stores: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = {"/greet/": greet, "/show/": show}
    monkeypatch.setattr(
        "django.core.handlers.base.BaseHandler.resolve_request",
        lambda self, request: (views[request.path], (), {}),
    )
    client.get("/greet/")
    assert client.get("/show/").content.decode() == "Wëlcome"
    assert client.get("/show/").content == b""
    assert len(stores) == 3


def test_a_default_goes_back_to_django_by_one_line(settings: LazySettings) -> None:
    for name in (*CLASSES, "MessageMiddleware"):
        ours = f"speed.middleware.{name}"
        django = import_string(ours).__mro__[1]
        undone = [path.replace(ours, f"{django.__module__}.{name}") for path in settings.MIDDLEWARE]
        assert middleware.finding()[0]
        settings.MIDDLEWARE, kept = undone, settings.MIDDLEWARE
        holds, show = middleware.finding()
        assert (holds, show()) == (False, f"{django.__module__}.{name}")
        settings.MIDDLEWARE = kept
