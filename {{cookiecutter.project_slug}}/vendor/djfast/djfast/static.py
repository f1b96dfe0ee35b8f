"""Serve static files around the application: WhiteNoise, with all settings that its documentation names.

    application = StaticFiles(get_wsgi_application())         # wsgi.py
    application = StaticFilesASGI(get_asgi_application())     # asgi.py

WhiteNoise's middleware needs a request object and the middleware above it for each file; WhiteNoise
around the application needs neither, but reads no settings. Here its middleware, which reads
`WHITENOISE_*`, is used as a wrapper. ASGI and WSGI give the same responses.
https://whitenoise.readthedocs.io/en/stable/django.html#available-settings
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings
from whitenoise import WhiteNoise
from whitenoise.middleware import WhiteNoiseMiddleware

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHUNK = 64 * 1024  # bytes


class StaticFiles(WhiteNoiseMiddleware):
    """A WSGI application that sends the file at the path, or calls another one if there is none."""

    def __init__(self, application: Any) -> None:
        super().__init__()
        self.application = application

    __call__ = WhiteNoise.__call__
    serve = staticmethod(WhiteNoise.serve)


class StaticFilesASGI(StaticFiles):
    """The same for ASGI.

    A file is read on the event loop: from the operating system's page cache that is faster than in a
    thread. Source: https://asgi.readthedocs.io/
    """

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Send the file at the path, or call the application if there is none."""
        file = None
        if scope["type"] == "http":
            path = path_info(scope)
            file = self.find_file(path) if self.autorefresh else self.files.get(path)
        if file is None:
            await self.application(scope, receive, send)
            return
        response = file.get_response(scope["method"], as_environ(scope["headers"]))
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        status = int(response.status)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if response.file:
            with response.file:
                while chunk := response.file.read(CHUNK):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    if len(chunk) == CHUNK:
                        await asyncio.sleep(0)  # other requests continue while a long file is sent
        await send({"type": "http.response.body"})


def path_info(scope: Message) -> str:
    """Return the path below the site's own, as Django's ASGIRequest does."""
    path: str = scope["path"]
    script_name = (settings.FORCE_SCRIPT_NAME or scope.get("root_path", "")).rstrip("/")
    return path[len(script_name) :] if path.startswith(f"{script_name}/") else path


def as_environ(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return request headers under their WSGI names, such as `HTTP_ACCEPT_ENCODING`."""
    return {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in headers
    }
