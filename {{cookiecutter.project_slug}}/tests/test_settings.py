"""Each default by its effect in one process, and no setting that nobody reads."""

from typing import Any

import compressor.conf
import pytest
from django.conf import global_settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from django.db import connection
from django_redis import get_redis_connection
from pytest_django import DjangoAssertNumQueries
from zeal import zeal_context
from zeal.errors import NPlusOneError

from config import settings as written
from speed import effects
from speed.defaults import DEFAULTS, Default

READ_ELSEWHERE = {
    # {% if cookiecutter.interface == "asgi" %}
    "ASGI_APPLICATION",  # by speed/handler.py
    # {% endif %}
    "BASE_DIR",  # by other settings
    "DEBUG_TOOLBAR_PANELS",
    "DJANGO_REDIS_CLOSE_CONNECTION",
    "DJANGO_REDIS_IGNORE_EXCEPTIONS",
    "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS",
    "LOCAL_HTTP",  # by config/server.py
    "MAILERS",  # by Django, which has no default for it...
    "ROOT_URLCONF",  # ...nor for this
    "SERVER_THREADS",  # by config/server.py
    "SITE_NAME",  # by core/context.py
    "TRUSTED_PROXY",  # by config/server.py
    "ZEAL_RAISE",
} | {f"COMPRESS_{name}" for name in vars(compressor.conf.CompressorConf)}


def test_every_setting_is_read_by_something() -> None:
    values = vars(written).items()
    names = {name for name, value in values if name.isupper() and not isinstance(value, type)}
    assert names <= READ_ELSEWHERE | set(dir(global_settings))


@pytest.mark.django_db
@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.name)
def test_no_default_is_undone(default: Default) -> None:
    holds, show = effects.find(default)
    assert holds is not False, show()


@pytest.mark.django_db
def test_reading_a_session_makes_no_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    session = SessionStore()
    session["basket"] = [1, 2]
    session.save()
    with django_assert_num_queries(0):
        assert SessionStore(session.session_key)["basket"] == [1, 2]


def test_clearing_the_cache_keeps_the_sessions_and_its_neighbours() -> None:
    caches["default"].set("key", 1)
    caches["default"].set("key", 1, version=2)
    caches["sessions"].set("key", 1)
    get_redis_connection("default").set("neighbour", 1, ex=60)  # in the same database
    caches["default"].clear()
    assert get_redis_connection("default").exists("neighbour")
    assert caches["default"].get("key") is None
    assert caches["default"].get("key", version=2) is None
    assert caches["sessions"].get("key") == 1


@pytest.mark.django_db
def test_a_copy_of_a_session_lives_for_minutes() -> None:
    session = SessionStore()
    session["basket"] = [1, 2]
    session.save()
    cache: Any = caches["sessions"]
    assert 0 < cache.ttl(session.cache_key) <= 300  # seconds


@pytest.mark.django_db
def test_a_query_for_each_row_fails_the_test() -> None:
    user = get_user_model()
    for name in ("ada", "bob"):
        user.objects.create_user(name).groups.create(name=name)
    with zeal_context(), pytest.raises(NPlusOneError):
        print([list(found.groups.all()) for found in user.objects.all()])


@pytest.mark.django_db
def test_the_database_is_the_one_that_production_runs() -> None:
    assert connection.vendor == "postgresql"
