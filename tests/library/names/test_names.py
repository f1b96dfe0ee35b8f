"""Attributes of a project's own classes: none clashes with one that the library sets or reads."""

import ast
import dis
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import djfast
import pytest
from django.core.cache import caches
from django.db import connection, models
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, Library, Node
from django.test import Client
from django.test.utils import isolate_apps
from djfast import models as djfast_models
from djfast import peers
from djfast.cache import fragments, pages
from djfast.cache.pages import key, middleware, store
from djfast.engine import instances, loops, urls, writer

PREFIXES = ("_djfast_", "djfast_")
SOURCE = Path(djfast.__file__).parent


def names(*modules: Any) -> set[str]:
    """Return the names that the code of modules uses: variables, functions, attributes."""
    found: set[str] = set()
    todo: list[CodeType] = [
        compile(Path(one.__file__).read_text(), one.__file__, "exec") for one in modules
    ]
    while todo:
        code = todo.pop()
        found |= {*code.co_names, *code.co_varnames}
        found |= {str(one.argval) for one in dis.get_instructions(code) if "ATTR" in one.opname}
        todo += [one for one in code.co_consts if isinstance(one, CodeType)]
    return {name for name in found if not name.startswith(("__", ".", *PREFIXES))}


MODEL = names(peers, instances, djfast_models)
MODEL |= {"_loaded", "loaded", "_peers", "fast", "_fast", "fields", "names", "state"}


@pytest.fixture(scope="module")
def catalogue(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    """Items and shelves with an attribute of every name that the library uses for itself."""
    own = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "core"})}
    with isolate_apps("core"):
        shelf = type("Shelf", (djfast_models.Model,), own | {"title": models.TextField()})
        relations = {
            "shelf": models.ForeignKey(shelf, models.CASCADE),
            "others": models.ManyToManyField(shelf, related_name="+"),
        }
        item = type("Item", (djfast_models.Model,), own | relations)
    for model in (item, shelf):
        for name in MODEL - {*dir(model)}:  # Django has set the others, such as `_meta`
            setattr(model, name, "own")
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(shelf)
            editor.create_model(item)
        yield item, shelf
        with connection.schema_editor() as editor:
            editor.delete_model(item)
            editor.delete_model(shelf)


@pytest.mark.django_db
def test_a_model_may_have_any_attribute(catalogue: Any) -> None:
    item, shelf = catalogue
    for title in ("a", "b"):
        made = shelf.objects.create(title=title)
        item.objects.create(shelf=made).others.add(made)
    rows = [*item.objects.order_by("pk").prefetch_related("others")]
    assert [row.shelf.title for row in rows] == ["a", "b"]
    assert [[one.title for one in row.others.all()] for row in rows] == [["a"], ["b"]]
    rows[0].save()
    rows[0].refresh_from_db()
    kept = [name for name in MODEL if getattr(rows[0], name, None) == "own"]
    assert {"_loaded", "copying", "peers"} <= {*kept}


REQUEST = names(pages, middleware, key, store) - {*dir(HttpRequest())}
# Those of Django, and of its middleware.
REQUEST -= {"session", "user", "csp_nonce", "_messages", "_cached_user", "current_app"}
RESPONSE = names(pages, middleware, key, store) - {*dir(HttpResponse())}
# Django reads these on a response.
RESPONSE -= {"is_rendered", "render", "add_post_render_callback", "streaming_content"}


