"""Compare `djfast.engine.urls` with Django's `reverse` and `url` tag, on URLconfs with all kinds of patterns."""

import gc
import inspect
import re
import threading
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import django.urls
import pytest
import reversed_urls
from config.jinja2 import environment
from django.core.exceptions import ImproperlyConfigured
from django.http import QueryDict
from django.template import Context, Engine, RequestContext
from django.test import RequestFactory, override_settings
from django.urls import (
    NoReverseMatch,
    URLResolver,
    clear_url_caches,
    get_resolver,
    include,
    path,
    set_script_prefix,
    set_urlconf,
)
from django.utils import translation
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import SafeString, mark_safe
from djfast.engine import urls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reversed_urls import Counted, view

EXAMPLES = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LANGUAGES = ["en", "de", "pt-br", None]
PREFIXES = ["/", "/site/", "/100%/", "/é ü/", "//host/", "/a.b*"]
URLCONFS = ["reversed_urls", "reversed_other_urls", "reversed_plain_urls"]
APPS = [
    *[None, "", "shop", "other", "tenant", "spoken", "local", "inner", "x", "a:b:c", ":inner"],
    *["other:inner", "tenant:inner", "shop:inner", "shop:bare", "tenant:bare:x", "other:x:inner"],
    *["x:second", "shop:second", "other:second", "second", "one", "two", "two:x"],
]
EXTRAS = [{"query": {"q": [1, "&"]}}, {"fragment": "f"}, {"query": None}, {"wrong": 1}]
A, AB, TA = ("a",), ("a", "b"), ("t", "a")
ONE = [
    "int",
    "slug",
    "str",
    "uuid",
    "path",
    "root",
    "even",
    "spoken",
    "counted",
    "broken",
    "percent",
]
ONE += ["open", "odd", "ahead", "newline", "about", "local", "redefined", "plain", "news"]
TWO = ["unnamed", "mixed", "twice", "clash", "escaping"]
SHOPS = ["shop", "other", "spoken", "local"]
# Names, and the arguments that they take.
SHAPES: dict[str, list[tuple[str, ...]]] = {
    **{name: [A] for name in ONE},
    **{name: [AB] for name in TWO},
    "home": [()],
    "three": [("a", "b", "c")],
    "many": [(), A, ("b",), AB],
    "default": [A, AB],
    "hidden": [A, AB],
    "several:item": [A],
    "own": [(), A],
    "fixed": [(), A, AB],
    "optional": [(), A, ("b",), AB],
    "loose": [(), A, ("z",), ("z", "a"), ("z", "extra")],
    "deep:x": [("b",), ("z", "b")],
    "inner:index": [(), ("c",), ("x",)],
    "inner:item": [A, ("x", "a")],
    "inner:regex": [A, AB],
    **{f"{name}:index": [()] for name in SHOPS},
    **{f"{name}:item": [A, AB] for name in SHOPS},
    **{f"{name}:inner:item": [("c", "a")] for name in SHOPS},
    **{f"{name}:bare:regex": [A, AB] for name in SHOPS},
    "tenant:index": [("t",)],
    "tenant:item": [TA, ("t", "a", "b")],
    "tenant:inner:item": [("t", "c", "a")],
    "tenant:bare:item": [TA],
    "hex:item": [("e", "a")],
    "hex:inner:item": [("e", "c", "a")],
    "numbered:item": [("number", "a")],
    "numbered:inner:index": [("number", "c")],
    **{name: [(), A] for name in ["nothing", "shop:nothing", "nothing:item", "shop:no:item"]},
    **{name: [(), A] for name in ["", ":", "a:", ":home", "shop::item", "reversed_urls.view"]},
}


class Loud(str):
    """A string whose str() is another string."""

    def __str__(self) -> str:
        return self.upper() + "!"


class Careless(str):
    """A string that equals another."""

    def __eq__(self, other: object) -> bool:
        return str.lower(self) == other

    def __hash__(self) -> int:
        return hash(str.lower(self))


