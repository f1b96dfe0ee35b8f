"""Under ASGI: how often a request changes threads, and what does not depend on it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from asgiref.sync import markcoroutinefunction
from django.conf import LazySettings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from config import asgi
from speed.handler import Handler

pytestmark = pytest.mark.urls(__name__)


def here() -> str:
    """Tell where this runs."""
    return "loop" if threading.current_thread() is threading.main_thread() else "thread"


def plain(request: HttpRequest) -> HttpResponse:
    """Answer in a thread."""
    return HttpResponse(here())


async def awaited(request: HttpRequest) -> HttpResponse:
    """Answer on the event loop."""
    return HttpResponse(here())


def broken(request: HttpRequest) -> HttpResponse:
    """Fail."""
    raise ZeroDivisionError


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send piece by piece what is made on the event loop."""

    async def pieces() -> AsyncIterator[str]:
        for piece in ("a", "b"):
            await asyncio.sleep(0)
            yield piece

    return StreamingHttpResponse(pieces())


urlpatterns = [path(f"{view.__name__}/", view) for view in (plain, awaited, broken, stream)]


def visit(handler: ASGIHandler, where: str) -> tuple[int, dict[bytes, bytes], bytes, int]:
    """Ask for a page; its status, its headers, its body, and how often threads changed."""
    return asyncio.run(asked(handler, where))


async def asked(handler: ASGIHandler, where: str) -> tuple[int, dict[bytes, bytes], bytes, int]:
    loop = asyncio.get_running_loop()
    switch, changed = loop.run_in_executor, 0

    def counted(executor: Any, work: Callable[..., Any], *args: Any) -> Any:
        nonlocal changed
        changed += 1
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
    return start["status"], dict(start["headers"]), body, changed


def test_the_application_of_the_project_answers_through_it() -> None:
    served: Any = asgi.application  # static files, around the handler
    assert type(served.application) is Handler


def test_a_view_that_is_not_async_changes_threads_once_for_all_its_middleware() -> None:
    *_, body, changed = visit(Handler(), "/plain/")
    assert body == b"thread"
    assert changed == 3  # the start of the request, all of its answer, its end
    assert visit(ASGIHandler(), "/plain/")[-1] > 3 * changed


def test_an_async_view_stays_on_the_event_loop() -> None:
    *_, body, changed = visit(Handler(), "/awaited/")
    assert body == b"loop"
    assert changed == visit(ASGIHandler(), "/awaited/")[-1]


class Awaiting:
    """A middleware that knows no other way."""

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
def test_the_answer_is_that_of_djangos_own_handler(
    settings: LazySettings, where: str, middleware: list[str]
) -> None:
    settings.DEBUG = False
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *middleware]
    assert visit(Handler(), where)[:3] == visit(ASGIHandler(), where)[:3]
