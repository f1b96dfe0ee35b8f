"""`manage.py check --tag speed`: a mistake is a warning, a reverted default an info, a choice nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connection, connections
from django.test import override_settings
from djfast import engine, interpreter
from djfast.rows import ROWS, applicable

IS_SLOW = interpreter.is_slow
REDIS = settings.CACHES["default"]
ENGINE = {row.id for row in ROWS if row.group == "engine"} - {"speed.N+1-guard"}
LOADERS = ["django.template.loaders.filesystem.Loader"]
SESSIONS_IN_DATABASE = {"SESSION_ENGINE": "django.contrib.sessions.backends.db"}
CACHED_USER = "djfast.cache.users.CachedUserMiddleware"
LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def with_loaders(loaders: list[Any]) -> list[dict[str, Any]]:
    """Return the project's template engines, Django's with these loaders."""
    engines = []
    for one in settings.TEMPLATES:
        if one["BACKEND"].endswith("DjangoTemplates"):
            one = one | {"APP_DIRS": False, "OPTIONS": one["OPTIONS"] | {"loaders": loaders}}
        engines.append(one)
    return engines


MISTAKES: dict[str, dict[str, Any]] = {
    "session-saved-always": {"SESSION_SAVE_EVERY_REQUEST": True},
    "shared-redis-url": {
        "CACHES": settings.CACHES | {"other": REDIS | {"OPTIONS": {"SOCKET_TIMEOUT": 9}}}
    },
    "cached-user": {
        "CACHES": settings.CACHES | {"sessions": LOCAL},
        "MIDDLEWARE": [
            CACHED_USER if path.endswith(".AuthenticationMiddleware") else path
            for path in settings.MIDDLEWARE
        ],
    },
}


@pytest.fixture(autouse=True)
def _built(tmp_path: Path) -> Iterator[None]:
    """Check as a production process that has its static files."""
    manifest = '{"paths": {"a.css": "a.0123456789ab.css"}, "version": "1.1"}'
    (tmp_path / "staticfiles.json").write_text(manifest)
    manifest_storage = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    production = {
        "DEBUG": False,
        "COMPRESS_ENABLED": True,
        "COMPRESS_OFFLINE": True,
        "STATIC_ROOT": tmp_path,
        "STORAGES": settings.STORAGES | {"staticfiles": manifest_storage},
    }
    with (
        override_settings(**production),
        mock.patch.object(interpreter, "is_slow", return_value=False),
    ):
        yield


OPTIMISED = "'--enable-optimizations' '--with-lto'"


@pytest.mark.parametrize(
    ("options", "flag", "debug", "build", "slow"),
    [
        (OPTIMISED, "-fprofile-use", 0, "with PGO and LTO", False),
        ("'--enable-optimizations'", "-fprofile-use", 0, "with PGO", False),
        ("'--with-lto'", "", 0, "with PGO and LTO", False),  # Debian
        ("'--enable-shared'", "-fprofile-use", 0, "without PGO", True),  # pyenv
        (OPTIMISED, "-fprofile-use", 1, "for debugging", True),
    ],
)
def test_a_slow_build_of_the_interpreter_is_an_info(
    monkeypatch: pytest.MonkeyPatch, options: str, flag: str, debug: int, build: str, slow: bool
) -> None:
    known = {"CONFIG_ARGS": options, "PGO_PROF_USE_FLAG": flag, "Py_DEBUG": debug}
    monkeypatch.setattr(interpreter.sysconfig, "get_config_var", known.get)
    assert interpreter.build() == build
    monkeypatch.setattr(interpreter, "is_slow", IS_SLOW)
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    assert "speed.interpreter" not in messages()
    monkeypatch.setattr(sys, "argv", ["manage.py", "check", "--tag=speed"])
    found = messages().get("speed.interpreter")
    assert bool(found) == slow
    assert not found or found.level == checks.INFO


def messages() -> dict[str, CheckMessage]:
    """Return the messages of the checks that are not silenced, by id."""
    found = [one for one in checks.run_checks(tags=["speed"]) if not one.is_silenced()]
    assert len({one.id for one in found}) == len(found)
    return {str(one.id): one for one in found}


def test_the_project_has_no_message() -> None:
    assert messages() == {}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_setting_that_slows_pages_is_a_warning(name: str) -> None:
    with override_settings(**MISTAKES[name]):
        (found,) = messages().values()
    assert (found.id, found.level) == (f"speed.{name}", checks.WARNING)


def test_connections_that_no_request_uses_again_are_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert connection.settings_dict["CONN_MAX_AGE"] != 0
    with override_settings(ASGI_APPLICATION="django.core.asgi.get_asgi_application"):
        found = messages()["speed.asgi-connections"]
        assert found.level == checks.WARNING
        monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
        assert "speed.asgi-connections" not in messages()


@pytest.mark.parametrize(
    ("pool", "small"),
    [
        (True, False),  # psycopg's default: 4
        ({"min_size": 1, "max_size": 8}, False),
        ({"min_size": 1, "max_size": 3}, True),
        ({"min_size": 2}, True),
    ],
)
def test_a_pool_for_which_threads_wait_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, pool: Any, small: bool
) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"pool": pool})
    found = messages().get("speed.small-pool")
    assert (found is not None and found.level == checks.WARNING) == small


COMPLETE = {
    "CONN_HEALTH_CHECKS": True,
    "CONN_MAX_AGE": 600,
    "OPTIONS": {"connect_timeout": 5},
}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {}}


@pytest.mark.parametrize(
    ("asgi", "changes", "lacks"),
    [
        (False, {}, []),
        (False, {"CONN_MAX_AGE": None}, []),  # persistent without an age limit
        (False, {"CONN_MAX_AGE": 0}, ["persistent connections"]),
        (False, {"CONN_HEALTH_CHECKS": False}, ["health checks"]),
        (False, {"OPTIONS": {}}, ["connect timeout"]),
        (False, {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"max_size": 8}}}, ["connect timeout"]),
        (False, SQLITE | {"CONN_MAX_AGE": 0}, []),
        (True, {"CONN_MAX_AGE": 0}, ["connection pool"]),
        (True, {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"max_size": 8}}}, ["connect timeout"]),
    ],
)
@pytest.mark.parametrize("engine", ["django.db.backends.postgresql", "backend_of_a_package"])
def test_a_second_database_without_the_defaults_is_an_info(
    monkeypatch: pytest.MonkeyPatch, asgi: bool, changes: Any, lacks: list[str], engine: str
) -> None:
    second = connection.settings_dict | COMPLETE | {"ENGINE": engine} | changes
    monkeypatch.setitem(connections.settings, "second", second)
    application = "django.core.asgi.get_asgi_application" if asgi else None
    try:
        with override_settings(ASGI_APPLICATION=application):
            found = [one for one in checks.run_checks(tags=["speed"]) if "second" in one.msg]
    finally:
        del connections["second"]
    assert [one.level for one in found] == [checks.INFO] * bool(lacks)
    assert [one.id for one in found] == ["speed.database"] * bool(lacks)
    for name in ("persistent connections", "connection pool", "health checks", "connect timeout"):
        assert [name in one.msg for one in found] == [name in lacks] * len(found)


def test_a_default_database_without_a_time_limit_is_an_info(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "speed.database" not in messages()
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    assert "no connect timeout" in messages()["speed.database"].msg


def test_a_backend_of_a_package_has_the_rows_of_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [row.name for row in applicable()]
    assert {"persistent connections", "health check"} <= {*before}
    given = connection.settings_dict | {"ENGINE": "backend_of_a_package"}
    monkeypatch.setitem(connections.settings, "default", given)
    original = connections["default"]
    del connections["default"]
    try:
        assert connection.vendor == "package"
        assert [row.name for row in applicable()] == before
        assert messages() == {}
    finally:
        connections["default"] = original


@pytest.mark.parametrize("debug", [True, False])
def test_loaders_without_a_cache_are_a_warning(debug: bool) -> None:
    with override_settings(DEBUG=debug, TEMPLATES=with_loaders(LOADERS)):
        found = messages()
    assert found["speed.uncached-loaders"].level == checks.WARNING
    assert found["speed.cached-template-loader"].level == checks.INFO


def test_loaders_with_a_cache_are_no_mistake() -> None:
    cached = ("django.template.loaders.cached.Loader", LOADERS)
    with override_settings(TEMPLATES=with_loaders([cached])):
        assert messages() == {}


def test_loaders_without_a_cache_can_be_a_choice() -> None:
    choice = ["speed.cached-template-loader"]
    with override_settings(SILENCED_SYSTEM_CHECKS=choice, TEMPLATES=with_loaders(LOADERS)):
        assert messages() == {}


def test_production_without_static_files_is_an_info(tmp_path: Path) -> None:
    with override_settings(STATIC_ROOT=tmp_path / "nowhere"):
        (found,) = messages().values()
        assert (found.id, found.level) == ("speed.static-not-built", checks.INFO)
        with override_settings(DEBUG=True):
            assert messages() == {}


def test_a_reverted_default_is_an_info_that_shows_its_figure() -> None:
    with override_settings(**SESSIONS_IN_DATABASE):
        (found,) = messages().values()
    assert (found.id, found.level) == ("speed.cached-sessions", checks.INFO)
    assert "of the time" in str(found.hint)
    assert "SESSION_ENGINE" in str(found.hint)


def test_a_reverted_default_that_is_silenced_has_no_message() -> None:
    with override_settings(
        **SESSIONS_IN_DATABASE, SILENCED_SYSTEM_CHECKS=["speed.cached-sessions"]
    ):
        assert checks.run_checks(tags=["speed"]) == []


def test_translation_has_no_message() -> None:
    with override_settings(USE_I18N=True):
        assert messages() == {}


def test_an_engine_that_is_off_is_one_info() -> None:
    with override_settings(DJFAST_ENGINE=False):
        (found,) = messages().values()
        assert (found.id, found.level) == ("speed.engine", checks.INFO)
        with override_settings(SILENCED_SYSTEM_CHECKS=["speed.engine"]):
            assert messages() == {}


def test_an_engine_module_that_is_off_is_an_info() -> None:
    with override_settings(DJFAST_ENGINE={*engine.MODULES} - {"urls"}):
        (found,) = messages().values()
    assert (found.id, found.level) == ("speed.compiled-urls", checks.INFO)


def test_each_module_whose_django_has_changed_is_an_info(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "changed", lambda module: [f"django.changed.{module}"])
    found = messages()
    assert found.keys() == ENGINE & {row.id for row in applicable()}
    assert {one.level for one in found.values()} == {checks.INFO}
    assert "django.changed.urls" in found["speed.compiled-urls"].msg


def test_checking_makes_no_query_and_no_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    monkeypatch.setattr("redis.connection.Connection.connect", refuse)
    assert messages() == {}
