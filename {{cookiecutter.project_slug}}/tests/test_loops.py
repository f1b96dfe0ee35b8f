"""A loop shows what Django's shows, and Django's nodes are asked for nothing that was compiled."""

import gc
import weakref
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.template import (
    Context,
    Engine,
    Library,
    Origin,
    Template,
    TemplateSyntaxError,
    engines,
)
from django.template.base import FilterExpression, Node, Parser, Token, Variable, VariableNode
from django.template.defaulttags import ForNode, IfNode
from django.urls import NoReverseMatch
from django.utils.safestring import mark_safe

from speed import loops
from speed.urls import URLNode

register = Library()
DJANGO = Engine()
LIST = """{% for row in rows %}
{{ forloop.counter }}{% if forloop.last %}.{% elif row.name %},{% else %};{% endif %}
{{ row.name|upper|default:row.other }} {{ row.nothing }} {{ row.tags.0 }} {{ row.number }}
{% for key, value in row.pairs %}{{ key }}={{ value }} {{ forloop.parentloop.counter0 }}{% endfor %}
{% with row.name as short %}{% if short != "a" and row.tags %}{{ short }}{% endif %}{% endwith %}
{% empty %}none{% endfor %}"""


class Row:
    """What a loop meets: texts, lists, methods, and what goes wrong."""

    tags = ("<first>", "second")
    number = 1234567

    def __init__(self, name: str) -> None:
        self.name = name

    def pairs(self) -> list[tuple[str, object]]:
        return [(self.name, mark_safe("<i>safe</i>")), ("2", 2.5)]

    def other(self) -> str:
        raise ObjectDoesNotExist


class Failing:
    """What fails when it is looked at."""

    @property
    def fails(self) -> float:
        return 1 / 0


@register.simple_tag(takes_context=True)
def leaves(context: Context) -> str:
    """Push what is not popped."""
    context.push({"row": "left"})
    return ""


class Wrapped(Node):
    """A loop in brackets."""

    def __init__(self, loop: Node) -> None:
        self.loop = loop

    def render(self, context: Context) -> str:
        """Let the loop show itself."""
        return f"[{self.loop.render(context)}]"

    def render_url(self) -> None:
        """Have a method that `speed.urls` has, too."""


@register.tag
def loop(parser: Parser, token: Token) -> Node:
    """Parse as a `for`."""
    return Wrapped(parser.tags["for"](parser, token))


