"""A compiled loop shows, raises, calls and leaves behind what Django's does, whatever it is given.

Run in a generated project with `--with hypothesis`.
"""

import logging
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.template import Context, Engine, Library
from django.test import override_settings
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.safestring import mark_safe
from hypothesis import event, given, settings
from hypothesis import strategies as st

from speed import loops

LIBRARIES = {"odd": "test_loops"}  # this file, for its filter
register = Library()
THEIRS = Engine(libraries=LIBRARIES, builtins=["test_loops"])
OURS = Engine(libraries=LIBRARIES, builtins=["test_loops", "speed.loops"])
loops.ENOUGH = 0  # rows: compile each loop when it is first run


@register.filter
def fails(value: object, argument: object = None) -> object:
    """A filter for which some values are too much."""
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
    """A tag that pushes what it does not pop."""
    context.push({"a": "left <b>", "x": "left <x>"})
    return "left"


class Colour(models.TextChoices):
    RED = "r", "Red <"


class Subscripted:
    """A class with an item of its own, which Django does not take for one."""

    do_not_call_in_templates = True
    a = "<attribute>"

    def __class_getitem__(cls, key: object) -> str:
        return "<subscript>"


class Plain(Enum):
    a = "x"


class Text(str):
    """A string with an own look."""

    __slots__ = ()

    def __str__(self) -> str:
        return "<own>"


class Odd:
    """Whatever may be met behind a dot; notes down what was asked for."""

    c = "class <"
    fi = "<what Python makes of the ligature>"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.b = {"a": "<in b>", "items": 3, "b": [1, "<2>"]}

    def note(self, name: str) -> None:
        self.asked.append(name)

    @property
    def a(self) -> int:
        self.note("a")
        return len(self.asked)

    @property
    def attribute(self) -> str:
        self.note("attribute")
        raise AttributeError("inside")

    @property
    def wrong(self) -> str:
        self.note("wrong")
        raise TypeError("inside")

    @property
    def silent(self) -> str:
        self.note("silent")
        raise ObjectDoesNotExist("silent")

    def __getattr__(self, name: str) -> Any:
        if name == "unknown":
            raise TypeError("unknown")
        raise AttributeError(name)

    def method(self) -> "Odd":
        self.note("method")
        return self

    def needs(self, argument: str) -> str:
        self.note("needs")
        return argument

    def fails(self) -> str:
        self.note("fails")
        raise TypeError("in the call")

    def missing(self) -> str:
        self.note("missing")
        raise ObjectDoesNotExist("missing")

    def delete(self) -> str:
        self.note("delete")
        return "deleted"

    delete.alters_data = True  # type: ignore[attr-defined]

    def kept(self) -> str:
        self.note("kept")
        return "called"

    kept.do_not_call_in_templates = True  # type: ignore[attr-defined]

    def items(self) -> list[tuple[int, str]]:
        self.note("items")
        return [(1, "<x>"), (2, "y")]

    def stream(self) -> Any:
        self.note("stream")
        return iter(["<p>", 7])

    def __str__(self) -> str:
        return f"<odd {len(self.asked)}>"


class Keyed(Odd):
    """The same, with keys."""

    def __getitem__(self, key: object) -> str:
        self.note(f"[{key!r}]")
        if key == "a":
            return "<key a>"
        if key == 0:
            return "<zero>"
        raise (ValueError if key == "b" else KeyError)(key)


def value(kind: str) -> Any:
    """Make a new value for each side."""
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
    *("a", "b", "c", "items", "method", "needs", "fails", "missing", "delete", "kept"),
    *("attribute", "wrong", "silent", "unknown", "stream", "asked", "nothing", "0", "1", "9"),
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
    """Put templates into blocks."""
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


