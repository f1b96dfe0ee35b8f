"""Rows cached one by one against the plain loop, keys against collisions, and the same in Jinja2.

    DJANGO_SETTINGS_MODULE=config.settings uv run --with hypothesis pytest -p no:cacheprovider \\
        -c pyproject.toml --rootdir . …/fragments

The Jinja2 tests need a project with that answer, or `--group bench` and `speed/fragments_jinja2.py`.
"""

import datetime
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import FieldError
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Count, Prefetch, QuerySet, Window
from django.db.models.functions import RowNumber
from django.template import Context, Engine, TemplateSyntaxError
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import set_script_prefix, set_urlconf
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as Lost

from speed import fragments

pytestmark = pytest.mark.django_db

limits.register_profile("speed", deadline=None, suppress_health_check=list(HealthCheck))
limits.load_profile("speed")

TEMPLATES: dict[str, str] = {}
ENGINE = Engine(
    builtins=["django.templatetags.cache", "speed.fragments"],
    loaders=[("django.template.loaders.locmem.Loader", TEMPLATES)],
)
ROW = "<li>{{ one.pk }} {{ one.name }}: {% for group in one.group_set.all %}{{ group.name }},{% endfor %}</li>"
LOOP = ENGINE.from_string("{% for one in rows %}" + ROW + "{% empty %}none{% endfor %}")
EACH = ENGINE.from_string(
    '{% cache_each 60 row one in rows by "name" vary %}'
    + ROW
    + "{% empty %}none{% endcache_each %}"
)
KEPT = settings.CACHES["default"] | {
    "KEY_PREFIX": settings.CACHES["default"]["KEY_PREFIX"] + "-rows",
}


@pytest.fixture(autouse=True)
def cache() -> Iterator[Any]:
    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: KEPT}):
        caches[fragments.ALIAS].clear()
        yield caches[fragments.ALIAS]
        caches[fragments.ALIAS].clear()


GROUPS = Prefetch("group_set", Group.objects.order_by("name"))


def fill(number: int) -> None:
    kind = ContentType.objects.first()
    groups = Group.objects.bulk_create([Group(name=f"group {n}") for n in range(3)])
    made = [
        Permission(name=f"p{n:03}", codename=f"c{n % 3}x{n}", content_type=kind)
        for n in range(number)
    ]
    through: Any = Group.permissions.through
    through.objects.bulk_create(
        through(group=group, permission=one)
        for n, one in enumerate(Permission.objects.bulk_create(made))
        for group in groups[: n % 4]
    )


def base() -> QuerySet[Permission]:
    return Permission.objects.filter(name__startswith="p0").prefetch_related(GROUPS)


def queries(work: Callable[[], str]) -> tuple[str, list[str]]:
    with CaptureQueriesContext(connection) as captured:
        html = work()
    return html, [query["sql"] for query in captured.captured_queries]


def render(rows: Any, vary: Any = "") -> str:
    return EACH.render(Context({"rows": rows, "vary": vary}))


# Equal to the plain loop, whatever the queryset and whatever is there already -----------------------