class Route(StrEnum):
    HOME = "home"
    INT = "int"


class Refuses:
    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error("no text")


VALUES = st.one_of(
    st.sampled_from(
        [0, 1, 2, 10, 10**30, True, False, 1.0, 0.0, -1, Decimal("1.0"), None, 10**5000]
    ),
    st.sampled_from(
        ["a", "1", "2", "Ab-c_9", "", "a/b", "//a", "/", "..", "%", "%s", "%(a)s", "%%"]
    ),
    st.sampled_from(
        ["a&b'c", '"<>', "é", "日本", "a b", "a\n", "\n", "\0", "\ud800", "?", "#", "bad"]
    ),
    st.sampled_from([SafeString("a&b"), Loud("ab"), Careless("Ab"), lazystr("lazy"), b"bytes"]),
    st.sampled_from([SimpleLazyObject(lambda: "late"), reversed_urls.translated(en="e", de="d")]),
    st.sampled_from([[1], {}, (), ("a", "b"), object(), Refuses(ValueError), Refuses(KeyError)]),
    st.sampled_from([Refuses(RuntimeError), Route.HOME, uuid.UUID(int=5), str(uuid.UUID(int=6))]),
    st.text(max_size=6),
    st.integers(),
    st.from_regex(r"[-a-zA-Z0-9_]{1,8}", fullmatch=True),
)
NAMES = st.one_of(
    st.sampled_from(list(SHAPES)),
    st.sampled_from(list(SHAPES)).map(mark_safe),
    st.sampled_from(
        [*Route, Careless("Home"), Careless("home"), Loud("int"), lazystr("shop:index")]
    ),
    st.sampled_from([lazystr("home"), view, None, 1, b"home", ["home"], SafeString("home")]),
)


@dataclass
class Call:
    """One use of `reverse`, and the state of the thread in which it happens."""

    name: Any
    args: Any = None
    kwargs: Any = None
    current_app: Any = None
    urlconf: Any = None
    thread_urlconf: str | None = None
    prefix: str = "/"
    language: str | None = "en"
    state: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def results(self, *functions: Any) -> list[Any]:
        """Return the type and text of the URL or of the error that each function gives."""
        set_script_prefix(self.prefix)
        set_urlconf(self.thread_urlconf)
        translation.activate(self.language) if self.language else translation.deactivate_all()
        given = (self.name, self.urlconf, self.args, self.kwargs, self.current_app)
        results = []
        for function in functions:
            try:
                found = function(*given, **self.extra)
            except Exception as error:
                found = error
            results.append((type(found), str(found)))
        return results


# What most patterns take, so that half of the calls have a URL.
LIKELY = [2, 4, 10, "2", "12", "1-ab", "ab", "a&b'é/", True, uuid.UUID(int=5), lazystr("2")]
# Django cannot reverse a pattern with a percent sign, nor an argument that stands in two patterns.
UNREACHABLE = {
    "broken",
    "redefined",
    "percent",
    "odd",
    "nothing",
    "shop:nothing",
    "nothing:item",
} | {*["shop:no:item", "", ":", "a:", ":home", "shop::item", "reversed_urls.view"]}