class Heard(logging.Handler):
    """Keeps what the templates' logger says."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def outcome(engine: Engine, source: str, kinds: dict[str, str], **options: Any) -> object:
    """Return what is shown or raised, what was asked of the values, and what is left behind."""
    values = {name: value(kind) for name, kind in kinds.items()}
    context = Context(values, **options)
    logger, heard = logging.getLogger("django.template"), Heard()
    level = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    try:
        shown: object = without_addresses(engine.from_string(source).render(context))
    except Exception as error:
        shown = type(error), without_addresses(str(error))
    finally:
        logger.removeHandler(heard)
        logger.setLevel(level)
    asked = {name: getattr(one, "asked", None) for name, one in values.items()}
    return shown, asked, heard.messages, len(context.dicts)


def without_addresses(text: str) -> str:
    """Objects are not the same ones on both sides."""
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
def test_a_loop_does_what_djangos_does(
    inner: str, kinds: dict[str, str], rows: str, escaped: bool, local: bool | None, grouped: bool
) -> None:
    source = f"{{% for x in rows %}}{inner}{{% endfor %}}after {{{{ x }}}}{{{{ a }}}}"
    given = {**kinds, "rows": rows}
    options = {"autoescape": escaped, "use_l10n": local, "use_tz": local}
    with override_settings(USE_THOUSAND_SEPARATOR=grouped), timezone.override("Asia/Tokyo"):
        theirs = outcome(THEIRS, source, given, **options)
        event("raised" if isinstance(theirs[0], tuple) else "shown")  # type: ignore[index]
        assert outcome(OURS, source, given, **options) == theirs


def same(source: str, kind: str, **options: Any) -> None:
    """Compare what both make of a piece of template, in a loop of one row."""
    given = {"a": kind, "b": "rows", "rows": "text"}
    loop = f"{{% for x in rows %}}{source}{{% endfor %}}"
    assert outcome(OURS, loop, given, **options) == outcome(THEIRS, loop, given, **options)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_shown_as_by_django(kind: str, grouped: bool) -> None:
    with override_settings(USE_THOUSAND_SEPARATOR=grouped), timezone.override("Asia/Tokyo"):
        for escaped, local in ((True, None), (False, None), (True, True), (True, False)):
            same("{{ a }}", kind, autoescape=escaped, use_tz=local, use_l10n=local)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_follows_a_dot_is_what_django_finds(kind: str) -> None:
    for bit in BITS:
        for piece in (
            f"{{{{ a.{bit} }}}}",
            f"{{{{ a.{bit}.a }}}}",
            f"{{% if a.{bit} %}}y{{% endif %}}",
        ):
            same(piece, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_filter_is_given_what_django_gives(kind: str) -> None:
    with timezone.override("Asia/Tokyo"):
        for filters in [*FILTERS, *(f"{one}|{FILTERS[0]}" for one in FILTERS)]:
            for escaped, local in ((True, None), (False, None), (True, True), (True, False)):
                options = {"autoescape": escaped, "use_tz": local, "use_l10n": local}
                same(f"{{{{ a|{filters} }}}}", kind, **options)
            same(f"{{% if a|{filters} %}}yes{{% else %}}no{{% endif %}}", kind)
            same(f"{{% for y in a|{filters} %}}{{{{ y }}}}{{% endfor %}}", kind)


@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_constant_is_what_it_is_to_django(constant: str) -> None:
    for filters in ["", *(f"|{one}" for one in FILTERS)]:
        same(f"{{{{ {constant}{filters} }}}}{{{{ nothing|default:{constant} }}}}", "text")


def test_all_that_is_tried_here_is_compiled() -> None:
    before = loops.Loop.compiled
    OURS.from_string("{% for x in a %}{% for y in x %}{{ y }}{% endfor %}{% endfor %}").render(
        Context({"a": ["ab"]})
    )
    assert loops.Loop.compiled == before + 2


def test_a_deep_or_long_if_is_compiled_as_far_as_python_goes() -> None:
    deep = "{% if x %}" * 120 + "{{ x }}" + "{% endif %}" * 120
    long = "{% if nothing %}" + "{% elif nothing %}" * 120 + "{% else %}{{ x }}{% endif %}"
    for inner in (deep, long):
        loop = f"{{% for x in rows %}}{inner}{{% endfor %}}"
        assert OURS.from_string(loop).render(Context({"rows": "ab"})) == "ab"
