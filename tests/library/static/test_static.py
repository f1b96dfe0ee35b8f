"""Static files around the application: what WhiteNoise's middleware sends, under WSGI and ASGI."""

import asyncio
import io
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from asgiref.testing import ApplicationCommunicator
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from djfast.static import StaticFiles, StaticFilesASGI
from whitenoise.middleware import WhiteNoiseMiddleware


class Answer(NamedTuple):
    """What a client sees of a response."""

    status: int
    headers: dict[str, str]
    body: bytes


def add_header(headers: Any, path: str, url: str) -> None:
    """Add a header, as the documentation of WhiteNoise shows it."""
    headers["X-Url"] = url
    headers["X-File"] = Path(path).name


def is_immutable(path: str, url: str) -> bool:
    """Return whether a file never changes."""
    return url.endswith(".js")


def middleware(path: str, headers: dict[str, str]) -> Answer:
    """Ask WhiteNoise as its documentation installs it."""
    found = WhiteNoiseMiddleware(lambda request: HttpResponse(b"page", status=404))
    request = RequestFactory(headers=headers).get("/")
    request.path_info = path
    response: Any = found(request)
    body = b"".join(response)
    response.close()
    return Answer(response.status_code, {**response.headers}, body)


def wsgi(path: str, headers: dict[str, str]) -> Answer:
    """Ask WhiteNoise around a WSGI application."""
    found: list[Any] = []

    def page(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/html; charset=utf-8")])
        return [b"page"]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": io.BytesIO()}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    parts = StaticFiles(page)(environ, lambda status, headers: found.extend([status, headers]))
    body = b"".join(parts)
    return Answer(int(found[0].split()[0]), dict(found[1]), body)


def asgi(path: str, headers: dict[str, str], **scope: str) -> Answer:
    """Ask WhiteNoise around an ASGI application."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 404, "headers": head})
        await send({"type": "http.response.body", "body": b"page"})

    async def ask() -> Answer:
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        values = {"type": "http", "method": "GET", "path": path, "headers": pairs, **scope}
        server = ApplicationCommunicator(StaticFilesASGI(page), values)
        start, body, more = await server.receive_output(), b"", True
        while more:
            message = await server.receive_output()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        names = {name.decode().title(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], names, body)

    return asyncio.run(ask())


SETTINGS: list[dict[str, Any]] = [
    {},
    {"WHITENOISE_ROOT": "public"},
    {"WHITENOISE_ROOT": "public", "WHITENOISE_INDEX_FILE": True},
    {"WHITENOISE_ROOT": "public", "WHITENOISE_INDEX_FILE": "main.html"},
    {"WHITENOISE_AUTOREFRESH": True, "WHITENOISE_ROOT": "public"},
    {"WHITENOISE_USE_FINDERS": True},
    {"WHITENOISE_USE_FINDERS": True, "WHITENOISE_AUTOREFRESH": True},
    {"WHITENOISE_MAX_AGE": 77},
    {"WHITENOISE_MAX_AGE": None},
    {"WHITENOISE_ALLOW_ALL_ORIGINS": False},
    {"WHITENOISE_MIMETYPES": {".foo": "application/x-foo"}},
    {"WHITENOISE_CHARSET": "latin-1"},
    {"WHITENOISE_ADD_HEADERS_FUNCTION": add_header},
    {"WHITENOISE_IMMUTABLE_FILE_TEST": is_immutable},
    {"WHITENOISE_IMMUTABLE_FILE_TEST": r"a\.foo$"},
    {"WHITENOISE_STATIC_PREFIX": "/other/"},
    {"STATIC_URL": "https://cdn.example.com/assets/"},
    {"STATIC_URL": "/shop/static/", "FORCE_SCRIPT_NAME": "/shop"},
    {"DEBUG": True, "WHITENOISE_ROOT": "public"},
]
PATHS = [
    "static/a.js",
    "static/a.foo",
    "other/a.js",
    "assets/a.js",
    "robots.txt",
    "sub/",
    "sub",
    "",
]
PATHS += ["index.html", "static/sub/", "static/found.css", "static/gone.js", "static/../robots.txt"]
HEADERS: list[dict[str, str]] = [
    {},
    {"Accept-Encoding": "br, gzip"},
    {"Range": "bytes=1-3"},
    {"Range": "bytes=99-"},
    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write static files, those of WHITENOISE_ROOT, and one that only a finder knows."""
    for name in ("built/a.js", "built/a.js.br", "built/a.foo", "built/sub/index.html"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} text")
    for name in ("robots.txt", "index.html", "sub/index.html", "sub/main.html"):
        path = tmp_path / "public" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"public {name}")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/found.css").write_text("found {}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("changes", SETTINGS, ids=", ".join)
def test_each_setting_of_whitenoise_does_what_its_middleware_does(
    folder: Path, changes: dict[str, Any]
) -> None:
    usual = {
        "DEBUG": False,
        "STATIC_ROOT": folder / "built",
        "STATICFILES_DIRS": [folder / "source"],
        "WHITENOISE_IMMUTABLE_FILE_TEST": r"\.[0-9a-f]{12}\.",
    }
    seen = set()
    with override_settings(**usual | changes):
        for path in PATHS:
            for headers in HEADERS:
                expected = middleware(f"/{path}", headers)
                assert wsgi(f"/{path}", headers) == expected
                titled = {name.title(): value for name, value in expected.headers.items()}
                assert asgi(f"/{path}", headers) == expected._replace(headers=titled)
                seen.add(expected.status)
    assert {200, 206, 304, 404} <= seen  # all kinds of answers were compared


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/shop/static/a.js", "/shop", 200),
        ("/shop/static/a.js", "/shop/", 200),
        ("/static/a.js", "/shop", 200),  # the proxy has removed the prefix
        ("/shopstatic/a.js", "/shop", 404),
        ("/shop/static/a.js", "", 404),
    ],
)
def test_a_site_below_a_path_has_its_static_files_there(
    folder: Path, path: str, root_path: str, status: int
) -> None:
    # As Django's ASGIRequest, which is the one that knows the path of a request below its site.
    with override_settings(DEBUG=False, STATIC_ROOT=folder / "built"):
        assert asgi(path, {}, root_path=root_path).status == status
        with override_settings(FORCE_SCRIPT_NAME=root_path, WHITENOISE_STATIC_PREFIX="/static/"):
            assert asgi(path, {}).status == status
