"""Which view and template caused an N+1 query: zeal names the first frame outside of packages.

    MIDDLEWARE = [..., "zeal.middleware.zeal_middleware", "djfast.testing.n_plus_one.NameMiddleware"]

For a query in a package, such as one of its templates, that frame is a middleware or the server.
"""

from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction, markcoroutinefunction
from traceback import walk_tb
from typing import Any

from django.http import HttpRequest
from django.template import Node
from django.urls import ResolverMatch
from zeal.errors import ZealError


class NameMiddleware:
    """Adds the view and the template to the text of an error of zeal."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Add the names; the exception is raised all the same."""
        if isinstance(exception, ZealError):
            names = [f"view {view_of(request.resolver_match)}"] if request.resolver_match else []
            if template := template_of(exception):
                names.append(f"template {template}")
            exception.args = (f"{exception} Caused by {' and '.join(names)}.",)


def view_of(match: ResolverMatch) -> str:
    """Return the dotted path of a view: of a class, of a `ModelAdmin` with its method, of a function."""
    view: Any = match.func
    while isinstance(view, partial):
        view = view.func
    if owner := getattr(view, "model_admin", None):  # as the admin marks its views
        return f"{type(owner).__module__}.{type(owner).__qualname__}.{view.__name__}"
    # Django's class-based views, and those of Django REST framework.
    view = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    if not hasattr(view, "__qualname__"):  # an object that can be called, such as a feed
        view = type(view)
    return f"{view.__module__}.{view.__qualname__}"


def template_of(exception: Exception) -> str:
    """Return the name and line of the innermost template that was being rendered; "" if none was."""
    found = ""
    for frame, line in walk_tb(exception.__traceback__):
        node = frame.f_locals.get("self")
        if frame.f_code.co_name.startswith("render") and isinstance(node, Node):
            token, origin = getattr(node, "token", None), getattr(node, "origin", None)
            if token is not None and origin is not None:
                found = f"{origin.template_name}, line {token.lineno}"
        elif "__jinja_template__" in frame.f_globals or frame.f_code.co_filename.endswith(".html"):
            found = f"{frame.f_code.co_filename}, line {line}"
    return found
