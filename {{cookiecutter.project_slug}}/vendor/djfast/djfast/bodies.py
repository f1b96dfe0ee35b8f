"""Bodies of requests that Django cannot read under WSGI.

    MIDDLEWARE = ["djfast.bodies.LengthRequiredMiddleware", ...]

Django reads as many bytes as Content-Length says, and none without it. A view would see the body of a
request with `Transfer-Encoding: chunked`, or of one of HTTP/2, as empty, and process a form without its
values. The middleware responds with 411. It does not read the body instead: granian ends one that
breaks off as if it were complete. Under ASGI, Django reads such a body.
https://www.rfc-editor.org/rfc/rfc9110#name-411-length-required
"""

import logging
from collections.abc import Callable
from inspect import iscoroutinefunction, markcoroutinefunction
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)


class LengthRequiredMiddleware:
    """Refuses a request with a body of unknown length."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if isinstance(request, WSGIRequest) and body_would_be_lost(request.META):
            logger.warning(
                "Refused %s %s with 411: its body is chunked, which a WSGI application cannot read. Let "
                "the proxy buffer requests.",
                request.method,
                request.path.encode("unicode_escape").decode(),  # a path may contain a newline
            )
            text = "Send the request with a Content-Length.\n"
            return HttpResponse(text, status=411, content_type="text/plain; charset=utf-8")
        return self.get_response(request)


def body_would_be_lost(environ: dict[str, Any]) -> bool:
    """Return whether a request has a body of unknown length; may read its first byte."""
    if environ.get("CONTENT_LENGTH"):
        return False
    # HTTP/2 marks the end of a body by itself; in HTTP/1, no length and no encoding means no body.
    http2 = environ.get("SERVER_PROTOCOL", "").startswith("HTTP/2")
    if not http2 and not environ.get("HTTP_TRANSFER_ENCODING"):
        return False
    # Servers that mark the end of a body say so; runserver does not.
    ends = environ.get("wsgi.input_terminated", False)
    return not ends or environ["wsgi.input"].read(1) != b""
