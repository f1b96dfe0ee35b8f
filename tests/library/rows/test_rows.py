"""Each speed default is found as it is: in effect, reverted, silenced, and in a plain project."""

import json
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.middleware.http import ConditionalGetMiddleware
from django.test import override_settings
from djfast.rows import ROWS, Row, State, applicable

HERE = Path(__file__).parent
ROWS_BY_NAME = {row.name: row for row in ROWS}
OPT_INS = [row for row in ROWS if row.opt_in]

# A production process that needs no server.
PRODUCTION = {
    "DATABASE_URL": "postgres:///app",
    "DEBUG": "0",
    "LOCAL_HTTP": "1",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "secret",
}
# The project of this test has Jinja2 and WSGI. What applies to other answers only, with its settings:
OTHER_SETTINGS = {
    "compiled loops": "django_settings",
    "connection pool": "asgi_settings",
    "context switches": "asgi_settings",
}
SETTINGS = ["config.settings", "django_settings", "asgi_settings"]

STATES = """
import json, django
django.setup()
from djfast.rows import applicable
states = lambda: {row.name: row.state() for row in applicable()}
"""
NOW = STATES + "print(json.dumps(states()))"
# The same while each default in turn is reverted; "" stands for none.
REVERTED = (
    STATES
    + """
from unittest import mock
from django.conf import settings
from django.db import connection
from django.test.utils import override_settings
own = {name: getattr(settings, name) for name in dir(settings) if settings.is_overridden(name)}
found = {"": states()}
for row in applicable():
    changes = row.revert(own)
    database = changes.pop("DATABASES", own["DATABASES"])["default"]
    with override_settings(**changes), mock.patch.dict(connection.settings_dict, database):
        found[row.name] = states()
print(json.dumps(found))
"""
)


