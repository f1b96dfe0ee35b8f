"""Under ASGI, a view that is not async is handed to a thread once, together with its middleware.

Django's own handler hands over the view, and before and after it each middleware by itself: on a small
page most of the time goes into these context switches. The view of a request decides which way it goes;
the answer is the same.
"""

import warnings
from typing import Any, ClassVar

import django
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve
from django.utils.module_loading import import_string

from speed import Finding


class Handler(ASGIHandler):
    """Django's handler, with the middleware loaded for both kinds of view.

    Attributes:
        made: whether there is one in this process.
        handed: requests that it has handed to a thread.
    """

    made: ClassVar[bool] = False
    handed: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.in_thread: Any = BaseHandler()
        self.in_thread.load_middleware()
        Handler.made = True

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer on the event loop if the view is async, else in the thread of this request."""
        if is_for_the_loop(request):
            return await super().get_response_async(request)
        Handler.handed += 1
        response: HttpResponseBase = await sync_to_async(self.in_thread.get_response)(request)
        return response


def is_for_the_loop(request: HttpRequest) -> bool:
    """Say whether the view of a request is async; if it is not known yet, Django's own way is safe."""
    try:
        return iscoroutinefunction(resolve(request.path_info).func)
    except Exception:  # a middleware knows the address; or Django meets this again, and reports it
        return True


def get_asgi_application() -> ASGIHandler:
    """Do what `django.core.asgi.get_asgi_application` does."""
    django.setup(set_prefix=False)
    return Handler()


def finding() -> Finding:
    """Load the application, as a server does, and say whether this process has made such a handler."""
    application = getattr(settings, "ASGI_APPLICATION", None)
    if application and not Handler.made:
        with warnings.catch_warnings(action="ignore"):  # of static files that are not built
            import_string(application)
    if Handler.made:
        return True, lambda: f"{Handler.handed} requests handed to a thread by this process"
    if not application:
        return None, lambda: "the settings name no ASGI_APPLICATION"
    return False, lambda: "Django's own handler answers"
