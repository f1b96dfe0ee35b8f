"""What teams do to a project in their first week: settings of packages, models, files, entry points.

The tests share two changed copies of projects, one for each interface.
"""

import http.client
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conftest import Bake, Run, Server, clear, serving

SETTINGS = """
# Of packages, and of WhiteNoise.
REST_FRAMEWORK = {"PAGE_SIZE": 50}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
WHITENOISE_ROOT = BASE_DIR / "public"
WHITENOISE_MAX_AGE = 77  # seconds
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS += ["django.contrib.postgres", "shop"]
"""
MODELS = '''"""Models that only PostgreSQL has."""

from core.models import BaseModel
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Offer(BaseModel):
    net = models.DecimalField(max_digits=8, decimal_places=2, db_comment="without tax")
    gross = models.GeneratedField(
        expression=models.F("net") * 2,
        output_field=models.DecimalField(max_digits=9, decimal_places=2),
        db_persist=True,
    )
    code = models.IntegerField(null=True)
    tags = ArrayField(models.CharField(max_length=9), default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["code"], name="once", nulls_distinct=False)]

    def __str__(self) -> str:
        return str(self.net)
'''
ADMIN = '''"""As Django's documentation writes it."""

from django.contrib import admin

from shop.models import Offer


@admin.register(Offer)
class OfferAdmin(admin.ModelAdmin):
    list_display = ["net", "gross"]
    search_fields = ["code"]
'''
URLS = '''"""Views that answer what their requests contain."""

from config.urls import urlpatterns as project
from django.http import HttpRequest, HttpResponse
from django.middleware.csp import get_nonce
from django.urls import path
from django.views.decorators.csp import csp_override
from django.views.decorators.csrf import csrf_exempt


def part(request: HttpRequest) -> HttpResponse:
    headers = {"Content-Range": "bytes 0-9999/50000"}
    return HttpResponse("line\\n" * 2000, status=206, content_type="text/plain", headers=headers)


def frozen(request: HttpRequest) -> HttpResponse:
    headers = {"Cache-Control": "public, no-transform"}
    return HttpResponse("line\\n" * 2000, content_type="text/plain", headers=headers)


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="text/plain")


def nonce(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(get_nonce(request)))


@csp_override({"default-src": ["'self'", "'unsafe-inline'"]})
def relaxed(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<style>p { color: red }</style>")


views = (part, frozen, echo, nonce, relaxed)
urlpatterns = [*project, *(path(f"{view.__name__}/", view) for view in views)]
'''
CACHE_TEST = '''"""A cache that outlives its run would name a user of the run before."""

import secrets

from core.models import User
from django.core.cache import cache
from django.test import TestCase


class NameTest(TestCase):
    def test_the_name_of_a_user_is_shown(self) -> None:
        user = User.objects.create(pk=4711, username=secrets.token_hex(4))
        name = cache.get_or_set("user-name:4711", lambda: User.objects.get(pk=4711).username, 600)
        assert name == user.username
'''


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def shop(
    request: pytest.FixtureRequest, bake: Bake, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A project that a team has changed."""
    folder = shutil.copytree(
        bake(interface=request.param),
        tmp_path_factory.mktemp("week") / "shop-site",
        ignore=shutil.ignore_patterns(".services", ".venv", "staticfiles"),
    )
    (folder / "shop").mkdir()
    (folder / "shop/__init__.py").touch()
    (folder / "public").mkdir()
    (folder / "public/robots.txt").write_text("User-agent: *\n")
    for name, text in {
        "shop/models.py": MODELS,
        "shop/admin.py": ADMIN,
        "shop/urls.py": URLS,
        "tests/test_names.py": CACHE_TEST,
    }.items():
        (folder / name).write_text(text)
    with (folder / "config/settings.py").open("a") as settings:
        settings.write(SETTINGS)
    run("uv", "sync", "--quiet", cwd=folder)
    run(".venv/bin/python", "manage.py", "makemigrations", "shop", "--verbosity=0", cwd=folder)
    run(".venv/bin/ruff", "check", "--fix", "--quiet", cwd=folder, code=None)
    run(".venv/bin/ruff", "format", "--quiet", cwd=folder)
    yield folder
    clear(run, folder)


def test_the_checks_of_the_project_pass_with_models_of_postgresql(run: Run, shop: Path) -> None:
    run("make", "check", cwd=shop)
    run(".venv/bin/python", "manage.py", "check", "--fail-level=WARNING", cwd=shop)
    run(".venv/bin/python", "manage.py", "makemigrations", "--check", "--dry-run", cwd=shop)


@pytest.mark.parametrize(
    "command",
    ["-m pytest -q -n 2 tests", "-m pytest -q tests/test_names.py", "manage.py test tests -v 0"],
)
def test_the_tests_of_the_project_pass_and_each_run_has_an_empty_cache(
    run: Run, shop: Path, command: str
) -> None:
    for _ in range(2):
        run(".venv/bin/python", *command.split(), cwd=shop)


SCRIPT = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from core.models import User
print(User.objects.count())
"""


def test_a_script_starts_the_services_that_it_needs(run: Run, shop: Path) -> None:
    run("make", "stop", cwd=shop)
    run(".venv/bin/python", "manage.py", "migrate", "--verbosity=0", cwd=shop)
    run("make", "stop", cwd=shop)
    assert run(".venv/bin/python", "-c", SCRIPT, cwd=shop).split()[-1] == "0"


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:6379/0", "redis://:p%40ss@cache:6379", "rediss://cache:6380/3"]
)
def test_the_redis_url_stays_as_it_was_given_for_other_packages(
    run: Run, shop: Path, url: str
) -> None:
    code = "from config import settings; print(settings.redis_url)"
    env = {"REDIS_URL": url, "DEBUG": "1"}
    assert run(".venv/bin/python", "-c", code, cwd=shop, env=env).strip() == url