def run(code: str, cwd: Path | None = None, **env: str) -> Any:
    """Run code in a production process, in the project or in `cwd`; return what it prints as JSON."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"}
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=inherited | PRODUCTION | {"PYTHONPATH": path} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def reverted(module: str) -> dict[str, dict[str, str]]:
    """Return states by name while each default in turn is reverted; "": while none is."""
    found: dict[str, dict[str, str]] = run(REVERTED, DJANGO_SETTINGS_MODULE=module)
    return found


@pytest.mark.parametrize("module", SETTINGS)
def test_every_default_is_on_in_production_except_opt_ins(module: str) -> None:
    off = {name for name, state in reverted(module)[""].items() if state != State.ON}
    assert off <= {"server", *(row.name for row in OPT_INS)}


def test_every_default_applies_with_some_answers_only_where_it_should() -> None:
    wsgi, django, asgi = (reverted(module)[""].keys() for module in SETTINGS)
    assert wsgi | django | asgi == ROWS_BY_NAME.keys()
    assert wsgi - asgi == {"persistent connections", "health check"}
    assert asgi - wsgi == {"connection pool", "context switches"}
    assert (wsgi - django, django - wsgi) == ({"jinja2"}, {"compiled loops"})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_reverting_a_default_reverts_that_one_alone(row: Row) -> None:
    module = OTHER_SETTINGS.get(row.name, "config.settings")
    before, after = reverted(module)[""], reverted(module)[row.name]
    changed = {
        name: after[name] for name in before if name in after and after[name] != before[name]
    }
    gone = before.keys() - after.keys()
    if row.name in ("N+1 guard", "server"):  # a base class, and the program that serves: no setting
        assert (changed, gone) == ({}, set())
    elif row.name == "jinja2":  # the project is then one with Django's templates
        assert (changed, gone) == ({}, {"jinja2"})
    elif row.name == "persistent connections":  # a new connection needs no check
        assert (changed, gone) == ({row.name: State.REVERTED}, {"health check"})
    elif row.opt_in:
        assert after[row.name] == State.OFF
        assert changed.keys() <= {row.name}
    elif row.name == "translation off":
        assert (changed, gone) == ({row.name: State.CHOICE}, set())
    else:
        expected = State.INACTIVE if row.group == "engine" else State.REVERTED
        assert (changed, gone) == ({row.name: expected}, set())


@pytest.mark.parametrize(
    ("name", "expected"), [("conditional GET", State.REVERTED), ("compiled urls", State.INACTIVE)]
)
def test_a_measured_process_starts_with_a_default_reverted(name: str, expected: State) -> None:
    env = {"BENCH_SETTINGS": "config.settings", "BENCH_REVERT": name}
    found = run(NOW, DJANGO_SETTINGS_MODULE="djfast_bench.settings", **env)
    assert found == {**reverted("config.settings")[""], name: expected}


def project() -> dict[str, Any]:
    """Return the settings that the project defines, with caches that store something."""
    own = vars(import_module("config.settings"))
    own = {name: value for name, value in own.items() if name.isupper()}
    redis = own["CACHES"]["default"]
    return own | {"CACHES": own["CACHES"] | {"pages": redis, "template_fragments": redis}}


@pytest.mark.parametrize("row", OPT_INS, ids=lambda row: row.name)
def test_an_opt_in_is_on_once_it_is_enabled(row: Row) -> None:
    off = {"CACHES": project()["CACHES"], **row.revert(project())}
    with override_settings(**off):
        assert row.state() == State.OFF
    with override_settings(**off | row.enable(project() | off)):
        assert row.state() == State.ON
        assert row.finding().evidence()


def test_overrides_leave_the_settings_as_they_are() -> None:
    own = project()
    for row in OPT_INS:
        own |= row.enable(own)
    before = repr(own)
    for row in ROWS:
        row.revert(own)
        row.enable(own)
    assert repr(own) == before


def test_a_connection_without_the_pool_has_all_other_options() -> None:
    options = {"sslmode": "require", "pool": {"max_size": 8}}
    own = {"DATABASES": {"default": {"NAME": "app", "OPTIONS": options}}}
    default = ROWS_BY_NAME["connection pool"].revert(own)["DATABASES"]["default"]
    assert (default["NAME"], default["OPTIONS"]) == ("app", {"sslmode": "require"})


def test_the_whole_engine_is_inactive_when_the_setting_turns_it_off() -> None:
    engine = {row.name for row in applicable() if row.group == "engine"} - {"N+1 guard"}
    with override_settings(DJFAST_ENGINE=False):
        off = {row.name for row in applicable() if row.state() == State.INACTIVE}
    assert off == engine
    with override_settings(DJFAST_ENGINE={"urls"}):
        assert ROWS_BY_NAME["compiled urls"].state() == State.ON
        assert ROWS_BY_NAME["prepared formats"].state() == State.INACTIVE


def test_a_module_is_inactive_when_django_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djfast.engine.changed", lambda module: ["django.urls.base.reverse"])
    row = ROWS_BY_NAME["compiled urls"]
    assert row.state() == State.INACTIVE
    assert "django.urls.base.reverse" in row.finding().evidence()


def test_a_module_that_templates_do_not_use_is_reverted() -> None:
    engines = [
        engine | {"OPTIONS": engine["OPTIONS"] | {"builtins": []}}
        for engine in settings.TEMPLATES
        if engine["BACKEND"].endswith("DjangoTemplates")
    ]
    with override_settings(TEMPLATES=engines):
        for name in ("compiled urls", "compiled loops", "prepared formats"):
            assert ROWS_BY_NAME[name].state() == State.REVERTED
        assert ROWS_BY_NAME["fragments"].state() == State.OFF


def test_a_second_engine_need_not_use_a_module() -> None:
    mail = {"BACKEND": "django.template.backends.django.DjangoTemplates", "NAME": "mail"}
    with override_settings(TEMPLATES=[*settings.TEMPLATES, mail]):
        for name in ("compiled urls", "compiled loops", "prepared formats"):
            assert ROWS_BY_NAME[name].state() == State.ON


def test_without_templates_there_is_no_row_about_them() -> None:
    with override_settings(TEMPLATES=[]):
        names = {row.name for row in applicable()}
    assert not names & {"compiled urls", "compiled loops", "prepared formats", "fragments"}


@pytest.mark.parametrize("name", ["compiled urls", "prepared formats"])
def test_a_module_that_jinja2_alone_does_not_use_is_reverted(name: str) -> None:
    with override_settings(TEMPLATES=with_jinja2(environment="jinja2.Environment")):
        assert ROWS_BY_NAME[name].state() == State.REVERTED


def test_the_tag_that_jinja2_alone_has_lost_is_off() -> None:
    with override_settings(TEMPLATES=with_jinja2(extensions=[])):
        assert ROWS_BY_NAME["fragments"].state() == State.OFF


def with_jinja2(**options: Any) -> list[dict[str, Any]]:
    """Return the project's engines with other options for Jinja2."""
    return [
        engine | {"OPTIONS": engine["OPTIONS"] | options}
        if engine["BACKEND"].endswith("Jinja2")
        else engine
        for engine in settings.TEMPLATES
    ]


