"""Lean middleware: Django's, without the work for which most requests have no use.

Each class inherits Django's of the same name, and sends what that one sends. Where a page is small, or comes
from the page cache, most of its time goes into middleware.
"""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.messages import middleware as messages
from django.contrib.messages.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware import http
from django.utils.cache import set_response_etag
from django.utils.functional import SimpleLazyObject, empty

from speed import Finding

CONDITIONS = frozenset(
    {
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_UNMODIFIED_SINCE",
    }
)


class ConditionalGetMiddleware(http.ConditionalGetMiddleware):
    """Compares a page with what the browser has only if the browser says what it has."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Give the page its ETag; where there is something to compare, leave that to Django."""
        if not CONDITIONS.isdisjoint(request.META):
            return super().process_response(request, response)
        if request.method == "GET" and self.needs_etag(response) and "ETag" not in response:
            set_response_etag(response)
        return response


class MessageMiddleware(messages.MessageMiddleware):
    """Makes the storage of a visitor's messages when one is added or read.

    One of your own, which may do more than that, is made for each request, as by Django.
    """

    def process_request(self, request: Any) -> None:
        """Make the storage lazily."""
        djangos = settings.MESSAGE_STORAGE.startswith("django.contrib.messages.storage.")
        if djangos and hasattr(request, "session"):
            request._messages = SimpleLazyObject(partial(default_storage, request))
        else:
            super().process_request(request)

    def process_response(self, request: Any, response: HttpResponse) -> HttpResponse:
        """Save the messages, unless nobody has asked for their storage."""
        storage = getattr(request, "_messages", None)
        if type(storage) is SimpleLazyObject and storage._wrapped is empty:
            return response
        return super().process_response(request, response)


def finding() -> Finding:
    """Say whether these stand in the place of Django's."""
    names = {
        f"{one.__base__.__module__}.{one.__name__}"
        for one in (ConditionalGetMiddleware, MessageMiddleware)
    }
    djangos = [path for path in settings.MIDDLEWARE if path in names]
    return not djangos, lambda: ", ".join(djangos) or "no storage for messages that nobody reads"
