"""Compression of pages: django-http-compression, without responses that must stay as they are.

    MIDDLEWARE = [..., "djfast.compression.HttpCompressionMiddleware", ...]

https://www.rfc-editor.org/rfc/rfc9110#field.content-range
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_http_compression import middleware


class HttpCompressionMiddleware(middleware.HttpCompressionMiddleware):
    """Compresses a response unless it is a part of one, or says that it must not be transformed."""

    def maybe_compress(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Compress a response in the best coding that the client accepts."""
        partial = response.status_code == 206 or "Content-Range" in response.headers
        if not partial and "no-transform" not in response.headers.get("Cache-Control", "").lower():
            super().maybe_compress(request, response)