@st.composite
def calls(draw: Any, names: list[str]) -> Call:
    def one_in(number: int) -> bool:
        return bool(draw(st.integers(1, number)) == number)

    name = draw(NAMES if one_in(8) else st.sampled_from(names))
    shapes = SHAPES.get(name, [A, ()]) if isinstance(name, str) else [A, ()]
    params = draw(st.sampled_from(shapes))
    if one_in(8):
        params = draw(st.lists(st.sampled_from("abctxz"), max_size=3, unique=True).map(tuple))
    elif one_in(8):
        params = (*params, "extra")
    values = [draw(VALUES if one_in(4) else st.sampled_from(LIKELY)) for _ in params]
    call = Call(name, language=draw(st.sampled_from(LANGUAGES)), state=draw(st.integers(0, 2)))
    if one_in(20):
        call.args = draw(st.sampled_from(["ab", {"a": 1}, {1}, 0, 5, range(1), (), "", values]))
        call.kwargs = draw(
            st.sampled_from([None, {}, QueryDict("a=1&a=2"), {1: 2}, [], [("a", 1)], {"a": 1}])
        )
    elif draw(st.booleans()):
        call.args = draw(st.sampled_from([values, tuple(values)]))
    else:
        call.kwargs = dict(zip(params, values, strict=True))
    if one_in(2):
        call.current_app = draw(st.sampled_from(APPS))
    if one_in(3):
        call.prefix = draw(st.sampled_from(PREFIXES))
    if one_in(3):
        call.urlconf = draw(st.sampled_from(URLCONFS))
    elif one_in(3):
        call.thread_urlconf = draw(st.sampled_from(URLCONFS))
    if one_in(20):
        call.extra = draw(st.sampled_from(EXTRAS))
    if one_in(40):
        call.urlconf = ["a", "list"]
    return call


def sequences(**size: int) -> Any:
    """Return a strategy for calls of a few names, so that what is cached for one affects the next."""
    few = st.lists(st.sampled_from(list(SHAPES)), min_size=1, max_size=4)
    return few.flatmap(lambda names: st.lists(calls(names), **size))


@pytest.fixture(autouse=True)
def _translated_site() -> Iterator[None]:
    def clear() -> None:  # Django caches the functions that it chose by the first USE_I18N
        translation._trans.__dict__.clear()  # type: ignore[attr-defined]

    with override_settings(USE_I18N=True, ROOT_URLCONF="reversed_urls", LANGUAGE_CODE="en"):
        clear()
        yield
        set_script_prefix("/")
        set_urlconf(None)
        Counted.state = 0
    clear()


@given(sequences(min_size=1, max_size=25), st.booleans())
@EXAMPLES
def test_every_call_has_the_url_or_the_error_of_django(todo: list[Call], cold: bool) -> None:
    if cold:
        clear_url_caches()
    for call in todo * 2:  # the second time, each name has been compiled
        Counted.state = call.state
        ours, theirs = call.results(urls.reverse, django.urls.reverse)
        assert ours == theirs, call


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("urlconf", URLCONFS)
def test_every_name_takes_what_it_takes_in_django(urlconf: str, language: str | None) -> None:
    clear_url_caches()
    reached = set()
    for name, shapes in SHAPES.items():
        for params in shapes:
            for number, value in enumerate(LIKELY):
                for given_ in ((value,) * len(params), LIKELY[number:][: len(params)]):
                    named = dict(zip(params, given_, strict=False))
                    app = APPS[number % len(APPS)]
                    for call in (Call(name, given_, None, app), Call(name, None, named, app)):
                        call.urlconf, call.language = urlconf, language
                        ours, theirs = call.results(urls.reverse, django.urls.reverse)
                        assert ours == theirs, call
                        reached |= {name} if ours[0] is str else set()
    if urlconf == "reversed_urls":
        assert reached == SHAPES.keys() - UNREACHABLE - {"plain"}


@given(st.lists(sequences(min_size=5, max_size=20), min_size=4, max_size=4))
@settings(EXAMPLES, max_examples=60)
def test_threads_with_their_own_urlconf_prefix_and_language_do_not_affect_each_other(
    todo: list[Any],
) -> None:
    clear_url_caches()
    wrong: list[Any] = []
    start = threading.Barrier(len(todo))

    def run(mine: list[Call]) -> None:
        start.wait()
        for call in mine * 3:
            ours, theirs = call.results(urls.reverse, django.urls.reverse)
            if ours != theirs:
                wrong.append((call, ours, theirs))

    threads = [threading.Thread(target=run, args=[mine]) for mine in todo]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


