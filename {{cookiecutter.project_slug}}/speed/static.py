"""Static files in front of an ASGI application, with WhiteNoise's own look-up and headers.

Of the packages that do this, one opens a thread pool for each file and the other sends neither Vary
nor 304; this is WhiteNoise itself, so both interfaces answer alike.
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
    """WhiteNoise, which speaks WSGI only, around an ASGI application.

    Takes the same arguments, answers with the same headers. A file is read on the event loop: from the
    page cache that is quicker than handing it to a thread. Source: https://asgi.readthedocs.io/
    """

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer with a file where there is one at the path, else let the application answer."""
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
                        await asyncio.sleep(0)  # others have their turn while a long file is sent
        await send({"type": "http.response.body"})


def as_environ(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Name request headers as WSGI does: `HTTP_ACCEPT_ENCODING`."""
    return {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in headers
    }
