"""Compare compiled loops with Django's: output, errors, look-ups, and the context after the loop."""

import gc
import logging
import re
import weakref
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, Library, Origin, Template, TemplateSyntaxError
from django.template.base import FilterExpression, Node, Parser, Token, Variable, VariableNode
from django.template.defaulttags import ForNode, IfNode
from django.test import override_settings
from django.urls import NoReverseMatch, path
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.safestring import mark_safe
from djfast.engine import loops
from djfast.engine.urls import URLNode
from hypothesis import event, given, settings
from hypothesis import strategies as st

MINE = "test_loops"  # this file, for its filters and tags
register = Library()
THEIRS = Engine(builtins=[MINE])
OURS = Engine(builtins=[MINE, "djfast.engine.loops"])
# With the other modules of the engine.
ALL = Engine(builtins=[MINE, "djfast.engine.loops", "djfast.engine.urls", "djfast.engine.formats"])
PARENTS = "{% for n in 'a' %}{% for r in rows %}"


def view(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse()


URLS = (path("lists/<slug:name>/", view, name="list"),)


@pytest.fixture(autouse=True)
def _compiled_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile each loop when it is first run; give the `url` tag a URLconf."""
    monkeypatch.setattr(loops, "ENOUGH", 0)
    with override_settings(ROOT_URLCONF=URLS):
        yield


@register.filter
def fails(value: object, argument: object = None) -> object:
    """Raise an error for some values."""
    if value == "a" or argument == "a":
        raise KeyError(value)
    if value == 1:
        raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "odd")
    return value


@register.filter(needs_autoescape=True)
def escapes(value: object, autoescape: bool = True) -> str:
    return f"<{autoescape}>"


@register.filter(is_safe=True)
def keeps(value: object) -> object:
    return value


@register.simple_tag(takes_context=True)
def leaves(context: Context) -> str:
    """Push what is not popped."""
    context.push({"a": "left <b>", "x": "left <x>", "row": "left"})
    return "left"


class Colour(models.TextChoices):
    RED = "r", "Red <"


class Subscripted:
    """A class with `__class_getitem__`, which is no look-up for Django."""

    do_not_call_in_templates = True
    a = "<attribute>"

    def __class_getitem__(cls, key: object) -> str:
        return "<subscript>"


class Plain(Enum):
    a = "x"


class Text(str):
    """A string whose str() is another string."""

    __slots__ = ()

    def __str__(self) -> str:
        return "<own>"


class Odd:
    """Everything that can follow a dot; records the look-ups."""

    c = "class <"
    fi = "<what Python makes of the ligature>"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.b = {"a": "<in b>", "items": 3, "b": [1, "<2>"]}

    def record(self, name: str) -> None:
        self.calls.append(name)

    @property
    def a(self) -> int:
        self.record("a")
        return len(self.calls)

    @property
    def attribute(self) -> str:
        self.record("attribute")
        raise AttributeError("inside")

    @property
    def wrong(self) -> str:
        self.record("wrong")
        raise TypeError("inside")

    @property
    def silent(self) -> str:
        self.record("silent")
        raise ObjectDoesNotExist("silent")

    def __getattr__(self, name: str) -> Any:
        if name == "unknown":
            raise TypeError("unknown")
        raise AttributeError(name)

    def method(self) -> "Odd":
        self.record("method")
        return self

    def needs(self, argument: str) -> str:
        self.record("needs")
        return argument

    def fails(self) -> str:
        self.record("fails")
        raise TypeError("in the call")

    def missing(self) -> str:
        self.record("missing")
        raise ObjectDoesNotExist("missing")

    def delete(self) -> str:
        self.record("delete")
        return "deleted"

    delete.alters_data = True  # type: ignore[attr-defined]

    def uncalled(self) -> str:
        self.record("uncalled")
        return "called"

    uncalled.do_not_call_in_templates = True  # type: ignore[attr-defined]

    def items(self) -> list[tuple[int, str]]:
        self.record("items")
        return [(1, "<x>"), (2, "y")]

    def stream(self) -> Any:
        self.record("stream")
        return iter(["<p>", 7])

    def __str__(self) -> str:
        return f"<odd {len(self.calls)}>"


class Keyed(Odd):
    """The same, with keys."""

    def __getitem__(self, key: object) -> str:
        self.record(f"[{key!r}]")
        if key == "a":
            return "<key a>"
        if key == 0:
            return "<zero>"
        raise (ValueError if key == "b" else KeyError)(key)


def value(kind: str) -> Any:
    """Return a new value, one for each side."""
    return {
        "odd": Odd,
        "keyed": Keyed,
        "class": lambda: Odd,
        "enum": lambda: Plain,
        "choices": lambda: Colour,
        "generic": lambda: list[int],
        "subscripted": lambda: Subscripted,
        "dict": lambda: {"a": "<&\"'>", "b": {"a": [1, 2]}, "items": "own", "0": "zero", 1: "one"},
        "pairs": lambda: [("<a>", 1), ("b", 2)],
        "uneven": lambda: [("a", 1), ("b",)],
        "rows": lambda: [Odd(), Keyed(), {"a": "a"}, "a", None],
        "text": lambda: "a",
        "html": lambda: "<b>&amp;'\"",
        "safe": lambda: mark_safe("<b>&</b>"),
        "own text": lambda: Text("a"),
        "lazy": lambda: lazy(lambda: "<lazy>", str)(),
        "one": lambda: 1,
        "number": lambda: 1234567,
        "true": lambda: True,
        "float": lambda: 1234.5,
        "decimal": lambda: Decimal("-1234.50"),
        "time": lambda: datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
        "naive": lambda: datetime(2026, 3, 1, 23, 30),
        "date": lambda: date(2026, 3, 1),
        "none": lambda: None,
        "bytes": lambda: b"\xff<",
        "context": lambda: Context({"a": "<inner>", "b": 2}),
        "function": lambda: lambda: ["<made>", Odd()],
        "empty": list,
        "stream": lambda: iter(["<i>", 2]),
    }[kind]()


KINDS = [
    *("odd", "keyed", "class", "subscripted", "enum", "choices", "generic", "dict", "pairs"),
    *("uneven", "rows", "text", "html", "safe", "own text", "lazy", "one", "number", "true"),
    *("float", "decimal", "time", "naive", "date", "none", "bytes", "context", "function"),
    *("empty", "stream"),
]
BITS = [
    *("a", "b", "c", "items", "method", "needs", "fails", "missing", "delete", "uncalled"),
    *("attribute", "wrong", "silent", "unknown", "stream", "calls", "nothing", "0", "1", "9"),
    *("class", "dicts", "template", "pop", "label", "values", "é", "ﬁ", "RED", "real"),
]
FILTERS = [
    *("upper", "length", "fails", "escapes", "keeps", "safe", "escape", "date", "force_escape"),
    *("default_if_none", "default:b", "default:'<x>'", "add:1", "add:a.b", "date:'H:i'"),
    *("join:'<'", "fails:a", "fails:nothing.a", "default:_('<t>')", "floatformat:2"),
    *('slice:":2"', "first", "localize"),
]
CONSTANTS = ["'<c>'", '_("<t>")', "5", "2.5", "True", "None"]
OPERATORS = ["==", "!=", "and", "or", "in", "not in", "is", "<", ">="]

first = st.sampled_from(["a", "b", "x", "x", "x", "y", "forloop", "nothing", "dicts", "True"])
paths = st.builds(
    lambda start, bits: ".".join([start, *bits]),
    first,
    st.lists(st.sampled_from(BITS), max_size=3),
) | st.sampled_from(
    ["forloop.counter", "forloop.last", "forloop.parentloop.counter0", "forloop.revcounter"]
)
expressions = st.builds(
    lambda path, filters: "|".join([path, *filters]),
    paths | st.sampled_from(CONSTANTS),
    st.lists(st.sampled_from(FILTERS), max_size=2),
)
conditions = expressions | st.builds(
    lambda left, operator, right, no: f"{no}{left} {operator} {right}",
    expressions,
    st.sampled_from(OPERATORS),
    expressions,
    st.sampled_from(["", "not "]),
)
pieces = st.one_of(
    st.sampled_from(["<p>text\n</p>", "'\"\\{", "é"]),
    st.builds("{{{{ {} }}}}".format, expressions),
    st.builds("{{% firstof {} {} %}}".format, paths, paths),
    st.sampled_from(["{% cycle 'odd' x %}", "{% leaves %}", "{% templatetag openblock %}"]),
)


def blocks(inner: Any) -> Any:
    """Return a strategy for blocks of templates."""
    return st.one_of(
        st.builds("{{% if {} %}}{}{{% endif %}}".format, conditions, inner),
        st.builds(
            "{{% if {} %}}{}{{% elif {} %}}{}{{% else %}}{}{{% endif %}}".format,
            conditions,
            inner,
            conditions,
            inner,
            inner,
        ),
        st.builds(
            "{{% for x in {}{} %}}{}{{% empty %}}none{{% endfor %}}".format,
            expressions,
            st.sampled_from(["", " reversed"]),
            inner,
        ),
        st.builds("{{% for x, y in {} %}}{}{{% endfor %}}".format, expressions, inner),
        st.builds("{{% with y={} %}}{}{{% endwith %}}".format, expressions, inner),
        st.builds("{{% autoescape off %}}{}{{% endautoescape %}}".format, inner),
        st.builds("{{% ifchanged %}}{}{{% endifchanged %}}".format, inner),
        st.lists(inner, min_size=2, max_size=4).map("".join),
    )


templates = st.recursive(pieces, blocks, max_leaves=12)


class Messages(logging.Handler):
    """Collects log messages."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def outcome(engine: Engine, source: str, kinds: dict[str, str], **options: Any) -> object:
    """Return the output or error, the look-ups, the log, and the depth of the context afterwards."""
    values = {name: value(kind) for name, kind in kinds.items()}
    context = Context(values, **options)
    logger, log = logging.getLogger("django.template"), Messages()
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    try:
        shown: object = without_addresses(engine.from_string(source).render(context))
    except Exception as error:
        shown = type(error), without_addresses(str(error))
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
    calls = {name: getattr(one, "calls", None) for name, one in values.items()}
    return shown, calls, log.messages, len(context.dicts)


def without_addresses(text: str) -> str:
    """Remove the addresses of objects, which differ between the two sides."""
    return re.sub(r"0x[0-9a-f]+", "0x", text, flags=re.IGNORECASE)


@given(
    templates,
    st.fixed_dictionaries({name: st.sampled_from(KINDS) for name in "abx"}),
    st.sampled_from(["rows", "pairs", "uneven", "stream", "function", "dict", "text"]),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.booleans(),
)
@settings(max_examples=4000, deadline=None, report_multiple_bugs=False)
def test_a_loop_has_the_output_and_errors_of_djangos_loop(
    inner: str, kinds: dict[str, str], rows: str, escaped: bool, local: bool | None, grouped: bool
) -> None:
    source = f"{{% for x in rows %}}{inner}{{% endfor %}}after {{{{ x }}}}{{{{ a }}}}"
    given = {**kinds, "rows": rows}
    options = {"autoescape": escaped, "use_l10n": local, "use_tz": local}
    with override_settings(USE_THOUSAND_SEPARATOR=grouped), timezone.override("Asia/Tokyo"):
        theirs = outcome(THEIRS, source, given, **options)
        event("raised" if isinstance(theirs[0], tuple) else "shown")  # type: ignore[index]
        assert outcome(OURS, source, given, **options) == theirs


def assert_same(source: str, kind: str, **options: Any) -> None:
    """Compare a piece of template in a loop of one row."""
    given = {"a": kind, "b": "rows", "rows": "text"}
    loop = f"{{% for x in rows %}}{source}{{% endfor %}}"
    assert outcome(OURS, loop, given, **options) == outcome(THEIRS, loop, given, **options)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_rendered_as_by_django(kind: str, grouped: bool) -> None:
    with override_settings(USE_THOUSAND_SEPARATOR=grouped), timezone.override("Asia/Tokyo"):
        for escaped, local in ((True, None), (False, None), (True, True), (True, False)):
            assert_same("{{ a }}", kind, autoescape=escaped, use_tz=local, use_l10n=local)


@pytest.mark.parametrize("kind", KINDS)
def test_every_lookup_finds_what_django_finds(kind: str) -> None:
    for bit in BITS:
        for piece in (
            f"{{{{ a.{bit} }}}}",
            f"{{{{ a.{bit}.a }}}}",
            f"{{% if a.{bit} %}}y{{% endif %}}",
        ):
            assert_same(piece, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_filter_gets_the_arguments_that_django_passes(kind: str) -> None:
    with timezone.override("Asia/Tokyo"):
        for filters in [*FILTERS, *(f"{one}|{FILTERS[0]}" for one in FILTERS)]:
            for escaped, local in ((True, None), (False, None), (True, True), (True, False)):
                options = {"autoescape": escaped, "use_tz": local, "use_l10n": local}
                assert_same(f"{{{{ a|{filters} }}}}", kind, **options)
            assert_same(f"{{% if a|{filters} %}}yes{{% else %}}no{{% endif %}}", kind)
            assert_same(f"{{% for y in a|{filters} %}}{{{{ y }}}}{{% endfor %}}", kind)


@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_constant_means_what_it_means_to_django(constant: str) -> None:
    for filters in ["", *(f"|{one}" for one in FILTERS)]:
        assert_same(f"{{{{ {constant}{filters} }}}}{{{{ nothing|default:{constant} }}}}", "text")


def test_nested_loops_are_compiled() -> None:
    before = loops.Loop.compiled
    OURS.from_string("{% for x in a %}{% for y in x %}{{ y }}{% endfor %}{% endfor %}").render(
        Context({"a": ["ab"]})
    )
    assert loops.Loop.compiled == before + 2


def test_a_deep_or_long_if_is_compiled_as_far_as_python_can_indent() -> None:
    deep = "{% if x %}" * 120 + "{{ x }}" + "{% endif %}" * 120
    long = "{% if nothing %}" + "{% elif nothing %}" * 120 + "{% else %}{{ x }}{% endif %}"
    for inner in (deep, long):
        loop = f"{{% for x in rows %}}{inner}{{% endfor %}}"
        assert OURS.from_string(loop).render(Context({"rows": "ab"})) == "ab"


LIST = """{% for row in rows %}
{{ forloop.counter }}{% if forloop.last %}.{% elif row.name %},{% else %};{% endif %}
{{ row.name|upper|default:row.other }} {{ row.nothing }} {{ row.tags.0 }} {{ row.number }}
{% for key, value in row.pairs %}{{ key }}={{ value }} {{ forloop.parentloop.counter0 }}{% endfor %}
{% with row.name as short %}{% if short != "a" and row.tags %}{{ short }}{% endif %}{% endwith %}
{% empty %}none{% endfor %}"""


class Row:
    """A row with texts, lists, methods, and errors."""

    tags = ("<first>", "second")
    number = 1234567

    def __init__(self, name: str) -> None:
        self.name = name

    def pairs(self) -> list[tuple[str, object]]:
        return [(self.name, mark_safe("<i>safe</i>")), ("2", 2.5)]

    def other(self) -> str:
        raise ObjectDoesNotExist


class Failing:
    """A row whose look-up fails."""

    @property
    def fails(self) -> float:
        return 1 / 0


class Wrapped(Node):
    """A loop in brackets."""

    def __init__(self, loop: Node) -> None:
        self.loop = loop

    def render(self, context: Context) -> str:
        """Render the loop."""
        return f"[{self.loop.render(context)}]"

    def djfast_render(self) -> None:
        """Have one method of the protocol for compiled arguments."""


@register.tag
def loop(parser: Parser, token: Token) -> Node:
    """Parse as a `for`."""
    return Wrapped(parser.tags["for"](parser, token))


class Doubled(Node):
    """A node that follows the protocol for compiled arguments."""

    def __init__(self, value: FilterExpression, class_: FilterExpression) -> None:
        self.value = value
        self.class_ = class_

    def djfast_expressions(self) -> list[tuple[str, FilterExpression]]:
        """Return the arguments of `djfast_render`; one keyword is reserved in Python."""
        return [("class", self.class_), ("", self.value)]

    def djfast_render(self, context: Context, /, *args: Any, **kwargs: Any) -> str:
        """Render the values."""
        return f"{args} {kwargs}"


class Overriding(Doubled):
    """A subclass that replaces `render`: the protocol of its parent is not used for it."""

    def render(self, context: Context) -> str:
        """Render something else."""
        return "own"


@register.tag
def doubled(parser: Parser, token: Token) -> Node:
    _, value, other = token.split_contents()
    return Doubled(parser.compile_filter(value), parser.compile_filter(other))


@register.tag
def overriding(parser: Parser, token: Token) -> Node:
    _, value = token.split_contents()
    return Overriding(*[parser.compile_filter(value)] * 2)


def rendered(engine: Engine, source: str, **values: Any) -> str:
    return str(engine.from_string(source).render(Context(values)))


@pytest.mark.parametrize("rows", [[], [Row("a"), Row(""), Row("<&>")], None])
def test_a_list_page_is_rendered_as_by_django(rows: list[Row] | None) -> None:
    assert rendered(ALL, LIST, rows=rows) == rendered(THEIRS, LIST, rows=rows)


def test_what_was_compiled_is_not_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    source = """{% for row in rows reversed %}{% url "list" row.name %}{% url "list" name=row.name %} {{ row.name }}
    {% if row.number %}{{ row.number|add:row.number }} {% endif %}{% endfor %}"""
    template = ALL.from_string(source)
    for node in (ForNode, IfNode, URLNode, VariableNode):
        monkeypatch.setattr(node, "render", None)
    for parsed in (FilterExpression, Variable):
        monkeypatch.setattr(parsed, "resolve", None)
    shown = template.render(Context({"rows": [Row("a"), Row("b")]}))
    assert shown.split() == [
        *("/lists/b//lists/b/", "b", "2469134"),
        *("/lists/a//lists/a/", "a", "2469134"),
    ]


def test_a_loop_is_compiled_once_it_has_shown_enough_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loops, "ENOUGH", 4)
    template = OURS.from_string("{% for row in rows %}{{ row }}{% endfor %}")
    before = loops.Loop.compiled
    compiled = []
    for rows in ("ab", "cd", "", "ef", "gh"):
        assert template.render(Context({"rows": rows})) == rows
        compiled.append(loops.Loop.compiled - before)
    assert compiled == [0, 0, 0, 1, 1]
    assert loops.evidence() == f"{before + 1} loops compiled in this process"


@pytest.mark.parametrize(
    "tag", ["{{ r.fails }}", "{% if r.fails %}{% endif %}", "{% firstof r.fails %}"]
)
@pytest.mark.parametrize("before", ["", "{{ r }}", "{% if r %}{{ r }}{% endif %}"])
@pytest.mark.parametrize("loop", ["{% for r in rows %}", PARENTS])
def test_the_technical_500_page_shows_the_line_that_django_shows(
    loop: str, before: str, tag: str
) -> None:
    ends = "{% endfor %}" * loop.count("for ")
    source = f"<p>\n{loop}\n{before}\n{tag}\n{{{{ r }}}}\n{ends}"
    seen = []
    for builtins in ([], ["djfast.engine.loops"]):
        with pytest.raises(ZeroDivisionError) as error:
            rendered(Engine(builtins=builtins, debug=True), source, rows=[Failing()])
        seen.append(error.value.template_debug)  # type: ignore[attr-defined]
    assert seen[1] == seen[0]


def test_a_loop_can_be_rendered_again_after_an_error() -> None:
    template = OURS.from_string("{% for row in rows %}{% firstof row.fails %}{% endfor %}")
    with pytest.raises(ZeroDivisionError):
        template.render(Context({"rows": [Failing()]}))
    assert template.render(Context({"rows": [{"fails": "not now"}]})) == "not now"


def test_string_if_invalid_is_rendered() -> None:
    engine = Engine(builtins=["djfast.engine.loops"], string_if_invalid="no %s")
    assert rendered(engine, "{% for row in rows %}{{ row.x }}{% endfor %}", rows="a") == "no row.x"


def test_a_context_of_another_class_looks_up_variables_in_its_own_way() -> None:
    class Shouting(Context):
        def __getitem__(self, key: Any) -> Any:
            value = super().__getitem__(key)
            return value.upper() if isinstance(value, str) else value

    template = OURS.from_string("{% for row in rows %}{{ row }}{% endfor %}")
    assert template.render(Shouting({"rows": ["a", "b"]})) == "AB"


def test_a_syntax_error_is_reported_as_by_django() -> None:
    for source in ("{% for row rows %}{% endfor %}", "{% for row in rows %}", "{% endfor %}"):
        with pytest.raises(TemplateSyntaxError) as ours:
            OURS.from_string(source)
        with pytest.raises(TemplateSyntaxError) as theirs:
            THEIRS.from_string(source)
        assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("row", [(1, 2, 3), (1,), 5])
def test_a_row_with_more_or_fewer_values_is_the_error_of_django(row: Any) -> None:
    seen = []
    for one in (OURS, THEIRS):
        with pytest.raises(ValueError, match="Need 2 values to unpack") as error:
            rendered(one, "{% for a, b in rows %}{% endfor %}", rows=[row])
        seen.append(str(error.value))
    assert seen[0] == seen[1]


def test_nodes_can_be_rendered_without_a_template() -> None:
    nodes = OURS.from_string("{% for row in rows %}{{ row }}{% endfor %}").nodelist
    assert nodes.render(Context({"rows": "ab"})) == "ab"


def test_a_url_without_an_argument_is_the_error_of_django() -> None:
    source = "{% for row in 'a' %}{% url 'list' row.nothing %}{% endfor %}"
    seen = []
    for engine in (OURS, ALL, THEIRS):
        with pytest.raises(NoReverseMatch) as error:
            rendered(engine, source)
        seen.append(str(error.value))
    assert seen[0] == seen[1] == seen[2]


def test_a_traceback_names_the_template_of_the_loop() -> None:
    source, origin = "{% for row in rows %}{{ row.fails }}{% endfor %}", Origin("shop/list.html")
    with pytest.raises(ZeroDivisionError) as error:
        Template(source, origin, engine=OURS).render(Context({"rows": [Failing()]}))
    assert any("<loop in shop/list.html>" in str(entry.path) for entry in error.traceback)


def test_what_a_tag_pushes_is_visible_to_the_following_tags() -> None:
    inner = "{% for row in 'x' %}{% leaves %}{{ row }}{% endfor %}"
    source = f"{{% for row in 'ab' %}}{inner}{{{{ row }}}}{{% leaves %}}{{{{ row }}}}{{% endfor %}}"
    theirs, ours = rendered(THEIRS, source), rendered(OURS, source)
    assert ours == theirs
    assert "left" in ours


def test_the_arguments_of_a_url_are_evaluated_in_djangos_order() -> None:
    calls: list[str] = []
    names = ("key", "name", "named", "value")
    row = {name: lambda name=name: calls.append(name) for name in names}
    tag = "{% url row.name row.value row.key as x %}{% url row.name a=row.named as x %}"
    source = f"{{% for row in rows %}}{tag}{{% endfor %}}"
    for engine in (THEIRS, ALL):
        rendered(engine, source, rows=[row])
    assert calls == ["value", "key", "name", "named", "name"] * 2


def test_a_loop_inside_a_custom_tag_is_a_loop() -> None:
    source = "{% for x in 'xy' %}{% loop row in rows %}{{ row }}{% endfor %}{% endfor %}"
    assert rendered(OURS, source, rows="ab") == "[ab][ab]"


def test_a_node_of_the_protocol_gets_the_values_of_its_expressions() -> None:
    source = "{% for x in rows %}{% doubled x|upper nothing.at.all %}{% overriding x %}{% endfor %}"
    assert rendered(OURS, source, rows="a") == "('A',) {'class': ''}own"


@pytest.mark.parametrize("source", ["{{ row.nothing }}", "{% if row.nothing %}{% endif %}"])
def test_a_missing_variable_leaves_no_reference_cycle(source: str) -> None:
    template = OURS.from_string(f"{{% for row in rows %}}{source}{{% endfor %}}")
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
