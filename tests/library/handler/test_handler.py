"""ASGI handler: how often a request changes threads, and responses equal to those of Django's handler."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakSet

import pytest
from asgiref.sync import markcoroutinefunction
from django.conf import LazySettings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from djfast import engine
from djfast.engine import handler
from djfast.engine.handler import Handler

pytestmark = pytest.mark.urls(__name__)


class Around:
    """Something around the application, as for static files; under either name that is usual."""

    def __init__(self, name: str, application: Any) -> None:
        setattr(self, name, application)


application: Any = None  # set by the tests of `installed`


def here() -> str:
    """Return where this runs."""
    return "loop" if threading.current_thread() is threading.main_thread() else "thread"


def plain(request: HttpRequest) -> HttpResponse:
    """Respond from a thread."""
    return HttpResponse(here())


async def awaited(request: HttpRequest) -> HttpResponse:
    """Respond from the event loop."""
    return HttpResponse(here())


def broken(request: HttpRequest) -> HttpResponse:
    """Raise an exception."""
    raise ZeroDivisionError


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Stream a response that is made on the event loop."""

    async def pieces() -> AsyncIterator[str]:
        for piece in ("a", "b"):
            await asyncio.sleep(0)
            yield piece

    return StreamingHttpResponse(pieces())


urlpatterns = [path(f"{view.__name__}/", view) for view in (plain, awaited, broken, stream)]


class Visit(NamedTuple):
    """A response, and how often threads were changed for it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    switches: int


def visit(handler: ASGIHandler, where: str) -> Visit:
    """Request a page."""
    return asyncio.run(request(handler, where))


async def request(handler: ASGIHandler, where: str) -> Visit:
    loop = asyncio.get_running_loop()
    switch, switches = loop.run_in_executor, 0

    def counted(executor: Any, work: Callable[..., Any], *args: Any) -> Any:
        nonlocal switches
        switches += 1
        return switch(executor, work, *args)

    loop.run_in_executor = counted  # type: ignore[assignment]
    sent: list[Mapping[str, Any]] = []
    left = asyncio.Event()
    received = iter([{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        if (message := next(received, None)) is None:
            await left.wait()
        return message or {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": where, "query_string": b"", "scheme": "https"}
    await handler(scope | {"headers": [(b"host", b"testserver")]}, receive, send)
    start, *bodies = sent
    body = b"".join(part.get("body", b"") for part in bodies)
    return Visit(start["status"], dict(start["headers"]), body, switches)


def test_a_synchronous_view_changes_threads_once_for_all_its_middleware() -> None:
    ours = visit(Handler(), "/plain/")
    assert ours.body == b"thread"
    assert ours.switches == 3  # request_started, the whole response, request_finished
    assert visit(ASGIHandler(), "/plain/").switches > 3 * ours.switches


def test_an_async_view_stays_on_the_event_loop() -> None:
    ours = visit(Handler(), "/awaited/")
    assert ours.body == b"loop"
    assert ours.switches == visit(ASGIHandler(), "/awaited/").switches


class Awaiting:
    """A middleware that is async only."""

    sync_capable, async_capable = False, True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add a header."""
        response: HttpResponse = await self.get_response(request)
        response["X-Awaited"] = "yes"
        return response


@pytest.mark.parametrize("middleware", [[], [f"{__name__}.Awaiting"]], ids=["", "with another"])
@pytest.mark.parametrize("where", ["/plain/", "/awaited/", "/broken/", "/nowhere/", "/stream/"])
def test_the_response_is_that_of_djangos_handler(
    settings: LazySettings, where: str, middleware: list[str]
) -> None:
    settings.DEBUG = False
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *middleware]
    assert visit(Handler(), where)[:3] == visit(ASGIHandler(), where)[:3]


@pytest.mark.parametrize(
    ("chosen", "expected"), [(True, Handler), (["handler"], Handler), (False, ASGIHandler)]
)
def test_the_setting_decides_which_handler_the_application_is(
    settings: LazySettings, chosen: Any, expected: type
) -> None:
    settings.DJFAST_ENGINE = chosen
    assert type(handler.get_asgi_application()) is expected


def test_a_changed_django_gets_its_own_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.core.handlers.base.BaseHandler.resolve_request", lambda *args: None)
    try:
        engine.install()
        assert engine.changed("handler") == [
            "django.core.handlers.base.BaseHandler.resolve_request"
        ]
        assert type(handler.get_asgi_application()) is ASGIHandler
    finally:
        monkeypatch.undo()
        engine.install()


@pytest.fixture
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the handlers of other tests."""
    monkeypatch.setattr(handler, "HANDLERS", WeakSet())


@pytest.mark.usefixtures("no_handlers")
@pytest.mark.parametrize("names", [[], ["application"], ["routes", "inner"]])
def test_the_handler_is_found_inside_any_application_and_counts_its_requests(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    served: Any = Handler()
    visit(served, "/plain/"), visit(served, "/awaited/"), visit(served, "/plain/")
    whole = served
    for name in names:
        whole = Around(name, whole)
    monkeypatch.setitem(globals(), "application", whole)
    settings.ASGI_APPLICATION = f"{__name__}.application"
    assert handler.loaded()
    assert handler.evidence().startswith("2 requests")


@pytest.mark.usefixtures("no_handlers")
@pytest.mark.parametrize("named", [ASGIHandler, object, None])
def test_there_is_no_handler_where_djangos_is_served(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch, named: Any
) -> None:
    monkeypatch.setitem(globals(), "application", named and named())
    settings.ASGI_APPLICATION = named and f"{__name__}.application"
    assert not handler.loaded()
