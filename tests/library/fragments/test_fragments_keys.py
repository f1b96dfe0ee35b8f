"""Keys of fragments, the context of a row, and errors."""

import datetime
import threading
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import FieldError
from django.db import connection
from django.template import Context, TemplateSyntaxError
from django.test import override_settings
from django.urls import set_script_prefix, set_urlconf
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy
from djfast.cache import fragments
from fragments_site import CACHE, ENGINE, TEMPLATES, base, fill
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

pytestmark = pytest.mark.django_db


LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False), st.characters()
)
PART = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@limits(max_examples=500)
@given(st.lists(PART, max_size=4), st.lists(PART, max_size=4))
def test_two_lists_of_parts_have_the_same_key_only_if_they_are_equal(
    one: list[Any], two: list[Any]
) -> None:
    assert (fragments.key(*one) == fragments.key(*two)) == same(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("a", "b"), ("a:b",)),
        (("a", "b"), ("ab",)),
        (("a", ""), ("a",)),
        (('a", "b',), ("a", "b")),
        ((1,), ("1",)),
        ((None,), ("None",)),
        ((True,), (1,)),
        ((["a"], "b"), (["a", "b"],)),
        ((Group(pk=1, name="x"),), (Group(pk=2, name="x"),)),
        ((Group(pk=1, name="x"),), ("x",)),
        ((Group(pk=1, name="x"),), (Permission(pk=1, name="x"),)),
    ],
)
def test_parts_that_differ_give_keys_that_differ(one: Any, two: Any) -> None:
    assert fragments.key(*one) != fragments.key(*two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a", SafeString("a")),
        ("a", gettext_lazy("a")),
        (Group(pk=1, name="x"), SimpleLazyObject(lambda: Group(pk=1, name="y"))),
        (datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (Decimal("1.50"), Decimal("1.50")),
        ("\ud800", "\ud800"),
    ],
)
def test_parts_that_mean_the_same_have_the_same_key(one: Any, two: Any) -> None:
    assert fragments.key(one) == fragments.key(two)


def test_keys_differ_by_release_language_time_zone_and_urlconf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {fragments.key()}
    set_script_prefix("/shop/")
    names.add(fragments.key())
    set_script_prefix("/")
    set_urlconf("config.urls")
    names.add(fragments.key())
    set_urlconf(None)
    with override_settings(USE_I18N=True), translation.override("de"):
        names.add(fragments.key())
    with timezone.override("Asia/Tokyo"):
        names.add(fragments.key())
    monkeypatch.setattr(fragments, "build", lambda: "next")
    names.add(fragments.key())
    assert len(names) == 6


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{{ one.name }}", "one.name"),
        ("{{ one.name }}", "{{ one.name }} "),
        ("{% if one.name %}a{% endif %}", "{% if one.pk %}a{% endif %}"),
        ("{% include 'a' %}", "{% include 'b' %}"),
    ],
)
def test_an_edited_template_has_other_rows(one: str, two: str) -> None:
    fill(1)
    TEMPLATES.update(a="A", b="B")
    head, tail = '{% cache_each 60 row one in rows by "name" %}', "{% endcache_each %}"
    for row in (one, two):
        plain = ENGINE.from_string("{% for one in rows %}" + row + "{% endfor %}")
        template = ENGINE.from_string(head + row + tail)
        assert template.render(Context({"rows": base()})) == plain.render(Context({"rows": base()}))


def test_an_included_template_is_rendered_again_after_a_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(1)
    TEMPLATES["part.html"] = "[{{ one.name }}]"
    template = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "name" %}{% include "part.html" %}{% endcache_each %}'
    )
    assert template.render(Context({"rows": base()})) == "[p000]"
    monkeypatch.setitem(TEMPLATES, "part.html", "({{ one.name }})")
    assert template.render(Context({"rows": base()})) == "[p000]"
    monkeypatch.setattr(fragments, "build", lambda: "next")
    assert template.render(Context({"rows": base()})) == "(p000)"


def test_a_row_depends_on_the_named_values_and_on_autoescape() -> None:
    fill(1)
    base().update(name="p0 & b")
    for who in ("1", 1, None, "None", "x", Group(pk=1, name="x"), Group(pk=2, name="x")):
        template = ENGINE.from_string(
            '{% cache_each 60 row one in rows by "name" who %}{{ who }}{% endcache_each %}'
        )
        assert template.render(Context({"rows": base(), "who": who})) == str(who)
    row = '{% cache_each 60 row one in rows by "name" %}{{ one.name }}{% endcache_each %}'
    source = row + "{% autoescape off %}" + row + "{% endautoescape %}"
    assert ENGINE.from_string(source).render(Context({"rows": base()})) == "p0 &amp; bp0 & b"


# The context of a row ---------------------------------------------------------------------------


def test_a_row_can_use_the_context_and_does_not_change_it() -> None:
    fill(2)
    template = ENGINE.from_string(
        "{% for outer in 'x' %}"
        '{% cache_each 60 row one in rows by "name" %}{{ one.name }}{{ shown }}'
        "{% for i in 'ab' %}{{ forloop.counter }}{% endfor %};{% endcache_each %}"
        "{{ one }}{{ forloop.counter }}{% endfor %}"
    )
    for _ in range(2):
        context = Context(
            {"rows": base().order_by("name"), "shown": mark_safe("&"), "one": "outside"}
        )
        assert template.render(context) == "p000&12;p001&12;outside1"


