"""Rows kept one by one: what is there is neither fetched nor rendered."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.cache import caches
from django.core.paginator import Paginator
from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.template import Context, Engine, TemplateSyntaxError
from django.test import override_settings
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries

from speed import fragments

pytestmark = pytest.mark.django_db

PARTS = {"part.html": "[{{ group.name }}]"}
LOADERS = [("django.template.loaders.locmem.Loader", PARTS)]
ENGINE = Engine(builtins=["django.templatetags.cache", "speed.fragments"], loaders=LOADERS)
HEAD = '{% cache_each 60 "row" group in groups by "name" %}'
TAIL = "{% endcache_each %}"
ROW = (
    "<li>{{ group.name }} {% for one in group.permissions.all %}{{ one.codename }}{% endfor %}</li>"
)
KEPT = settings.CACHES["default"] | {
    "KEY_PREFIX": settings.CACHES["default"]["KEY_PREFIX"] + "-fragments"  # of this process alone
}


@pytest.fixture(autouse=True)
def groups() -> Iterator[None]:
    """Three groups with a permission each, and a cache to keep their rows."""
    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: KEPT}):
        caches[fragments.ALIAS].clear()
        for name in ("a & b", "c", "d"):
            one = Group.objects.create(name=name)
            one.permissions.add(
                Permission.objects.create(name=name, codename=name[0], content_type_id=1)
            )
        yield
        caches[fragments.ALIAS].clear()


def lazy() -> QuerySet[Group]:
    return Group.objects.order_by("name").prefetch_related("permissions")


def shown(groups: Any, row: str = ROW, head: str = HEAD, **context: Any) -> str:
    page = ENGINE.from_string(head + row + TAIL)
    return page.render(Context({"groups": groups, **context}))


def looped(groups: Any, row: str = ROW) -> str:
    page = ENGINE.from_string("{% for group in groups %}" + row + "{% endfor %}")
    return page.render(Context({"groups": groups}))


def test_a_list_that_is_kept_costs_one_slim_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    first = shown(lazy())
    assert first == looped(lazy()) == "<li>a &amp; b a</li><li>c c</li><li>d d</li>"
    with django_assert_num_queries(1) as captured:
        assert shown(lazy()) == first
    assert "permission" not in captured.captured_queries[0]["sql"]


def test_only_a_row_that_has_changed_is_fetched(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    shown(lazy())
    changed = Group.objects.get(name="c")
    Group.objects.filter(pk=changed.pk).update(name="e")
    with django_assert_num_queries(3) as captured:  # the slim one, the row, what it prefetches
        assert shown(lazy()) == "<li>a &amp; b a</li><li>d d</li><li>e c</li>"
    assert f"IN ({changed.pk})" in captured.captured_queries[1]["sql"]


def test_a_row_that_was_deleted_or_moved_needs_no_other_row_made(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    shown(lazy())
    Group.objects.get(name="c").delete()
    with django_assert_num_queries(1):
        assert shown(lazy().reverse()) == "<li>d d</li><li>a &amp; b a</li>"


@pytest.mark.parametrize(
    "make",
    [
        lambda: lazy()[1:2],
        lambda: lazy()[:2],
        lambda: [*lazy()][1:],
        lambda: Group.objects.none(),
        lambda: Paginator(lazy(), 2).page(2),
        lambda: Paginator(lazy(), 2).page(1).object_list,
        lambda: lazy().annotate(place=Count("permissions")).filter(place=1),
        lambda: lazy().annotate(place=Window(RowNumber(), order_by=F("name").desc())),
        lambda: (
            Group.objects.filter(name="d").union(Group.objects.filter(name="c")).order_by("name")
        ),
        lambda: [Group.objects.get(name="d")] * 2,
        lambda: None,
        lambda: "",
    ],
)
def test_rows_are_those_of_a_loop(make: Any) -> None:
    annotated = "place" in getattr(getattr(make(), "query", None), "annotations", {})
    head = HEAD.replace('"name"', '"name, place"') if annotated else HEAD
    for row in (ROW, "{{ group.name }} {{ group.place }};"):
        for _ in range(2):
            assert shown(make(), row, head) == looped(make(), row)
            Group.objects.create(name=f"new {Group.objects.count()}")


def test_the_cache_tag_spares_a_queryset_its_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    source = (
        "{% cache 60 all %}{% for group in groups %}{{ group.name }} {% endfor %}{% endcache %}"
    )
    page = ENGINE.from_string(source)
    for queries in (1, 0):
        with django_assert_num_queries(queries):
            groups = Group.objects.order_by("name")
            assert page.render(Context({"groups": groups})) == "a &amp; b c d "


def test_development_keeps_nothing_and_fetches_all_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with (
        override_settings(CACHES=settings.CACHES | {fragments.ALIAS: dummy}),
        django_assert_num_queries(4),
    ):
        assert shown(lazy()) == shown(lazy()) == "<li>a &amp; b a</li><li>c c</li><li>d d</li>"


def test_a_row_is_another_one_where_anything_named_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row, vary = "{{ group.name }} {{ visitor }};", HEAD.replace(" %}", " visitor %}")
    for visitor in ("1", 1, None, "None", "x", Group(pk=1, name="x"), Group(pk=2, name="x")):
        html = shown(lazy()[:1], row, vary, visitor=visitor)
        assert html == f"a &amp; b {visitor};"
    assert shown(lazy()[:1], "{{ group.name }}") == "a &amp; b"
    assert shown(lazy()[:1], "group.name") == "group.name"
    escaping = ENGINE.from_string(
        "{% autoescape off %}" + HEAD + ROW + TAIL + "{% endautoescape %}"
    )
    assert "a & b" in escaping.render(Context({"groups": lazy()}))
    assert "a &amp; b" in shown(lazy())
    part = "{% include 'part.html' %}"
    assert shown(lazy()[:1], part) == "[a &amp; b]"
    monkeypatch.setitem(PARTS, "part.html", "({{ group.name }})")
    assert shown(lazy()[:1], part) == "[a &amp; b]"
    monkeypatch.setattr(fragments, "build", lambda: "next release")
    assert shown(lazy()[:1], part) == "(a &amp; b)"


def test_language_and_time_zone_have_rows_of_their_own() -> None:
    names = {fragments.key("row")}
    with override_settings(USE_I18N=True), translation.override("de"):
        names.add(fragments.key("row"))
    with timezone.override("Asia/Tokyo"):
        names.add(fragments.key("row"))
    assert len(names) == 3


def test_an_empty_list_shows_what_stands_after_empty() -> None:
    row = "{{ group.name }};{% empty %}nothing"
    assert shown(lazy(), row) == "a &amp; b;c;d;"
    assert shown(Group.objects.none(), row) == "nothing"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{% cache_each 60 group in groups %}{% endcache_each %}", "is written as: cache_each 600"),
        (HEAD + "{% cycle 'a' 'b' %}" + TAIL, "any visitor and place"),
        (HEAD + "{% csrf_token %}" + TAIL, "any visitor and place"),
        (HEAD + "{% if forloop.first %}{% endif %}" + TAIL, "has no forloop"),
        (HEAD + "{% ifchanged group.name %}{% endifchanged %}" + TAIL, "has no forloop"),
        (HEAD.replace("60", "'60'") + TAIL, "takes seconds"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_reason(source: str, says: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=says):
        ENGINE.from_string("{% for one in groups %}" + source + "{% endfor %}").render(
            Context({"groups": lazy()})
        )


@pytest.mark.parametrize(
    ("rows", "head", "says"),
    [
        (lambda: Group.objects.values("pk"), HEAD, "leave out values"),
        (lambda: [{"pk": 1, "name": "a"}], HEAD, "dict has no 'pk'"),
        (lambda: [*lazy()], HEAD.replace('"name"', '"changed"'), "Group has no 'changed'"),
        (lazy, HEAD.replace('"name"', '""'), "Name, in quotes, the field"),
    ],
)
def test_rows_that_cannot_be_told_apart_are_refused(rows: Any, head: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        shown(rows(), ROW, head)
