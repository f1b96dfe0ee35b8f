"""The project in this process, without a server: requests straight into Django's handler."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test.utils import override_settings
from django.utils import translation

from benchmarks.measure import Way


@dataclass(frozen=True)
class Answer:
    """What a visitor gets: the status code, headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Site:
    """Django's handler, with some settings changed while the site is open."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.handler: WSGIHandler | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Change the settings, load the middleware; put all back at the end."""
        with override_settings(**self.changes):
            forget_translation()
            self.handler = WSGIHandler()
            try:
                yield
            finally:
                forget_translation()

    def get(self, path: str, *, cookie: str = "", **headers: str) -> Answer:
        """Request `path`, which may have a query; `if_none_match="x"` is the header `If-None-Match`.

        Args:
            path: begins with a slash.
            cookie: the session key of a signed-in visitor, if it is one.
            headers: further headers.
        """
        assert self.handler, "open the site first"
        path, _, query = path.partition("?")
        if cookie:
            headers["cookie"] = f"{settings.SESSION_COOKIE_NAME}={cookie}"
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
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        started: list[Any] = []
        response: Any = self.handler(environ, cast("Any", lambda *given: started.extend(given)))
        try:
            body = b"".join(response)
        finally:
            response.close()  # the end of the request, as a server tells Django of it
        named = {name.lower(): value for name, value in started[1]}
        return Answer(int(started[0].split()[0]), named, body)


def forget_translation() -> None:
    """Let Django choose again: it keeps the functions that it took under the first USE_I18N."""
    module: Any = translation
    module._trans.__dict__.clear()


def counted(way: Way) -> tuple[int, int]:
    """Return how many queries one run makes, and how many rows they give.

    Args:
        way: is run once before, so that what is cached is cached.
    """
    rows: list[int] = []

    def count(execute: Any, sql: Any, parameters: Any, many: Any, context: Any) -> Any:
        result = execute(sql, parameters, many, context)
        cursor = context["cursor"]
        rows.append(max(cursor.rowcount, 0) if cursor.description else 0)
        return result

    with way.within():
        way.run()
        with connection.execute_wrapper(count):
            way.run()
    return len(rows), sum(rows)