def test_a_silenced_default_is_a_choice_if_it_is_reverted_only() -> None:
    row = ROWS_BY_NAME["cached sessions"]
    with override_settings(SILENCED_SYSTEM_CHECKS=["speed.cached-sessions"]):
        assert row.state() == State.ON
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            assert row.state() == State.CHOICE
    with override_settings(DJFAST_ENGINE=False, SILENCED_SYSTEM_CHECKS=["speed.engine"]):
        assert ROWS_BY_NAME["compiled urls"].state() == State.CHOICE


def test_translation_is_up_to_the_site() -> None:
    with override_settings(USE_I18N=True):
        assert ROWS_BY_NAME["translation off"].state() == State.CHOICE


@pytest.mark.parametrize(
    ("backend", "state"),
    [
        ("signed_cookies", State.ON),
        ("cache", State.ON),
        ("cached_db", State.ON),
        ("db", State.REVERTED),
    ],
)
def test_sessions_that_make_no_query_count_as_cached(backend: str, state: State) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{backend}"):
        assert ROWS_BY_NAME["cached sessions"].state() == state


def test_conditional_get_above_compression_is_reverted() -> None:
    compression = "django_http_compression.middleware.HttpCompressionMiddleware"
    others = [path for path in settings.MIDDLEWARE if path != compression]
    with override_settings(MIDDLEWARE=[*others, compression]):
        assert ROWS_BY_NAME["compression"].state() == State.ON
        assert ROWS_BY_NAME["conditional GET"].state() == State.REVERTED


class Conditional(ConditionalGetMiddleware):
    """A middleware of the project."""


def test_a_middleware_counts_as_the_one_that_it_is_derived_from() -> None:
    row = ROWS_BY_NAME["conditional GET"]
    others = row.revert(project())["MIDDLEWARE"]
    with override_settings(MIDDLEWARE=[*others, f"{__name__}.Conditional"]):
        assert row.state() == State.ON


def test_development_uses_neither_bundles_nor_hashes() -> None:
    with override_settings(DEBUG=True):
        assert ROWS_BY_NAME["bundles"].state() == State.IN_PRODUCTION
        assert ROWS_BY_NAME["static files"].state() == State.IN_PRODUCTION
        assert ROWS_BY_NAME["page cache"].state() == State.IN_PRODUCTION
        assert ROWS_BY_NAME["fragments"].state() == State.IN_PRODUCTION


@pytest.mark.django_db
def test_every_default_that_is_on_has_evidence() -> None:
    for row in applicable():
        found = row.finding()
        if found.state == State.ON:
            assert found.evidence(), row.name


# Of each package that a plain project may lack.
BLOCK = """
import sys
missing = ("compressor", "debug_toolbar", "django_http_compression", "django_redis", "jinja2", "psycopg")
sys.modules.update(dict.fromkeys((*missing, "redis", "whitenoise"), None))
"""


@pytest.mark.parametrize("debug", [True, False])
def test_a_plain_project_lists_what_it_has_not_added(tmp_path: Path, debug: bool) -> None:
    """In what `startproject` makes, with the app added, and with no other package installed."""
    start = [sys.executable, "-m", "django", "startproject", "shop", "."]
    subprocess.run(start, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, check=True)
    with (tmp_path / "shop/settings.py").open("a", encoding="utf-8") as file:
        file.write(f'\nINSTALLED_APPS += ["djfast"]\nDEBUG = {debug}\n')
    found = run(BLOCK + NOW, tmp_path, DJANGO_SETTINGS_MODULE="shop.settings")
    on = {name for name, state in found.items() if state == State.ON}
    assert on == {"cached template loader"}
    assert found["translation off"] == State.CHOICE
    in_production = {"server", "static files"} if debug else {"server"}
    assert {n for n, state in found.items() if state == State.IN_PRODUCTION} == in_production
    assert {n for n, state in found.items() if state == State.OFF} == {
        row.name for row in ROWS if row.opt_in
    }
