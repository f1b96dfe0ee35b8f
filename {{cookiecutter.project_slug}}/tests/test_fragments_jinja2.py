"""Fragments and rows of Jinja2: what is there is neither fetched nor rendered."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from jinja2 import DictLoader, Environment, TemplateSyntaxError
from pytest_django import DjangoAssertNumQueries

from speed import fragments
from tests.test_fragments import groups, lazy  # noqa: F401 - a fixture that is always used

pytestmark = pytest.mark.django_db

FILES = {
    "each": '{% cache_each 60, "row", group in groups by "name", who %}'
    "<li>{{ group.name }} {{ who }}</li>{% endcache_each %}",
    "whole": '{% cache 60, "all", who %}{% for group in groups %}{{ group.name }} {{ who }};{% endfor %}'
    "{% endcache %}",
}
ROWS = "<li>a &amp; b {0}</li><li>c {0}</li><li>d {0}</li>"


@pytest.fixture
def environment() -> Environment:
    extensions = ["speed.fragments_jinja2.Fragments"]
    return Environment(autoescape=True, extensions=extensions, loader=DictLoader(FILES))


def shown(environment: Environment, name: str, who: Any = "") -> str:
    rows: QuerySet[Group] = lazy()
    return environment.get_template(name).render(groups=rows, who=who)


def test_a_list_that_is_kept_costs_one_slim_query(
    environment: Environment, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for who in ("ada", "bob"):
        assert shown(environment, "each", who) == ROWS.format(who)
        with django_assert_num_queries(1) as captured:
            assert shown(environment, "each", who) == ROWS.format(who)
        assert "permission" not in captured.captured_queries[0]["sql"]


def test_a_fragment_that_is_kept_costs_no_query(
    environment: Environment, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for who in ("ada", "bob"):
        html = shown(environment, "whole", who)
        assert html == f"a &amp; b {who};c {who};d {who};"
        with django_assert_num_queries(0):
            assert shown(environment, "whole", who) == html


@pytest.mark.parametrize(("name", "queries"), [("each", 3), ("whole", 2)])
def test_a_new_release_has_fragments_of_its_own(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
    name: str,
    queries: int,
) -> None:
    html = shown(environment, name)
    monkeypatch.setattr(fragments, "build", lambda: "next")
    with django_assert_num_queries(queries):
        assert shown(environment, name) == html


@pytest.mark.parametrize("row", ["{{ csrf_input }}", "{{ loop.index }}"])
def test_what_cannot_be_kept_is_refused_with_a_reason(environment: Environment, row: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=r"all visitors|any place"):
        environment.from_string(
            '{% cache_each 60, "row", group in groups by "name" %}' + row + "{% endcache_each %}"
        )
