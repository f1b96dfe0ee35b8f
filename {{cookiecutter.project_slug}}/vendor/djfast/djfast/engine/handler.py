"""ASGI handler that runs a synchronous view and all of its middleware in one thread call.

    from djfast.engine.handler import get_asgi_application

Django's handler changes threads for a synchronous view and again for each middleware before and after it,
which takes most of the time of a small page. Here an async view is run by Django's handler
on the event loop, any other by the synchronous middleware chain in a thread. Responses are the
same.
Each middleware exists twice, once for either chain: state on its instance is not shared between them.
"""

import warnings
from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext
from typing import Any
from weakref import WeakSet

import django
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve
from django.utils.module_loading import import_string

from djfast import engine

REPLACES = {
    "django.core.asgi.get_asgi_application": "03951811c212",
    "django.core.handlers.asgi.ASGIHandler.__call__": "f8a6648e9fd7",
    "django.core.handlers.asgi.ASGIHandler.__init__": "aba4f16ce6a1",
    "django.core.handlers.asgi.ASGIHandler.handle": "9b4c1f60190c",
    "django.core.handlers.asgi.ASGIHandler.run_get_response": "83950dbc4a88",
    "django.core.handlers.base.BaseHandler._get_response": "990162c062b0",
    "django.core.handlers.base.BaseHandler.get_response": "4f275c6cbc28",
    "django.core.handlers.base.BaseHandler.get_response_async": "88aec41ae42a",
    "django.core.handlers.base.BaseHandler.load_middleware": "825594cfde3c",
    "django.core.handlers.base.BaseHandler.resolve_request": "5fe2f556a621",
}


HANDLERS: WeakSet["Handler"] = WeakSet()  # of this process


class Handler(ASGIHandler):
    """Django's handler, with the middleware loaded for both kinds of view.

    Attributes:
        in_thread: the synchronous handler.
        threaded: the number of requests that it answered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.in_thread: Any = BaseHandler()
        self.in_thread.load_middleware()
        self.threaded = 0
        HANDLERS.add(self)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response, computed on the event loop for an async view, else in the request's thread."""
        response: Any
        if is_async(request):
            response = await super().get_response_async(request)
        else:
            self.threaded += 1
            response = await sync_to_async(self.in_thread.get_response)(request)
        if response.streaming and response.is_async:
            response.streaming_content = returning_connections(response.streaming_content)
        found: HttpResponseBase = response
        return found


async def returning_connections(content: Any) -> AsyncIterator[Any]:
    """Yield the parts of a stream; between them, return the database connections of its request.

    Otherwise each open stream that has ever made a query would hold a connection.
    """
    async with aclosing(content) if hasattr(content, "aclose") else nullcontext():
        await sync_to_async(return_connections)()
        async for part in content:
            await sync_to_async(return_connections)()
            yield part


def return_connections() -> None:
    """Return the connections of this thread, unless a transaction or a server-side cursor is open."""
    for connection in connections.all(initialized_only=True):
        if (
            connection.connection is not None
            and connection.settings_dict["OPTIONS"].get("pool")
            and not connection.in_atomic_block
            and connection.autocommit
            and not getattr(connection, "_named_cursor_idx", 0)  # Django counts server-side cursors
        ):
            connection.close()


def is_async(request: HttpRequest) -> bool:
    """Return whether the view of a request is async, or not known before the middleware has run."""
    try:
        return iscoroutinefunction(resolve(request.path_info).func)
    except Exception:  # a middleware sets the URLconf, or Django meets and reports the same error
        return True


def get_asgi_application() -> ASGIHandler:
    """Return an ASGI application, as `django.core.asgi.get_asgi_application`."""
    django.setup(set_prefix=False)
    return Handler() if engine.active("handler") else ASGIHandler()


def loaded() -> bool:
    """Return whether this process has such a handler, after importing `ASGI_APPLICATION` as a server does.

    It may be inside any other application, such as a router for protocols.
    """
    if not HANDLERS and (name := getattr(settings, "ASGI_APPLICATION", None)):
        with warnings.catch_warnings(action="ignore"):  # about static files that are not built
            import_string(name)
    return bool(HANDLERS)


def evidence() -> str:
    """Return how many requests this process has answered in a thread."""
    threaded = sum(handler.threaded for handler in HANDLERS)
    return f"{threaded} requests of this process answered in one thread call each"
