"""Cached rows: their HTML against that of a plain loop, and their queries."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.cache import caches
from django.core.paginator import Paginator
from django.db.models import Count, Window
from django.db.models.functions import RowNumber
from django.template import Context
from django.test import override_settings
from djfast.cache import fragments
from fragments_site import CACHE, ENGINE, LOOP, SHAPES, base, fill, queries, render
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as Lost

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("shape", SHAPES)
def test_html_equals_that_of_the_loop(shape: str) -> None:
    fill(14)
    make = SHAPES[shape]
    for step in range(4):
        looped = LOOP.render(Context({"rows": make(base())}))
        for _ in range(2):
            assert render(make(base())) == looped
        one = base().order_by("name")[step + 1]
        if step == 2:
            one.delete()
        else:
            Permission.objects.filter(pk=one.pk).update(name=f"{one.name}!<b>")


@limits(max_examples=40)
@given(st.data())
def test_html_equals_that_of_the_loop_after_arbitrary_changes(data: Any) -> None:
    if not Group.objects.exists():
        fill(6)
    order, low, size = data.draw(
        st.tuples(
            st.sampled_from(["name", "-name", "codename"]), st.integers(0, 4), st.integers(0, 5)
        )
    )
    change, which = data.draw(
        st.tuples(st.sampled_from(["rename", "delete", "add", ""]), st.integers(0, 5))
    )
    pks = list(base().values_list("pk", flat=True))
    number = data.draw(st.integers(0, 10**9))
    if change == "rename" and pks:
        Permission.objects.filter(pk=pks[which % len(pks)]).update(name=f"p0 {number}")
    elif change == "delete" and pks:
        Permission.objects.filter(pk=pks[which % len(pks)]).delete()
    elif change == "add":
        Permission.objects.get_or_create(
            codename=str(number),
            content_type=ContentType.objects.first(),
            defaults={"name": f"p0 {number}"},
        )
    rows = base().order_by(order)[low : low + size]
    assert render(rows.all()) == LOOP.render(Context({"rows": rows.all()}))


# Queries ----------------------------------------------------------------------------------------


def test_fifty_cached_rows_need_one_slim_query_and_one_round_trip(
    cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(50)
    render(base().order_by("name"))
    trips: list[str] = []
    redis = type(cache.client.get_client())
    real = redis.execute_command
    monkeypatch.setattr(
        redis,
        "execute_command",
        lambda self, *args, **kwargs: trips.append(args[0]) or real(self, *args, **kwargs),
    )
    html, sql = queries(lambda: render(base().order_by("name")))
    assert len(sql) == 1
    assert "codename" not in sql[0]
    assert trips == ["MGET"]
    assert html.count("<li>") == 50


def test_only_missing_rows_are_fetched_with_what_they_prefetch_and_select() -> None:
    fill(20)
    rows = base().select_related("content_type").order_by("name")
    render(rows.all()[:10])
    html, sql = queries(lambda: render(rows.all()[5:15]))
    assert len(sql) == 3  # slim, rows, groups
    assert "django_content_type" in sql[1]
    assert "LIMIT" not in sql[1]
    assert sql[1].split("IN (")[1].count(",") == 4  # five keys
    assert html == LOOP.render(Context({"rows": rows.all()[5:15]}))


def test_an_evaluated_list_needs_no_query() -> None:
    fill(5)
    rows = base().order_by("name")
    list(rows)
    for _ in range(2):
        _, sql = queries(lambda: render(rows))
        assert sql == []


def test_an_aggregate_of_a_row_is_that_in_the_whole_list() -> None:
    fill(8)
    rows = base().annotate(n=Count("group")).order_by("name")
    page = '{% cache_each 60 row one in rows by "n, name" %}{{ one.name }}={{ one.n }};{% endcache_each %}'
    template = ENGINE.from_string(page)
    first = template.render(Context({"rows": rows.all()}))
    assert first == "".join(f"p{n:03}={n % 4};" for n in range(8))
    Permission.objects.get(name="p004").group_set.add(Group.objects.get(name="group 2"))
    _, sql = queries(lambda: template.render(Context({"rows": rows.all()})))
    assert len(sql) == 3
    assert "p004=1;" in template.render(Context({"rows": rows.all()}))


def test_a_row_number_is_that_in_the_whole_list() -> None:
    fill(4)
    rows = base().annotate(n=Window(RowNumber(), order_by="name")).order_by("name")
    page = '{% cache_each 60 row one in rows by "name" %}{{ one.name }}={{ one.n }};{% endcache_each %}'
    template = ENGINE.from_string(page)
    for last in ("p003", "p003!"):
        base().filter(name="p003").update(name=last)  # fetched alone, it would be the first
        shown = template.render(Context({"rows": rows.all()}))
        assert shown == f"p000=1;p001=2;p002=3;{last}=4;"


@pytest.mark.parametrize("make", [lambda rows: rows, list])
def test_rows_of_two_models_with_the_same_primary_key_are_distinct(make: Any) -> None:
    fill(1)
    Group.objects.filter(pk=base()[0].pk).delete()
    Group.objects.create(pk=base()[0].pk, name="group")
    template = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "pk" %}{{ one.name }}{% endcache_each %}'
    )
    for rows, name in ((base(), "p000"), (Group.objects.filter(name="group"), "group")):
        assert template.render(Context({"rows": make(rows)})) == name


def test_an_object_without_a_primary_key_is_not_cached() -> None:
    template = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "name" %}{{ one.codename }}{% endcache_each %}'
    )
    for code in ("a", "b"):
        assert template.render(Context({"rows": [Permission(name="new", codename=code)]})) == code


def test_a_cached_page_of_a_paginator_is_not_fetched() -> None:
    fill(5)
    for _ in range(2):
        page = Paginator(base().order_by("name"), 3).page(1)
        html, sql = queries(lambda page=page: render(page))  # type: ignore[misc]
    assert html.count("<li>") == 3
    assert len(sql) == 1
    assert "codename" not in sql[0]


def test_a_version_may_be_a_field_of_a_related_object() -> None:
    fill(3)
    page = (
        '{% cache_each 60 row one in rows by "name, content_type__model" %}'
        "{{ one.content_type.model }};{% endcache_each %}"
    )
    template = ENGINE.from_string(page)
    for rows in (lambda: base().order_by("name"), lambda: list(base().order_by("name"))):
        before = template.render(Context({"rows": rows()}))
        ContentType.objects.filter(pk=base()[0].content_type_id).update(model="other")
        ContentType.objects.clear_cache()
        after = template.render(Context({"rows": rows()}))
        assert after == "other;" * 3
        ContentType.objects.filter(model="other").update(model=before.split(";")[0])


def test_a_row_that_changes_during_the_queries_is_not_served_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(3)
    real = fragments.caches[fragments.ALIAS].get_many
    changed: list[int] = []

    def change(names: Any) -> Any:
        if not changed:
            changed.append(base().filter(name="p001").update(name="p0new"))
        return real(names)

    monkeypatch.setattr(fragments.caches[fragments.ALIAS], "get_many", change)
    assert "p0new" in render(base().order_by("name"))
    monkeypatch.undo()
    assert render(base().order_by("name")) == LOOP.render(
        Context({"rows": base().order_by("name")})
    )


def test_a_row_that_is_deleted_during_the_queries_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(3)
    real = fragments.caches[fragments.ALIAS].get_many

    def delete(names: Any) -> Any:
        Permission.objects.filter(name="p001").delete()
        return real(names)

    monkeypatch.setattr(fragments.caches[fragments.ALIAS], "get_many", delete)
    assert render(base().order_by("name")).count("<li>") == 2


def test_without_redis_every_row_is_rendered(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    fill(4)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Lost("cut")

    from redis.client import Pipeline, Redis

    monkeypatch.setattr(Redis, "execute_command", fail)
    monkeypatch.setattr(Pipeline, "execute", fail)
    rows = base().order_by("name")
    assert render(rows.all()) == LOOP.render(Context({"rows": rows.all()}))


def test_without_an_alias_for_fragments_the_default_is_used_as_by_the_cache_tag() -> None:
    fill(2)
    rest = {alias: it for alias, it in settings.CACHES.items() if alias != fragments.ALIAS}
    with override_settings(CACHES=rest):
        render(base().order_by("name"))
        assert fragments.fragment_cache() is caches["default"]
        _, sql = queries(lambda: render(base().order_by("name")))
        assert len(sql) == 1
        caches["default"].clear()


def test_rows_have_the_given_timeout(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    fill(2)
    render(base())
    redis = cache.client.get_client()
    names = list(redis.scan_iter(match=f"{CACHE['KEY_PREFIX']}*"))
    assert len(names) == 2
    assert all(0 < redis.ttl(name) <= 60 for name in names)
    ENGINE.from_string(
        '{% cache_each None "no timeout" one in rows by "name" %}{{ one }}{% endcache_each %}'
    ).render(Context({"rows": base()}))
    (without_timeout, _) = set(redis.scan_iter(match=f"{CACHE['KEY_PREFIX']}*")) - set(names)
    assert redis.ttl(without_timeout) == -1


def test_rows_are_stored_as_plain_text(cache: Any) -> None:
    """Not as an object of Django or Jinja2, which a later release would have to unpickle."""
    fill(1)
    render(base())
    redis = cache.client.get_client()
    (name,) = redis.scan_iter(match=f"{CACHE['KEY_PREFIX']}*")
    assert b"django" not in redis.get(name)


def test_a_deleted_or_moved_row_renders_no_other() -> None:
    fill(4)
    render(base().order_by("name"))
    base().filter(name="p001").delete()
    html, sql = queries(lambda: render(base().order_by("-name")))
    assert len(sql) == 1
    assert html == LOOP.render(Context({"rows": base().order_by("-name")}))


def test_the_cache_tag_saves_an_unevaluated_queryset_its_query() -> None:
    fill(3)
    template = ENGINE.from_string(
        "{% cache 60 all %}{% for one in rows %}{{ one.name }} {% endfor %}{% endcache %}"
    )
    for number in (2, 0):  # the rows, and what they prefetch
        rows = base().order_by("name")
        html, sql = queries(lambda rows=rows: template.render(Context({"rows": rows})))  # type: ignore[misc]
        assert html == "p000 p001 p002 "
        assert len(sql) == number


def test_with_a_dummy_cache_all_rows_are_fetched_at_once() -> None:
    fill(4)
    rows = base().order_by("name")
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: dummy}):
        for _ in range(2):
            html, sql = queries(lambda: render(rows.all()))
            assert html == LOOP.render(Context({"rows": rows.all()}))
            assert len(sql) == 2