UNUSUAL = [
    Call("int", kwargs=QueryDict("a=1&a=2")),
    Call("int", kwargs={1: 2}),
    Call("int", [1], {"a": 1}),
    Call("int", {"a": 1}),
    Call("unnamed", "1a"),
    Call("unnamed", range(2)),
    Call("int", 5),
    Call("int", None, 5),
    Call("int", kwargs={"a": 1, "b": 2}),
    Call("own", kwargs={}),
    Call("fixed", kwargs={"a": 2}),
    Call("fixed", kwargs={"b": [2]}),
    Call("default", kwargs={"a": 3, "b": 1}),
    Call("hidden", kwargs={"a": 3, "b": 2}),
    Call("hex:item", [10, "x"]),
    Call("hex:inner:item", kwargs={"e": 10, "c": "x", "a": 1}),
    Call("hidden", kwargs={"a": 3, "b": 1}),
    Call("many", kwargs={"a": 3}),
    Call("many", [4]),
    Call("twice", [1, 2]),
    Call("twice", kwargs={"a": 2}),
    Call("redefined", [1, 2]),
    Call("home", current_app=5),
    Call("home", current_app=["list"]),
    Call("home", urlconf=["list"]),
    Call(Careless("Home")),
    Call(Loud("home")),
    Call(lazystr("home")),
    Call(lazystr("shop:index")),
    Call(Route.INT, [1]),
    Call(view),
    Call(["home"]),
    Call("nothing:item"),
    Call("shop:no:item"),
    Call("str", ["//x"]),
    Call("path", ["!$&'()*+,;=/~:@-_.AZaz09"]),
    Call("path", ["[]|^`\\<>{}?#\x7f"]),
    Call("root", ["/x"]),
    Call("root", ["x"], prefix="//host/"),
    Call("str", ["\ud800"]),
    Call("str", [Refuses(KeyError)]),
    Call("str", [Refuses(ValueError)]),
    Call("even", [3]),
    Call("even", ["3"]),
    Call("broken", ["3"]),
    Call("spoken", ["x"], language="de"),
    Call("spoken", ["x"], language=None),
    *[Call("inner:item", [1], current_app=app) for app in APPS],
    *[Call("shop:inner:item", ["c", 1], current_app=app) for app in APPS],
    *[Call("several:item", [1], current_app=app) for app in APPS],
    *[Call("path", ["é/ü"], prefix=prefix) for prefix in PREFIXES],
    *[Call("local:item", ["x"], language=language) for language in LANGUAGES],
    *[Call("spoken:index", language=language) for language in LANGUAGES],
]


@pytest.mark.parametrize("call", UNUSUAL, ids=str)
def test_unusual_arguments_are_accepted_or_refused_as_by_django(call: Call) -> None:
    clear_url_caches()
    for name in ("home", "int", "shop:index"):  # compiled before, under the plain name
        urls.reverse(name, args=[1] if name == "int" else [])
    for _ in range(2):
        ours, theirs = call.results(urls.reverse, django.urls.reverse)
        assert ours == theirs