def rendered(engine: Engine, source: str, **values: Any) -> str:
    return str(engine.from_string(source).render(Context(values)))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile each loop when it is first run."""
    monkeypatch.setattr(loops, "ENOUGH", 0)


@pytest.fixture
def engine() -> Engine:
    """The engine of the project."""
    django: Any = engines["django"]
    return django.engine  # type: ignore[no-any-return]


@pytest.mark.parametrize("rows", [[], [Row("a"), Row(""), Row("<&>")], None])
def test_a_loop_shows_what_djangos_shows(engine: Engine, rows: list[Row] | None) -> None:
    assert rendered(engine, LIST, rows=rows) == rendered(DJANGO, LIST, rows=rows)


def test_nothing_that_was_compiled_is_interpreted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """{% for row in rows reversed %}{% url "admin:app_list" row.name %} {{ row.name }}
    {% if row.number %}{{ row.number|add:row.number }} {% endif %}{% endfor %}"""
    template = engine.from_string(source)
    for node in (ForNode, IfNode, URLNode, VariableNode):
        monkeypatch.setattr(node, "render", None)
    for parsed in (FilterExpression, Variable):
        monkeypatch.setattr(parsed, "resolve", None)
    shown = template.render(Context({"rows": [Row("core"), Row("auth")]}))
    assert shown.split() == ["/admin/auth/", "auth", "2469134", "/admin/core/", "core", "2469134"]


def test_a_loop_is_compiled_once_and_when_it_has_shown_enough_rows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "ENOUGH", 4)
    template, before = (
        engine.from_string("{% for row in rows %}{{ row }}{% endfor %}"),
        loops.Loop.compiled,
    )
    compiled = []
    for rows in ("ab", "cd", "", "ef", "gh"):
        assert template.render(Context({"rows": rows})) == rows
        compiled.append(loops.Loop.compiled - before)
    assert compiled == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "tag", ["{{ r.fails }}", "{% if r.fails %}{% endif %}", "{% firstof r.fails %}"]
)
@pytest.mark.parametrize("before", ["", "{{ r }}", "{% if r %}{{ r }}{% endif %}"])
@pytest.mark.parametrize("loop", ["{% for r in rows %}", "{% for n in 'a' %}{% for r in rows %}"])
def test_the_page_of_an_error_shows_the_line_that_django_shows(
    loop: str, before: str, tag: str
) -> None:
    ends = "{% endfor %}" * loop.count("for ")
    source = f"<p>\n{loop}\n{before}\n{tag}\n{{{{ r }}}}\n{ends}"
    seen = []
    for builtins in ([], ["speed.loops"]):
        with pytest.raises(ZeroDivisionError) as error:
            rendered(Engine(builtins=builtins, debug=True), source, rows=[Failing()])
        seen.append(error.value.template_debug)  # type: ignore[attr-defined]
    assert seen[1] == seen[0]


def test_a_tag_that_has_failed_is_asked_again(engine: Engine) -> None:
    template = engine.from_string("{% for row in rows %}{% firstof row.fails %}{% endfor %}")
    with pytest.raises(ZeroDivisionError):
        template.render(Context({"rows": [Failing()]}))
    assert template.render(Context({"rows": [{"fails": "not now"}]})) == "not now"


def test_a_text_for_invalid_variables_is_shown() -> None:
    engine = Engine(builtins=["speed.loops"], string_if_invalid="no %s")
    assert rendered(engine, "{% for row in rows %}{{ row.x }}{% endfor %}", rows="a") == "no row.x"


def test_a_context_of_another_class_looks_up_in_its_own_way(engine: Engine) -> None:
    class Shouting(Context):
        def __getitem__(self, key: Any) -> Any:
            value = super().__getitem__(key)
            return value.upper() if isinstance(value, str) else value

    template = engine.from_string("{% for row in rows %}{{ row }}{% endfor %}")
    assert template.render(Shouting({"rows": ["a", "b"]})) == "AB"


def test_a_mistake_in_a_template_is_reported_as_by_django(engine: Engine) -> None:
    for source in ("{% for row rows %}{% endfor %}", "{% for row in rows %}", "{% endfor %}"):
        with pytest.raises(TemplateSyntaxError) as ours:
            engine.from_string(source)
        with pytest.raises(TemplateSyntaxError) as theirs:
            DJANGO.from_string(source)
        assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("row", [(1, 2, 3), (1,), 5])
def test_a_row_of_more_or_fewer_values_is_refused_as_by_django(engine: Engine, row: Any) -> None:
    seen = []
    for one in (engine, DJANGO):
        with pytest.raises(ValueError, match="Need 2 values to unpack") as error:
            rendered(one, "{% for a, b in rows %}{% endfor %}", rows=[row])
        seen.append(str(error.value))
    assert seen[0] == seen[1]


def test_nodes_without_a_template_show_themselves(engine: Engine) -> None:
    nodes = engine.from_string("{% for row in rows %}{{ row }}{% endfor %}").nodelist
    assert nodes.render(Context({"rows": "ab"})) == "ab"


def test_an_address_that_lacks_an_argument_fails_as_in_django() -> None:
    source = "{% for row in 'a' %}{% url 'admin:app_list' row.nothing %}{% endfor %}"
    seen = []
    for builtins in (["speed.loops"], ["speed.loops", "speed.urls"], []):
        with pytest.raises(NoReverseMatch) as error:
            rendered(Engine(builtins=builtins), source)
        seen.append(str(error.value))
    assert seen[0] == seen[1] == seen[2]


def test_a_traceback_names_the_template_of_the_loop(engine: Engine) -> None:
    source, origin = "{% for row in rows %}{{ row.fails }}{% endfor %}", Origin("shop/list.html")
    with pytest.raises(ZeroDivisionError) as error:
        Template(source, origin, engine=engine).render(Context({"rows": [Failing()]}))
    assert any("<loop in shop/list.html>" in str(entry.path) for entry in error.traceback)


def test_what_a_tag_leaves_behind_is_seen_by_what_follows() -> None:
    inner = "{% for row in 'x' %}{% leaves %}{{ row }}{% endfor %}"
    source = f"{{% for row in 'ab' %}}{inner}{{{{ row }}}}{{% leaves %}}{{{{ row }}}}{{% endfor %}}"
    library = {"leaving": __name__}
    theirs, ours = (
        rendered(Engine(libraries=library, builtins=[__name__, *more]), source)
        for more in ([], ["speed.loops"])
    )
    assert ours == theirs
    assert "left" in ours


def test_an_address_takes_its_arguments_in_djangos_order() -> None:
    asked: list[str] = []
    row = {name: lambda name=name: asked.append(name) for name in ("key", "name", "value")}
    source = "{% for row in rows %}{% url row.name row.value row.key as x %}{% endfor %}"
    for builtins in ([], ["speed.urls", "speed.loops"]):
        rendered(Engine(builtins=builtins), source, rows=[row])
    assert asked[:3] == asked[3:] == ["value", "key", "name"]


def test_a_loop_inside_a_tag_of_ones_own_is_a_loop() -> None:
    engine = Engine(libraries={}, builtins=["speed.loops", __name__])
    source = "{% for x in 'xy' %}{% loop row in rows %}{{ row }}{% endfor %}{% endfor %}"
    assert rendered(engine, source, rows="ab") == "[ab][ab]"


@pytest.mark.parametrize("source", ["{{ row.nothing }}", "{% if row.nothing %}{% endif %}"])
def test_a_variable_that_is_not_there_keeps_nothing_in_memory(engine: Engine, source: str) -> None:
    template = engine.from_string(f"{{% for row in rows %}}{source}{{% endfor %}}")
    row = Row("a")
    gone, context = weakref.ref(row), Context({"rows": [row]})
    gc.collect()
    gc.disable()
    try:
        template.render(context)
        del row, context
        assert gone() is None
    finally:
        gc.enable()
