"""Both template engines give the same pages."""

import json
from html.parser import HTMLParser

import pytest

from conftest import Bake, Run

pytestmark = pytest.mark.xdist_group("engines")

# Runs in a project with Jinja2, which has both engines; prints each page as each engine makes it.
RENDER = """
import json, sys
import django
django.setup()
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.template import engines
from django.template.utils import EngineHandler
from django.test import RequestFactory
from core.models import User

_, stock = settings.TEMPLATES
both = [engines["jinja2"], EngineHandler([{**stock, "DIRS": [sys.argv[1]]}])["django"]]

def render(name, user=AnonymousUser(), **context):
    request = RequestFactory().get("/")
    request.user = user
    return [engine.get_template(name).render(context, request) for engine in both]

ada = User(username="ada", first_name="Ada & <b>", is_staff=True)
json.dump({
    "anonymous": render("home.html"),
    "signed in": render("home.html", User(username="bob")),
    "staff": render("home.html", ada),
    "development": render("home.html", development=True),
    "not found": render("404.html"),
    "error": render("500.html"),
}, sys.stdout)
"""


class Outline(HTMLParser):
    """A document as a list of tags with their attributes, and texts without their whitespace."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.parts: list[object] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, sorted(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if words := data.split():
            self.parts.append(words)


@pytest.fixture(scope="session")
def pages(bake: Bake, run: Run) -> dict[str, tuple[str, str]]:
    """Each page from Jinja2 and from Django."""
    project = bake(template_engine="jinja2")
    run("uv", "sync", "--quiet", cwd=project)
    env = {
        "DATABASE_URL": "sqlite://:memory:",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    script = [
        project / ".venv/bin/python",
        "-c",
        RENDER,
        bake(template_engine="django") / "templates",
    ]
    return json.loads(run(*script, cwd=project, env=env))


@pytest.mark.parametrize(
    "page", ["anonymous", "signed in", "staff", "development", "not found", "error"]
)
def test_a_page_is_the_same_from_both_engines(pages: dict[str, tuple[str, str]], page: str) -> None:
    jinja2, django = pages[page]
    assert Outline(jinja2).parts == Outline(django).parts
    assert len(Outline(django).parts) > 15
