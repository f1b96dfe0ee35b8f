"""Serve static files in front of an ASGI application, with WhiteNoise's own look-up and headers.

Of the packages that do this, one opens a thread pool for each file and the other sends neither Vary
nor 304. This is WhiteNoise itself, so ASGI and WSGI give the same responses.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from whitenoise import WhiteNoise

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHUNK = 64 * 1024  # bytes


class WhiteNoiseASGI(WhiteNoise):
    """WhiteNoise around an ASGI application, with the arguments that it has for WSGI.

    A file is read on the event loop: from the operating system's page cache that is faster than in a
    thread. Source: https://asgi.readthedocs.io/
    """

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Send the file at the path, or call the application if there is none."""
        file = self.files.get(scope["path"]) if scope["type"] == "http" else None
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


def as_environ(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return request headers under their WSGI names, such as `HTTP_ACCEPT_ENCODING`."""
    return {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in headers
    }
