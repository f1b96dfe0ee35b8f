"""Bodies of requests that Django cannot read under WSGI.

    MIDDLEWARE = ["djfast.bodies.LengthRequiredMiddleware", ...]

PEP 3333 has no body without a Content-Length, so Django reads a chunked body as empty, and a view
would process a form without its values. The middleware responds with 411. Under ASGI a chunked body
is read.
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
        if (
            isinstance(request, WSGIRequest)
            and request.META.get("HTTP_TRANSFER_ENCODING")
            and not request.META.get("CONTENT_LENGTH")
        ):
            logger.warning(
                "Refused %s %s with 411: its body is chunked, which a WSGI application cannot read. Let "
                "the proxy buffer requests.",
                request.method,
                request.path,
            )
            text = "Send the request with a Content-Length.\n"
            return HttpResponse(text, status=411, content_type="text/plain; charset=utf-8")
        return self.get_response(request)