def test_every_database_has_the_defaults_whatever_its_postgresql_is_called(
    run: Run, shop: Path
) -> None:
    code = (
        "from config import settings; db = settings.DATABASES['default'];"
        " print(db['ENGINE'], db['OPTIONS']['connect_timeout'], db['CONN_HEALTH_CHECKS'])"
    )
    for scheme, engine in [
        ("postgis", "django.contrib.gis.db.backends.postgis"),
        ("timescale", "timescale.db.backends.postgresql"),
        ("cockroach", "django_cockroachdb"),
    ]:
        env = {"DATABASE_URL": f"{scheme}://a:b@c:5432/d", "REDIS_URL": "redis://c/0"}
        found = run(".venv/bin/python", "-c", code, cwd=shop, env=env)
        assert found.split() == [engine, "5", "True"]


@pytest.fixture(scope="module")
def server(shop: Path, run: Run, clean_environment: dict[str, str]) -> Iterator[Server]:
    """The production server of the changed project."""
    run(".venv/bin/python", "-m", "config.build", cwd=shop)
    production = {"DEBUG": "0", "LOCAL_HTTP": "1", "SECRET_KEY": "k" * 50, "WEB_CONCURRENCY": "1"}
    with serving(shop, run, clean_environment | production, "-m", "config.server") as server:
        yield server


def ask(server: Server, path: str, **headers: str) -> http.client.HTTPResponse:
    """Request a path."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)
    connection.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
    return connection.getresponse()


def test_the_settings_of_whitenoise_work(server: Server) -> None:
    response = ask(server, "/robots.txt")
    assert (response.status, response.read()) == (200, b"User-agent: *\n")
    assert response.headers["Cache-Control"] == "max-age=77, public"
    page = ask(server, "/").read().decode()
    style = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in ask(server, style).headers["Cache-Control"]


def test_uploads_and_the_root_of_whitenoise_are_served_in_development(
    shop: Path, run: Run, clean_environment: dict[str, str]
) -> None:
    media = shop / "media"
    media.mkdir(exist_ok=True)
    (media / "photo.txt").write_text("a photo")
    with serving(shop, run, clean_environment, "manage.py", "runserver", "--noreload") as server:
        assert ask(server, "/media/photo.txt").read() == b"a photo"
        # runserver is a WSGI server: it does not load config/asgi.py.
        expected = 404 if (shop / "config/asgi.py").exists() else 200
        assert ask(server, "/robots.txt").status == expected


@pytest.mark.parametrize(("path", "status"), [("/part/", 206), ("/frozen/", 200)])
def test_a_part_of_a_file_and_what_must_not_be_transformed_stay_uncompressed(
    server: Server, path: str, status: int
) -> None:
    response = ask(server, path, range="bytes=0-9999", accept_encoding="gzip, zstd")
    assert response.status == status
    assert response.headers["Content-Encoding"] is None
    assert len(response.read()) == 10_000


def test_a_view_can_use_a_nonce_or_a_policy_of_its_own(server: Server) -> None:
    page = ask(server, "/nonce/")
    assert f"'nonce-{page.read().decode()}'" in page.headers["Content-Security-Policy"]
    assert "nonce" not in ask(server, "/health/live/").headers.get("Content-Security-Policy", "")
    policy = ask(server, "/relaxed/").headers["Content-Security-Policy"]
    assert policy == "default-src 'self' 'unsafe-inline'"


def test_a_chunked_body_is_read_or_refused_and_never_empty(server: Server) -> None:
    asgi = (server.project / "config/asgi.py").exists()
    for method in ("POST", "PUT", "PATCH"):
        with socket.create_connection(("127.0.0.1", urlsplit(server.url).port), 10) as client:
            head = f"{method} /echo/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            client.sendall(b"5\r\nhello\r\n0\r\n\r\n")
            response = http.client.HTTPResponse(client)
            response.begin()
            body = response.read()
        assert (response.status, body == b"hello") == ((200, True) if asgi else (411, False))
    if not asgi:
        assert "its body is chunked" in server.log.read_text()


@pytest.mark.parametrize("engine", ["django", "jinja2"])
def test_the_build_names_the_line_of_a_static_file_that_does_not_exist(
    bake: Bake, run: Run, tmp_path: Path, engine: str
) -> None:
    source = bake(template_engine=engine)
    run("uv", "sync", "--quiet", cwd=source)
    left_out = shutil.ignore_patterns(".services", ".venv", "staticfiles")
    site = shutil.copytree(source, tmp_path / "site", ignore=left_out)
    tag = "{{ static('img/gone.png') }}" if engine == "jinja2" else "{% static 'img/gone.png' %}"
    load = "" if engine == "jinja2" else "{% load static %}"
    (site / "templates/shop.html").write_text(f'{load}<p>\n<img src="{tag}">\n')
    said = run(source / ".venv/bin/python", "-m", "config.build", cwd=site, code=1)
    assert "templates/shop.html, line 2: there is no static file 'img/gone.png'" in said
    assert len(said.splitlines()) == 1
    assert [path.name for path in (site / "staticfiles").iterdir()] == [".made-by-config-build"]