CONTEXTS = st.fixed_dictionaries(
    {"name": NAMES, "a": VALUES, "b": VALUES},
)
TAGS = [
    "{% url name a %}",
    "{% url name %}",
    "{% url name a=a b=b %}",
    "{% url name a b %}",
    "{% url name a missing.thing %}",
    "{% url 'slug' a|slugify %}",
    "{% url 'shop:item' a='x' %}",
    "{% url 'shop:item' a as there %}[{% if there %}{% firstof there %}{% endif %}]",
    "{% url name a=a as there %}[{% firstof there %}]",
    "{% autoescape off %}{% url 'str' a %}{% endautoescape %}",
    "{% url 'path' a %}",
    "{% with x='shop:inner:item' %}{% url x c=a a=3 %}{% endwith %}",
    "{% filter upper %}{% url 'str' a %}{% endfilter %}",
    "{% for x in 'abc' %}{% url 'slug' x %}{% endfor %}",
]
STOCK = Engine(debug=False)
OURS = Engine(debug=False, builtins=["djfast.engine.urls"])
TEMPLATES = [(tag, OURS.from_string(tag), STOCK.from_string(tag)) for tag in TAGS]
REQUESTS = [
    None,
    SimpleNamespace(),
    SimpleNamespace(resolver_match=None),
    SimpleNamespace(resolver_match=SimpleNamespace(namespace="other")),
    SimpleNamespace(resolver_match=SimpleNamespace(namespace="tenant:inner")),
    SimpleNamespace(current_app="other", resolver_match=SimpleNamespace(namespace="tenant")),
    SimpleNamespace(current_app=None, resolver_match=SimpleNamespace(namespace="tenant")),
    SimpleNamespace(current_app=5),
]


@given(
    st.sampled_from(TEMPLATES), CONTEXTS, st.sampled_from(REQUESTS), st.sampled_from(LANGUAGES[:3])
)
@EXAMPLES
def test_the_tag_renders_what_djangos_tag_renders(
    template: Any, values: dict[str, Any], request: Any, language: str
) -> None:
    results = []
    for made in template[1:]:
        context = Context(dict(values))
        if request is not None:
            context.request = request  # type: ignore[attr-defined]
        with translation.override(language):
            try:
                found = made.render(context)
            except Exception as error:
                found = error
        results.append((type(found), str(found), context.get("there")))
    assert results[0] == results[1], template[0]


@pytest.mark.parametrize(
    "tag", ["{% url %}", "{% url 'a' b=|x %}", "{% url 'a' | %}", "{% url a as %}"]
)
def test_a_tag_that_django_refuses_is_refused_with_the_same_message(tag: str) -> None:
    messages = []
    for engine in (OURS, STOCK):
        try:
            messages.append(repr(engine.from_string(tag)))
        except Exception as error:
            messages.append(repr(error))
    assert messages[0].rpartition(" at 0x")[0] == messages[1].rpartition(" at 0x")[0]


def test_the_request_of_a_context_gives_the_current_application() -> None:
    request = RequestFactory().get("/")
    request.resolver_match = get_resolver().resolve("/other/")
    context = RequestContext(request)
    for engine in (OURS, STOCK):
        with context.bind_template(engine.from_string("")):
            assert engine.from_string("{% url 'shop:index' %}").render(context) == "/other/"


COMPILED = [
    Call("home"),
    Call("int", [5]),
    Call("int", [5], prefix="/100%/"),
    Call(SafeString("str"), ["é"]),
    Call("three", kwargs={"a": "x", "b": "y/z", "c": 7}),
    Call("even", [4]),
    Call("counted", ["x"]),
    Call("many", [uuid.UUID(int=1)]),
    Call("optional", kwargs={"b": "x"}),
    Call("unnamed", [1, "a"]),
    Call("fixed"),
    Call("tenant:inner:item", ["t", "c", 1], current_app="other"),
    Call("local:item", kwargs={"a": "x"}, language="de"),
    Call("about", ["x"], language="de", prefix="/site/"),
]


