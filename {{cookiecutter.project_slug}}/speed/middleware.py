"""Lean middleware: Django's, without the work that most requests have no use for.

Each class inherits Django's of the same name, and sends what that one sends. Where a page is small, or kept,
most of its time goes into middleware.
"""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.messages import middleware as messages
from django.contrib.messages.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware import csp, http
from django.utils.cache import set_response_etag
from django.utils.csp import CSP, build_policy
from django.utils.functional import SimpleLazyObject, empty

from speed import Finding

CONDITIONS = ("IF_MATCH", "IF_MODIFIED_SINCE", "IF_NONE_MATCH", "IF_UNMODIFIED_SINCE")


class ConditionalGetMiddleware(http.ConditionalGetMiddleware):
    """Compares the ETag of a page with what the browser has, if the browser says what it has."""

    conditions = frozenset(f"HTTP_{name}" for name in CONDITIONS)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Give the page its ETag, and leave the rest to Django, if there is a rest."""
        if self.conditions.isdisjoint(request.META):
            if request.method == "GET" and "ETag" not in response and self.needs_etag(response):
                set_response_etag(response)
            return response
        return super().process_response(request, response)


class ContentSecurityPolicyMiddleware(csp.ContentSecurityPolicyMiddleware):
    """Writes the policies of the settings once, and anew for a page with a nonce or policy of its own."""

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self.written: dict[str, tuple[object, str]] = {}

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Send the policies of the settings."""
        own = hasattr(response, "_csp_config") or hasattr(response, "_csp_ro_config")
        if own or csp.get_nonce(request):
            return super().process_response(request, response)
        policies: dict[str, Any] = {
            str(CSP.HEADER_ENFORCE): settings.SECURE_CSP,
            str(CSP.HEADER_REPORT_ONLY): settings.SECURE_CSP_REPORT_ONLY,
        }
        for header, config in policies.items():
            if config and header not in response:
                known, policy = self.written.get(header, (None, ""))
                if known is not config:
                    policy = build_policy(config)
                    self.written[header] = config, policy
                response.headers[header] = policy
        return response


class MessageMiddleware(messages.MessageMiddleware):
    """Makes the store of a visitor's messages when one is added or asked for."""

    def process_request(self, request: Any) -> None:
        """Promise a store."""
        request._messages = SimpleLazyObject(partial(default_storage, request))

    def process_response(self, request: Any, response: HttpResponse) -> HttpResponse:
        """Save the messages, unless nobody has looked at them."""
        store = getattr(request, "_messages", None)
        if type(store) is SimpleLazyObject and store._wrapped is empty:
            return response
        return super().process_response(request, response)


def finding() -> Finding:
    """Say whether one of Django's own stands where one of these could."""
    ours = (ConditionalGetMiddleware, ContentSecurityPolicyMiddleware, MessageMiddleware)
    names = {f"{one.__mro__[1].__module__}.{one.__name__}" for one in ours}
    left = [path for path in settings.MIDDLEWARE if path in names]
    return not left, lambda: ", ".join(left) or "no store for messages until one is added or shown"
