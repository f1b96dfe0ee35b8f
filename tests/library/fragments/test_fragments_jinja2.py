"""Cached fragments and rows in Jinja2."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from djfast.cache import fragments
from fragments_site import SHAPES, base, fill, queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def jinja() -> Any:
    jinja2 = pytest.importorskip("jinja2")
    pytest.importorskip("djfast.cache.fragments_jinja2")
    return jinja2.Environment(
        loader=jinja2.DictLoader({}),
        autoescape=True,
        extensions=["djfast.cache.fragments_jinja2.Fragments"],
    )


JROW = "<li>{{ one.name }} {{ vary }}: {% for group in one.group_set.all() %}{{ group.name }},{{ loop.index }}{% endfor %}</li>"
JHEAD, JTAIL = '{% cache_each 60, "row", one in rows by "name", vary %}', "{% endcache_each %}"


# A loop of Jinja2 raises an error for these two.
@pytest.mark.parametrize("shape", sorted(SHAPES.keys() - {"None", "unsaved"}))
def test_html_equals_that_of_the_loop(jinja: Any, shape: str) -> None:
    fill(14)
    make = SHAPES[shape]
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


def test_cached_rows_need_one_slim_query(jinja: Any) -> None:
    fill(5)
    each = jinja.from_string(JHEAD + JROW + JTAIL)
    first = each.render(rows=base().order_by("name"))
    html, sql = queries(lambda: each.render(rows=base().order_by("name")))
    assert html == first
    assert len(sql) == 1
    assert "codename" not in sql[0]


def test_a_cached_fragment_needs_no_query(jinja: Any) -> None:
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


def test_another_fragment_of_the_same_name_has_another_key(jinja: Any) -> None:
    fill(1)
    for body, html in (("{{ one.name }}", "p000"), ("[{{ one.name }}]", "[p000]")):
        assert jinja.from_string(JHEAD + body + JTAIL).render(rows=base()) == html
        whole = '{% cache 60, "x" %}{% for one in rows %}' + body + "{% endfor %}{% endcache %}"
        assert jinja.from_string(whole).render(rows=base()) == html


def test_an_empty_fragment_is_cached(jinja: Any) -> None:
    calls: list[int] = []
    page = jinja.from_string('{% cache 60, "x" %}{{ make() }}{% endcache %}')
    for _ in range(3):
        assert page.render(make=lambda: calls.append(1) or "") == ""
    assert len(calls) == 1


def test_escaping_is_part_of_the_key(jinja: Any) -> None:
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
def test_a_row_with_its_position_or_a_token_is_refused(jinja: Any, row: str) -> None:
    from jinja2 import TemplateSyntaxError as Wrong

    with pytest.raises(Wrong, match=r"all users|any position"):
        jinja.from_string(JHEAD + row + JTAIL)


@pytest.mark.parametrize("rows", [None, [], "missing"])
def test_no_rows_are_rendered_as_nothing(jinja: Any, rows: Any) -> None:
    context = {} if rows == "missing" else {"rows": rows}
    assert jinja.from_string(JHEAD + JROW + JTAIL).render(**context) == ""


def test_a_release_has_fragments_of_its_own(jinja: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(1)
    whole = '{% cache 60, "x" %}{% for one in rows %}{{ one.name }}{% endfor %}{% endcache %}'
    for source, number in ((JHEAD + "{{ one.name }}" + JTAIL, 1), (whole, 0)):
        template = jinja.from_string(source)
        first = template.render(rows=base())
        _, sql = queries(lambda template=template: template.render(rows=base()))  # type: ignore[misc]
        assert len(sql) == number
        with monkeypatch.context() as patch:
            patch.setattr(fragments, "build", lambda: "next")
            html, sql = queries(lambda template=template: template.render(rows=base()))  # type: ignore[misc]
        assert html == first
        assert len(sql) > number


def test_a_whole_fragment_with_a_token_is_refused(jinja: Any) -> None:
    from jinja2 import TemplateSyntaxError as Wrong

    with pytest.raises(Wrong, match="all users"):
        jinja.from_string('{% cache 60, "x" %}{{ csrf_input }}{% endcache %}')