@pytest.mark.parametrize("call", COMPILED, ids=str)
def test_a_name_is_compiled_once_and_then_reversed_without_django(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = call.results(django.urls.reverse)
    monkeypatch.setattr(urls, "django_reverse", None)
    assert call.results(urls.reverse) == expected
    monkeypatch.setattr(urls, "compiled", None)
    assert call.results(urls.reverse) == expected


def test_equal_arguments_of_different_types_have_their_own_text() -> None:
    values = (1, True, 1.0, "1", Decimal(1), "é/%")
    texts = [urls.reverse("path", args=[value]) for value in values]
    texts = [text.removeprefix("/path/") for text in texts]
    assert texts == ["1", "True", "1.0", "1", "1", "%C3%A9/%25"]


def test_a_lazy_argument_is_evaluated_each_time() -> None:
    word = reversed_urls.translated(en="word", de="wort")
    for language in ("en", "de", "en"):
        with translation.override(language):
            assert urls.reverse("str", args=[word]) == f"/str/{word}/"


def test_the_thread_or_the_argument_chooses_the_urlconf() -> None:
    assert urls.reverse("home") == "/"
    set_urlconf("reversed_other_urls")
    assert urls.reverse("home") == "/elsewhere/"
    assert urls.reverse("home", "reversed_urls") == "/"
    patterns = (path("tuple/", view, name="home"),)
    assert urls.reverse("home", patterns) == "/tuple/"


def test_compiled_names_are_discarded_with_the_url_configuration() -> None:
    first = (path("first/", view, name="x"),)
    second = (path("second/", view, name="x"),)
    with override_settings(ROOT_URLCONF=first):
        assert urls.reverse("x") == "/first/"
        resolver = get_resolver()
        compiled = weakref.ref(resolver._djfast_forms)  # type: ignore[attr-defined]
        with override_settings(ROOT_URLCONF=second):
            assert urls.reverse("x") == "/second/"
        assert urls.reverse("x") == "/first/"
    del resolver
    clear_url_caches()
    gc.collect()
    assert compiled() is None


def test_a_name_that_does_not_exist_is_looked_up_again() -> None:
    module: Any = ModuleType("growing")
    module.urlpatterns = [path("a/", view, name="a")]
    for _ in range(2):
        with pytest.raises(NoReverseMatch, match="Reverse for 'late' not found"):
            urls.reverse("late", module)
    module.urlpatterns.append(path("late/", view, name="late"))
    clear_url_caches()
    assert urls.reverse("late", module) == "/late/"


def test_new_arguments_need_no_new_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    urls.reverse("shop:item", args=["x"])
    monkeypatch.setattr(urls, "compiled", None)
    monkeypatch.setattr(urls, "django_reverse", None)
    for number in range(200):
        assert urls.reverse("shop:item", args=[f"x-{number}"]) == f"/shop/item/x-{number}/"


def test_memory_is_bounded_whatever_a_request_contains(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_url_caches()
    monkeypatch.setattr(urls, "LIMIT", 50)
    for number in range(200):
        set_script_prefix(f"/{number}/")
        assert urls.reverse("shop:index", current_app=str(number)) == f"/{number}/shop/"
        assert urls.reverse("str", args=[number]) == f"/{number}/str/{number}/"
        with pytest.raises(NoReverseMatch):
            urls.reverse(f"no{number}")
    assert len(get_resolver()._djfast_forms) <= 50  # type: ignore[attr-defined]


def test_names_that_do_not_exist_are_not_stored() -> None:
    clear_url_caches()
    for number in range(20):
        for name in (f"no{number}", f"no{number}:item", f"shop:no{number}"):
            with pytest.raises(NoReverseMatch):
                urls.reverse(name)
        urls.reverse("int", args=[number])
    assert len(get_resolver()._djfast_forms) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("urlconf", "depends"),
    [
        ("reversed_urls", True),
        ("reversed_plain_urls", False),
        ("reversed_other_urls", False),
        ((path("", include([path(reversed_urls.translated(en="a"), view)])),), True),
    ],
)
def test_the_language_is_part_of_the_key_where_a_pattern_depends_on_it(
    urlconf: Any, depends: bool
) -> None:
    assert urls.translated(get_resolver(urlconf)) is depends


def test_patterns_of_third_party_classes_are_compiled_for_each_language() -> None:
    class Own(django.urls.URLPattern):
        pass

    class Moving(django.urls.resolvers.RoutePattern):
        @property
        def regex(self) -> Any:  # type: ignore[override]
            return re.compile(f"^{translation.get_language()}/x")

    own = (Own(django.urls.resolvers.RoutePattern("own/", is_endpoint=True), view, name="x"),)
    assert urls.translated(get_resolver(own))
    moving = (django.urls.URLPattern(Moving("m/", is_endpoint=True), view, name="x"),)
    for language in ("en", "de"):
        with translation.override(language):
            assert urls.reverse("x", moving) == f"/{language}/x"


@pytest.mark.parametrize("name", ["x", "again:x"])
def test_a_urlconf_may_include_itself(name: str) -> None:
    module: Any = ModuleType("circle")
    module.urlpatterns = [path("x/", view, name="x")]
    module.app_name = "again"
    module.urlpatterns.append(path("again/", include(module)))
    assert urls.translated(get_resolver(module)) is False
    ours, theirs = Call(name, urlconf=module).results(urls.reverse, django.urls.reverse)
    assert ours == theirs


def test_an_error_that_django_does_not_raise_is_not_caught() -> None:
    class TimeLimit(Exception):
        """Raised between two instructions, as by the time limit of a task queue."""

    class Slow:
        calls = 0

        def __str__(self) -> str:
            self.calls += 1
            if self.calls == 1:
                raise TimeLimit
            return "x"

    with pytest.raises(TimeLimit):
        urls.reverse("str", args=[Slow()])
    with pytest.raises((ImportError, ImproperlyConfigured)):
        urls.reverse("home", "no.such.urls")


def test_an_error_has_no_context_from_the_first_attempt() -> None:
    with pytest.raises(NoReverseMatch) as caught:
        urls.reverse("nothing:here")
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, KeyError)