class OwnAttributes:
    """A middleware that gives requests and responses attributes of its own."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        vars(request).update(dict.fromkeys(REQUEST, "own"))
        response = self.get_response(request)
        assert {getattr(request, name) for name in REQUEST} == {"own"}
        vars(response).update(dict.fromkeys(RESPONSE, "own"))
        return response


@pages.cached_page(60, tags=["names"])
def view(request: HttpRequest) -> HttpResponse:
    """Return a page that is cached."""
    rendered.append(request.path)
    return HttpResponse("page")


rendered: list[str] = []
urlpatterns: list[Any] = []


@pytest.mark.django_db
def test_requests_and_responses_may_have_any_attribute(settings: Any) -> None:
    from django.urls import path

    urlpatterns[:] = [path("names/", view)]
    settings.CACHES = settings.CACHES | {"pages": settings.CACHES["default"]}
    settings.ROOT_URLCONF = __name__
    above = settings.MIDDLEWARE.index("djfast.cache.pages.PageCacheMiddleware")
    own = f"{__name__}.OwnAttributes"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:above], own, *settings.MIDDLEWARE[above:], own]
    caches["pages"].clear()
    assert [Client().get("/names/").content for _ in range(2)] == [b"page"] * 2
    assert len(rendered) == 1


register = Library()


class OwnNode(Node):
    """A node with methods of obvious names."""

    def render(self, context: Context) -> str:
        return "own"


NODE = names(loops, urls, writer) - {*dir(Node), "origin", "token", "nodelist", "child_nodelists"}
for one in NODE:
    setattr(OwnNode, one, lambda self, *args: [1 / 0])


@register.tag
def own(parser: Any, token: Any) -> Node:
    """Parse a tag without arguments."""
    return OwnNode()


def test_a_template_node_may_have_any_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "ENOUGH", 0)
    engine = Engine(builtins=["djfast.engine.loops"])
    engine.template_builtins.append(register)
    template = engine.from_string("{% for x in y %}{% own %}{{ x }}{% endfor %}")
    assert template.render(Context({"y": [1, 2]})) == "own1own2"


def assignments() -> Iterator[tuple[str, str]]:
    """Yield the file and name of each attribute that the library sets on what is not its own."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            target = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            if target and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield file.relative_to(SOURCE).as_posix(), node.attr


# By file, attributes of Django's and of the library's own objects that the library sets.
KNOWN = {
    "build.py": {"STATIC_ROOT", "COMPRESS_ROOT"},
    "bundles.py": {"render_offline"},
    "engine/handler.py": {"streaming_content"},
    "engine/pool.py": {"_pool"},
    "testing/n_plus_one.py": {"args"},
    "cache/pages/middleware.py": {
        "storable",
        "vary",
        "render",
        "accessed",
        "cancelled",
        "entry",
        "versions",
    },
    "cache/pages/key.py": {"GET", "COOKIES", "_mutable"},
    "cache/pages/store.py": {"content", "versions", "lease", "lock"},
    "cache/users.py": {"user", "auser", "_cached_user", "_acached_user", "fetch_mode"},
    "engine/connections.py": {"health_check_done"},
    "engine/instances.py": {
        "_state",
        "adding",
        "db",
        "fetch_mode",
        "from_db",
        "get_prefetch_querysets",
        "__class__",
    },
    "engine/loops.py": {"compiled"},
    "engine/writer.py": {"_culprit_node", "template_debug"},
    "models.py": {"fetch_mode"},
    "peers.py": {"fetch_mode"},
    "testing/budgets.py": {"DEBUG", "MIDDLEWARE"},
    "testing/plugin.py": {"PASSWORD_HASHERS"},
    "testing/run.py": {"key_prefix"},
}


def test_an_attribute_that_the_library_sets_is_djangos_or_begins_with_its_prefix() -> None:
    unknown = {
        (file, name)
        for file, name in assignments()
        if not name.startswith(PREFIXES) and name not in KNOWN.get(file, ())
    }
    assert unknown == set()


def test_cookies_and_cache_keys_begin_with_the_prefix() -> None:
    assert middleware.FRESH.startswith("djfast_")
    assert fragments.key("a").startswith("djfast.")
    request = HttpRequest()
    request.META = {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    policy = key.make_policy(60, None, (), (), per_user=False)
    assert key.key_of(("a",), request, policy).startswith("djfast.")
