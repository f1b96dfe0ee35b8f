"""Each default by its effect in one process, and no setting that nobody reads."""

import compressor.conf
import pytest
from django.conf import global_settings, settings
from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from config import settings as written
from speed import effects

READ_ELSEWHERE = {
    "BASE_DIR",  # by other settings
    "DEBUG_TOOLBAR_PANELS",
    "DJANGO_REDIS_IGNORE_EXCEPTIONS",
    "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS",
    "LOCAL_HTTP",  # by config/server.py
    "MAILERS",  # by Django, which has no default for it...
    "ROOT_URLCONF",  # ...nor for this
    "SITE_NAME",  # by core/context.py
    "TRUSTED_PROXY",  # by config/server.py
    "ZEAL_RAISE",
} | {f"COMPRESS_{name}" for name in vars(compressor.conf.CompressorConf)}


def test_every_setting_is_read_by_something() -> None:
    values = vars(written).items()
    names = {name for name, value in values if name.isupper() and not isinstance(value, type)}
    assert names <= READ_ELSEWHERE | set(dir(global_settings))


@pytest.mark.django_db
@pytest.mark.parametrize("effect", effects.FINDINGS)
def test_no_default_is_undone(effect: str) -> None:
    holds, evidence = effects.FINDINGS[effect]()
    assert holds is not False, evidence


@pytest.mark.django_db
def test_reading_a_session_makes_no_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    session = SessionStore()
    session["basket"] = [1, 2]
    session.save()
    with django_assert_num_queries(0):
        assert SessionStore(session.session_key)["basket"] == [1, 2]


def test_clearing_the_cache_keeps_the_sessions() -> None:
    caches["default"].set("key", 1)
    caches["default"].set("key", 1, version=2)
    caches["sessions"].set("key", 1)
    caches["default"].clear()
    assert caches["default"].get("key") is None
    assert caches["default"].get("key", version=2) is None
    assert caches["sessions"].get("key") == 1


@pytest.mark.django_db
def test_the_database_is_the_one_that_production_runs() -> None:
    assert connection.vendor == "postgresql"
    assert settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"
