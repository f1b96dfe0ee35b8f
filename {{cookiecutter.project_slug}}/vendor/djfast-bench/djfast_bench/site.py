"""The project in this process, without a server: requests go straight into Django's handler."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, cast

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test.utils import override_settings
from django.utils import translation

from djfast_bench.responses import Response
from djfast_bench.timing import Variant


class Site:
    """Django's handler, with settings that are overridden while the site is open."""

    def __init__(self, **overrides: Any) -> None:
        self.overrides = overrides
        self.handler: WSGIHandler | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Override the settings and load the middleware; restore everything at the end."""
        with override_settings(**self.overrides):
            reset_translation()
            self.handler = WSGIHandler()
            try:
                yield
            finally:
                reset_translation()

    def get(self, path: str, **headers: str) -> Response:
        """Send a GET request; `if_none_match="x"` becomes the header `If-None-Match: x`.

        Args:
            path: begins with a slash; may have a query string.
            headers: an empty one is left out.
        """
        assert self.handler, "open the site first"
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": BytesIO(),
            "wsgi.url_scheme": "http",
            **{f"HTTP_{name.upper()}": value for name, value in headers.items() if value},
        }
        started: list[Any] = []
        response: Any = self.handler(environ, cast("Any", lambda *given: started.extend(given)))
        try:
            body = b"".join(response)
        finally:
            response.close()  # ends the request, as a server does
        named = {name.lower(): value for name, value in started[1]}
        return Response(int(started[0].split()[0]), named, body)


def reset_translation() -> None:
    """Make Django choose its translation functions again, which it does only once per process."""
    module: Any = translation
    module._trans.__dict__.clear()


def count_queries(variant: Variant) -> tuple[int, int]:
    """Return how many queries one run makes, and how many rows they return.

    Args:
        variant: is run once before, so that caches are filled.
    """
    rows: list[int] = []

    def count(execute: Any, sql: Any, parameters: Any, many: Any, context: Any) -> Any:
        result = execute(sql, parameters, many, context)
        cursor = context["cursor"]
        rows.append(max(cursor.rowcount, 0) if cursor.description else 0)
        return result

    with variant.context():
        variant.run()
        with connection.execute_wrapper(count):
            variant.run()
    return len(rows), sum(rows)