SHAPES: dict[str, Callable[[QuerySet[Permission]], Any]] = {
    "ordered": lambda rows: rows.order_by("name"),
    "reversed": lambda rows: rows.order_by("-name"),
    "reversed by method": lambda rows: rows.order_by("name").reverse(),
    "by a related field": lambda rows: rows.order_by("content_type__model", "codename"),
    "sliced": lambda rows: rows.order_by("name")[3:9],
    "sliced twice": lambda rows: rows.order_by("name")[2:12][1:5],
    "sliced beyond the end": lambda rows: rows.order_by("name")[100:200],
    "related": lambda rows: rows.select_related("content_type").order_by("name"),
    "only": lambda rows: rows.only("codename").order_by("name"),
    "deferred": lambda rows: rows.defer("name").order_by("name"),
    "counted": lambda rows: rows.annotate(n=Count("group")).filter(n__gt=0).order_by("-n", "name"),
    "aliased": lambda rows: rows.alias(n=Count("group")).order_by("-n", "name")[:7],
    "distinct": lambda rows: rows.filter(group__isnull=False).distinct().order_by("name"),
    "distinct on": lambda rows: rows.order_by("content_type", "name").distinct("content_type"),
    "doubled": lambda rows: rows.filter(group__name__startswith="g").order_by("name"),
    "united": lambda rows: (
        rows.filter(name__lt="p005").union(rows.filter(name="p009")).order_by("name")
    ),
    "or": lambda rows: (rows.filter(name="p001") | rows.filter(name="p002")).order_by("name"),
    "excluded": lambda rows: rows.exclude(group__name="group 1").order_by("name"),
    "prefetched otherwise": lambda rows: (
        rows.prefetch_related(None)
        .prefetch_related(Prefetch("group_set", Group.objects.order_by("-name")))
        .order_by("name")
    ),
    "locked": lambda rows: rows.select_for_update().order_by("name"),
    "extra": lambda rows: rows.extra(select={"x": "1"}).order_by("name"),
    "named database": lambda rows: rows.using("default").order_by("name"),
    "random versions": lambda rows: rows.order_by("codename"),
    "read": lambda rows: (list(rows), rows)[1],
    "list": lambda rows: list(rows.order_by("name")),
    "tuple": lambda rows: tuple(rows.order_by("name")),
    "generator": lambda rows: (one for one in list(rows.order_by("name"))),
    "iterator": lambda rows: rows.order_by("name").iterator(chunk_size=10),
    "list with one twice": lambda rows: [*rows, *rows[:1]],
    "unsaved": lambda rows: [Permission(name="new"), Permission(name="newer")],
    "raw": lambda rows: Permission.objects.raw(
        "SELECT * FROM auth_permission WHERE name LIKE 'p0%%'"
    ),
    "none": lambda rows: rows.none(),
    "manager's": lambda rows: Group.objects.order_by("name")[0].permissions.order_by("name"),
    "prefetched manager's": lambda rows: (
        Group.objects.order_by("name").prefetch_related("permissions")[0].permissions.all()
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_html_is_that_of_the_loop(shape: str) -> None:
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
def test_after_any_changes_html_is_that_of_the_loop(data: Any) -> None:
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


# Queries --------------------------------------------------------------------------------------------


def test_fifty_kept_rows_cost_one_slim_query_and_one_round_trip(
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


def test_only_what_is_missing_is_fetched_with_what_it_prefetches_and_selects() -> None:
    fill(20)
    rows = base().select_related("content_type").order_by("name")
    render(rows.all()[:10])
    html, sql = queries(lambda: render(rows.all()[5:15]))
    assert len(sql) == 3  # slim, rows, groups
    assert "django_content_type" in sql[1]
    assert "LIMIT" not in sql[1]
    assert sql[1].split("IN (")[1].count(",") == 4  # five keys
    assert html == LOOP.render(Context({"rows": rows.all()[5:15]}))


def test_a_list_that_was_read_costs_no_query() -> None:
    fill(5)
    rows = base().order_by("name")
    list(rows)
    for _ in range(2):
        _, sql = queries(lambda: render(rows))
        assert sql == []


def test_an_aggregate_in_the_list_is_that_of_the_whole_list() -> None:
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


def test_a_place_in_the_list_is_that_of_the_whole_list() -> None:
    fill(4)
    rows = base().annotate(n=Window(RowNumber(), order_by="name")).order_by("name")
    page = '{% cache_each 60 row one in rows by "name" %}{{ one.name }}={{ one.n }};{% endcache_each %}'
    template = ENGINE.from_string(page)
    for last in ("p003", "p003!"):
        base().filter(name="p003").update(name=last)  # fetched alone, it would be the first
        shown = template.render(Context({"rows": rows.all()}))
        assert shown == f"p000=1;p001=2;p002=3;{last}=4;"


@pytest.mark.parametrize("make", [lambda rows: rows, list])
def test_rows_of_two_models_are_never_taken_for_each_other(make: Any) -> None:
    fill(1)
    Group.objects.filter(pk=base()[0].pk).delete()
    Group.objects.create(pk=base()[0].pk, name="group")
    template = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "pk" %}{{ one.name }}{% endcache_each %}'
    )
    for rows, name in ((base(), "p000"), (Group.objects.filter(name="group"), "group")):
        assert template.render(Context({"rows": make(rows)})) == name


def test_an_object_without_a_key_is_not_kept() -> None:
    template = ENGINE.from_string(
        '{% cache_each 60 row one in rows by "name" %}{{ one.codename }}{% endcache_each %}'
    )
    for code in ("a", "b"):
        assert template.render(Context({"rows": [Permission(name="new", codename=code)]})) == code


def test_a_page_of_a_paginator_is_not_fetched() -> None:
    fill(5)
    for _ in range(2):
        page = Paginator(base().order_by("name"), 3).page(1)
        html, sql = queries(lambda page=page: render(page))  # type: ignore[misc]
    assert html.count("<li>") == 3
    assert len(sql) == 1
    assert "codename" not in sql[0]


def test_versions_of_related_objects_count() -> None:
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


def test_a_row_that_changes_while_it_is_fetched_is_never_kept_under_its_new_version(
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


def test_a_row_that_is_deleted_while_it_is_fetched_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(3)
    real = fragments.caches[fragments.ALIAS].get_many

    def delete(names: Any) -> Any:
        Permission.objects.filter(name="p001").delete()
        return real(names)

    monkeypatch.setattr(fragments.caches[fragments.ALIAS], "get_many", delete)
    assert render(base().order_by("name")).count("<li>") == 2


def test_without_redis_every_row_is_made(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    fill(4)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Lost("cut")

    from redis.client import Pipeline, Redis

    monkeypatch.setattr(Redis, "execute_command", fail)
    monkeypatch.setattr(Pipeline, "execute", fail)
    rows = base().order_by("name")
    assert render(rows.all()) == LOOP.render(Context({"rows": rows.all()}))


def test_without_an_alias_of_its_own_the_default_is_used_as_by_the_cache_tag() -> None:
    fill(2)
    rest = {alias: it for alias, it in settings.CACHES.items() if alias != fragments.ALIAS}
    with override_settings(CACHES=rest):
        render(base().order_by("name"))
        assert fragments.store() is caches["default"]
        _, sql = queries(lambda: render(base().order_by("name")))
        assert len(sql) == 1
        caches["default"].clear()


def test_rows_expire(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    fill(2)
    render(base())
    redis = cache.client.get_client()
    names = list(redis.scan_iter(match=f"{KEPT['KEY_PREFIX']}*"))
    assert len(names) == 2
    assert all(0 < redis.ttl(name) <= 60 for name in names)
    ENGINE.from_string(
        '{% cache_each None "for ever" one in rows by "name" %}{{ one }}{% endcache_each %}'
    ).render(Context({"rows": base()}))
    (for_ever, _) = set(redis.scan_iter(match=f"{KEPT['KEY_PREFIX']}*")) - set(names)
    assert redis.ttl(for_ever) == -1


def test_what_is_kept_is_plain_text(cache: Any) -> None:
    """Not an object of Django's or Jinja2's, which a later release would have to read."""
    fill(1)
    render(base())
    redis = cache.client.get_client()
    (name,) = redis.scan_iter(match=f"{KEPT['KEY_PREFIX']}*")
    assert b"django" not in redis.get(name)


# Keys -----------------------------------------------------------------------------------------------

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
def test_two_lists_of_parts_share_a_key_only_if_they_are_equal(
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
def test_parts_that_mean_the_same_share_a_key(one: Any, two: Any) -> None:
    assert fragments.key(one) == fragments.key(two)


def test_keys_differ_by_release_and_by_what_links_depend_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {fragments.key()}
    set_script_prefix("/shop/")
    names.add(fragments.key())
    set_script_prefix("/")
    set_urlconf("config.urls")
    names.add(fragments.key())
    set_urlconf(None)
    monkeypatch.setattr(fragments, "build", lambda: "next")
    names.add(fragments.key())
    assert len(names) == 4


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{{ one.name }}", "one.name"),
        ("{{ one.name }}", "{{ one.name }} "),
        ("{% if one.name %}a{% endif %}", "{% if one.pk %}a{% endif %}"),
        ("{% include 'a' %}", "{% include 'b' %}"),
    ],
)
def test_an_edited_row_is_another_row(one: str, two: str) -> None:
    fill(1)
    TEMPLATES.update(a="A", b="B")
    head, tail = '{% cache_each 60 row one in rows by "name" %}', "{% endcache_each %}"
    for row in (one, two):
        plain = ENGINE.from_string("{% for one in rows %}" + row + "{% endfor %}")
        template = ENGINE.from_string(head + row + tail)
        assert template.render(Context({"rows": base()})) == plain.render(Context({"rows": base()}))


# The context of a row -------------------------------------------------------------------------------


def test_a_row_sees_the_context_and_leaves_no_trace_in_it() -> None:
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
def test_a_row_cannot_depend_on_its_place_or_hold_a_token(row: str) -> None:
    fill(1)
    page = '{% cache_each 60 row one in rows by "name" %}' + row + "{% endcache_each %}"
    with pytest.raises(TemplateSyntaxError, match=r"any place|any visitor"):
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
def test_a_tag_that_is_written_otherwise_says_how(tag: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="is written as: cache_each 600"):
        ENGINE.from_string("{% " + tag + " %}{% endcache_each %}")


@pytest.mark.parametrize("tag", ["", "{% empty %}", "{% empty %}{% empty %}{% endcache_each %}"])
def test_a_tag_that_is_not_closed_is_an_error(tag: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        ENGINE.from_string('{% cache_each 60 row one in rows by "name" %}' + tag)


@pytest.mark.parametrize("dummy", [False, True])
def test_a_field_that_does_not_exist_is_told_in_development_too(dummy: bool) -> None:
    fill(1)
    off = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    page = ENGINE.from_string('{% cache_each 60 row one in rows by "x" %}{% endcache_each %}')
    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: off if dummy else KEPT}):
        with pytest.raises(FieldError, match="Choices are"):
            page.render(Context({"rows": base()}))
        with pytest.raises(ValueError, match="Permission has no 'x'"):
            page.render(Context({"rows": list(base())}))


def test_a_row_that_fails_leaves_the_others_unharmed() -> None:
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


def test_threads_render_one_template_at_once() -> None:
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


# Jinja2 ---------------------------------------------------------------------------------------------


@pytest.fixture
def jinja() -> Any:
    jinja2 = pytest.importorskip("jinja2")
    pytest.importorskip("speed.fragments_jinja2")
    return jinja2.Environment(
        loader=jinja2.DictLoader({}),
        autoescape=True,
        extensions=["speed.fragments_jinja2.Fragments"],
    )


JROW = "<li>{{ one.name }} {{ vary }}: {% for group in one.group_set.all() %}{{ group.name }},{{ loop.index }}{% endfor %}</li>"
JHEAD, JTAIL = '{% cache_each 60, "row", one in rows by "name", vary %}', "{% endcache_each %}"


@pytest.mark.parametrize("shape", SHAPES)
def test_jinja2_html_is_that_of_the_loop(jinja: Any, shape: str) -> None:
    fill(14)
    make = SHAPES[shape]
    if shape == "unsaved":
        pytest.skip("Jinja2 does not swallow the ValueError of the relation")
    each, loop = (
        jinja.from_string(source)
        for source in (JHEAD + JROW + JTAIL, "{% for one in rows %}" + JROW + "{% endfor %}")
    )
    for vary in ("<", None):
        html = loop.render(rows=make(base()), vary=vary)
        for _ in range(2):
            assert each.render(rows=make(base()), vary=vary) == html
    Permission.objects.filter(name="p004").update(name="p004!<b>")
    assert each.render(rows=make(base()), vary="<") == loop.render(rows=make(base()), vary="<")


def test_jinja2_kept_rows_cost_one_slim_query(jinja: Any) -> None:
    fill(5)
    each = jinja.from_string(JHEAD + JROW + JTAIL)
    first = each.render(rows=base().order_by("name"))
    html, sql = queries(lambda: each.render(rows=base().order_by("name")))
    assert html == first
    assert len(sql) == 1
    assert "codename" not in sql[0]


def test_jinja2_a_kept_fragment_costs_no_query(jinja: Any) -> None:
    fill(2)
    page = jinja.from_string(
        '{% cache 60, "list", who %}{% for one in rows %}{{ one.name }}{{ who }};{% endfor %}{% endcache %}'
    )
    for who, number in ((1, 1), (1, 0), ("1", 1), ("<", 1), ("<", 0)):
        html, sql = queries(
            lambda who=who: page.render(
                rows=Permission.objects.filter(name__startswith="p0").order_by("name"), who=who
            )
        )  # type: ignore[misc]
        assert len(sql) == number
        assert html.replace("&lt;", "<") == f"p000{who};p001{who};"


def test_jinja2_another_fragment_of_the_same_name_is_another_one(jinja: Any) -> None:
    fill(1)
    for body, html in (("{{ one.name }}", "p000"), ("[{{ one.name }}]", "[p000]")):
        assert jinja.from_string(JHEAD + body + JTAIL).render(rows=base()) == html
        whole = '{% cache 60, "x" %}{% for one in rows %}' + body + "{% endfor %}{% endcache %}"
        assert jinja.from_string(whole).render(rows=base()) == html


def test_jinja2_an_empty_fragment_is_kept(jinja: Any) -> None:
    made: list[int] = []
    page = jinja.from_string('{% cache 60, "x" %}{{ make() }}{% endcache %}')
    for _ in range(3):
        assert page.render(make=lambda: made.append(1) or "") == ""
    assert len(made) == 1


def test_jinja2_escaping_is_part_of_the_key(jinja: Any) -> None:
    fill(1)
    base().update(name="p0 & b")
    row = JHEAD + "{{ one.name }}" + JTAIL
    whole = '{% cache 60, "x" %}{{ rows[0].name }}{% endcache %}'
    for source, html in (
        ("{% autoescape false %}" + row + whole + "{% endautoescape %}", "p0 & bp0 & b"),
        (row + whole, "p0 &amp; bp0 &amp; b"),
    ):
        assert jinja.from_string(source).render(rows=base()) == html


@pytest.mark.parametrize(
    "row", ["{{ csrf_input }}", "{{ loop.index }}", "{% if x %}{{ csrf_token }}{% endif %}"]
)
def test_jinja2_a_row_cannot_depend_on_its_place_or_hold_a_token(jinja: Any, row: str) -> None:
    from jinja2 import TemplateSyntaxError as Wrong

    with pytest.raises(Wrong, match=r"all visitors|any place"):
        jinja.from_string(JHEAD + row + JTAIL)


@pytest.mark.parametrize("rows", [None, [], "missing"])
def test_jinja2_no_rows_are_no_rows(jinja: Any, rows: Any) -> None:
    context = {} if rows == "missing" else {"rows": rows}
    assert jinja.from_string(JHEAD + JROW + JTAIL).render(**context) == ""