def test_the_signature_accepts_what_djangos_accepts() -> None:
    names = list(inspect.signature(django.urls.reverse).parameters)
    assert list(inspect.signature(urls.reverse).parameters)[:5] == names[:5]
    assert urls.reverse("home", query={"a": "b&"}, fragment="c") == "/?a=b%26#c"


ENGINES = {
    "django": ("{% url name argument %}", OURS.from_string),
    "jinja2": (
        "{{ url(name, argument) }}",
        environment(autoescape=True).from_string,
    ),
}


def rendered(engine: str, name: str, argument: object) -> str:
    """Render one URL with a template."""
    source, from_string = ENGINES[engine]
    values = {"name": name, "argument": argument}
    context: Any = Context(values) if engine == "django" else values
    return str(from_string(source).render(context))


@pytest.mark.parametrize("engine", ENGINES)
def test_no_template_makes_django_search_for_a_url(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(URLResolver, "_reverse_with_prefix", None)
    monkeypatch.setattr(urls, "django_reverse", None)
    assert rendered(engine, "shop:item", "x") == "/shop/item/x/"
    quote = {"django": "&#x27;", "jinja2": "&#39;"}[engine]
    assert rendered(engine, "str", "<&'") == f"/str/%3C&amp;{quote}/"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_url_that_does_not_exist_is_the_same_error_in_a_template(engine: str) -> None:
    with pytest.raises(NoReverseMatch) as theirs:
        django.urls.reverse("slug", args=["not a slug"])
    with pytest.raises(NoReverseMatch) as ours:
        rendered(engine, "slug", "not a slug")
    assert str(ours.value) == str(theirs.value)


def test_jinja2_has_the_same_urls() -> None:
    assert urls.url("shop:item", "x") == "/shop/item/x/"
    assert urls.url("shop:item", a="x", b=2) == "/shop/item/x/2/"
    assert urls.url("three", a=1, b=2, c=3) == "/pair/1-2/3"
    with pytest.raises(NoReverseMatch):
        urls.url("shop:item", name="x")


def test_the_evidence_counts_compiled_names() -> None:
    clear_url_caches()
    assert urls.evidence() == "0 names compiled in this process"
    urls.reverse("int", args=[1])
    assert urls.evidence() == "1 names compiled in this process"
