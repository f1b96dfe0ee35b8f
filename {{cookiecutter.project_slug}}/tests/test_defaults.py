"""The speed defaults are in effect: each one's state in this process, and what it does."""

from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from django.db import connection
from django.template import engines
from django_redis import get_redis_connection
from djfast.rows import Row, State, applicable
from pytest_django import DjangoAssertNumQueries
from zeal import zeal_context
from zeal.errors import NPlusOneError


@pytest.mark.django_db
@pytest.mark.parametrize("row", applicable(), ids=lambda row: row.name)
def test_a_default_is_in_effect_or_given_up_on_purpose(row: Row) -> None:
    if row.state() is State.REVERTED:
        pytest.fail(
            f"{row.name}: {row.finding().evidence()}. Restore {row.setting}, or add {row.id!r} to "
            "SILENCED_SYSTEM_CHECKS if this is your choice.",
            pytrace=False,
        )


@pytest.mark.django_db
def test_the_database_is_the_one_of_production() -> None:
    assert connection.vendor == "postgresql"


@pytest.mark.speed("cached sessions")
@pytest.mark.django_db
def test_reading_a_session_makes_no_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    session = store()
    session["basket"] = [1, 2]
    session.save()
    with django_assert_num_queries(0):
        assert store(session.session_key)["basket"] == [1, 2]


@pytest.mark.speed("cached sessions")
@pytest.mark.django_db
def test_a_session_is_cached_for_minutes() -> None:
    session = SessionStore()
    session["basket"] = [1, 2]
    session.save()
    cache: Any = caches["sessions"]
    assert 0 < cache.ttl(session.cache_key) <= 300  # seconds


@pytest.mark.speed("redis cache")
def test_clearing_a_cache_deletes_neither_sessions_nor_keys_of_other_programs() -> None:
    caches["default"].set("key", 1)
    caches["sessions"].set("key", 1)
    redis = get_redis_connection("default")
    redis.set("other program", 1, ex=60)  # seconds
    caches["default"].clear()
    assert caches["default"].get("key") is None
    assert caches["sessions"].get("key") == 1
    assert redis.exists("other program")


@pytest.mark.speed("cached template loader")
def test_a_template_is_parsed_once_per_process() -> None:
    django: Any = engines["django"]
    assert django.engine.get_template("admin/base.html") is django.engine.get_template(
        "admin/base.html"
    )


@pytest.mark.django_db
def test_a_query_for_each_row_fails_the_test() -> None:
    user = get_user_model()
    for name in ("ada", "bob"):
        user.objects.create_user(name).groups.create(name=name)
    with zeal_context(), pytest.raises(NPlusOneError):
        print([list(found.groups.all()) for found in user.objects.all()])