@pytest.mark.parametrize(
    "row",
    [
        "{{ forloop.counter }}",
        "{{ forloop }}",
        "{% if forloop.last %}{% endif %}",
        "{% for i in 'a' %}{{ forloop.parentloop.counter }}{% endfor %}",
        "{% ifchanged %}a{% endifchanged %}",
        "{% ifchanged one.name %}a{% endifchanged %}",
        "{% cycle 'a' 'b' %}",
        "{% for i in 'a' %}{% cycle 'a' 'b' %}{% endfor %}",
        "{% if 0 %}{% csrf_token %}{% endif %}",
    ],
)
def test_a_row_with_its_position_or_a_token_is_refused(row: str) -> None:
    fill(1)
    page = '{% cache_each 60 row one in rows by "name" %}' + row + "{% endcache_each %}"
    with pytest.raises(TemplateSyntaxError, match="any position"):
        ENGINE.from_string(page).render(Context({"rows": base()}))


@pytest.mark.parametrize(
    "tag",
    [
        "cache_each",
        "cache_each 60",
        "cache_each 60 row one in rows",
        "cache_each 60 row one of rows by 'name'",
        "cache_each 60 row one in rows with 'name'",
        "cache_each 60 row one.two in rows by 'name'",
        "cache_each 60 row one, two in rows by 'name'",
    ],
)
def test_a_malformed_tag_raises_an_error_with_an_example(tag: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="is written as: cache_each 600"):
        ENGINE.from_string("{% " + tag + " %}{% endcache_each %}")


@pytest.mark.parametrize("tag", ["", "{% empty %}", "{% empty %}{% empty %}{% endcache_each %}"])
def test_a_tag_that_is_not_closed_is_an_error(tag: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        ENGINE.from_string('{% cache_each 60 row one in rows by "name" %}' + tag)


@pytest.mark.parametrize("dummy", [False, True])
def test_a_field_that_does_not_exist_is_an_error_in_development_too(dummy: bool) -> None:
    fill(1)
    off = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    page = ENGINE.from_string('{% cache_each 60 row one in rows by "x" %}{% endcache_each %}')
    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: off if dummy else CACHE}):
        with pytest.raises(FieldError, match="Choices are"):
            page.render(Context({"rows": base()}))
        with pytest.raises(ValueError, match="Permission has no field 'x'"):
            page.render(Context({"rows": list(base())}))


def test_a_row_that_fails_does_not_affect_others() -> None:
    fill(3)
    page = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "name" %}{{ one.fail }}{% endcache_each %}'
    )

    def fail(self: Any) -> str:
        if self.name == "p001":
            raise RuntimeError(self.name)
        return self.name

    Permission.fail = fail  # type: ignore[attr-defined]
    try:
        with pytest.raises(RuntimeError, match="p001"):
            page.render(Context({"rows": base().order_by("name")}))
        Permission.fail = lambda self: self.name  # type: ignore[attr-defined]
        assert page.render(Context({"rows": base().order_by("name")})) == "p000p001p002"
    finally:
        del Permission.fail  # type: ignore[attr-defined]


def test_threads_can_render_one_template_at_the_same_time() -> None:
    rows = [Permission(pk=n, name=f"p{n}") for n in range(30)]
    page = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "name" who %}{{ one.name }}{{ who }};{% endcache_each %}'
    )
    wrong: list[str] = []
    local = {"BACKEND": f"{LocMemCache.__module__}.LocMemCache"}

    def work(who: int) -> None:
        for number in range(40):
            some = rows[number % 7 :: 3]
            html = page.render(Context({"rows": some, "who": who}))
            if html != "".join(f"{one.name}{who};" for one in some):
                wrong.append(html)

    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: local}):
        threads = [threading.Thread(target=work, args=[who % 3]) for who in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    connection.close_if_unusable_or_obsolete()


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (lambda: base().values("pk"), "'name'", "leave out values"),
        (lambda: [{"pk": 1, "name": "a"}], "'name'", "dict has no field 'pk'"),
        (base, "''", "Write the field that changes"),
    ],
)
def test_rows_without_a_version_are_an_error(rows: Any, head: str, words: str) -> None:
    template = ENGINE.from_string(
        "{% cache_each 60 row one in rows by " + head + " %}{% endcache_each %}"
    )
    with pytest.raises(ValueError, match=words):
        template.render(Context({"rows": rows()}))


@pytest.mark.parametrize("arguments", ["'60' row one in rows by 'name'", "60 row one in rows by 1"])
def test_a_timeout_or_version_of_the_wrong_type_is_an_error(arguments: str) -> None:
    template = ENGINE.from_string("{% cache_each " + arguments + " %}{% endcache_each %}")
    with pytest.raises(TemplateSyntaxError, match="takes seconds"):
        template.render(Context({"rows": base()}))
