"""What the variables of a generated project do, seen in a process that read them."""

import json
from pathlib import Path

import pytest

from conftest import Bake, Run

PRODUCTION = {
    "DEBUG": "0",
    "ALLOWED_HOSTS": "example.com",
    "DATABASE_URL": "postgresql://user:p%40ss@db.example.com:6432/shop?sslmode=require",
    "REDIS_URL": "rediss://user:p%40ss@cache.example.com:6380/3?ssl_cert_reqs=none",
    "SECRET_KEY": "a-secret-that-is-long-enough-for-every-check-of-django",
}

SETUP = "import django, json; django.setup()\n"


@pytest.fixture
def evaluate(project: Path, run: Run):
    """Evaluate an expression in a process of the project that was started with `env`."""

    def evaluate(expression: str, imports: str = "", **env: str) -> object:
        code = f"{SETUP}{imports}\nprint(json.dumps({expression}, default=str))"
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings"}
        python = project / ".venv/bin/python"
        out = run(python, "-c", code, cwd=project, env=PRODUCTION | settings | env)
        return json.loads(out.splitlines()[-1])

    return evaluate


def test_the_query_of_the_database_url_reaches_the_driver(evaluate) -> None:
    params = evaluate("connection.get_connection_params()", "from django.db import connection")
    assert params["sslmode"] == "require"
    assert params["password"] == "p@ss"
    assert (params["host"], params["port"], params["dbname"]) == ("db.example.com", 6432, "shop")


POOLS = """
from django_redis import get_redis_connection
def pool(alias):
    pool = get_redis_connection(alias).connection_pool
    return [pool.connection_class.__name__, pool.connection_kwargs]
"""


def test_each_alias_has_a_database_of_its_own_and_all_that_the_url_says(evaluate) -> None:
    for alias, number in [("default", 3), ("sessions", 4)]:
        kind, options = evaluate(f"pool({alias!r})", POOLS)
        assert (kind, options["db"]) == ("SSLConnection", number)
        assert (options["host"], options["port"]) == ("cache.example.com", 6380)
        assert (options["username"], options["password"]) == ("user", "p@ss")
        assert options["ssl_cert_reqs"] == "none"


@pytest.mark.parametrize(
    ("url", "number", "sessions"),
    [
        ("redis://cache", 0, 1),
        ("redis://cache/?db=7", 7, 8),
        ("unix:///run/redis.sock?db=2", 2, 3),
    ],
)
def test_the_number_of_the_database_may_stand_anywhere(
    evaluate, url: str, number: int, sessions: int
) -> None:
    databases = "[pool(alias)[1]['db'] for alias in ('default', 'sessions')]"
    assert evaluate(databases, POOLS, REDIS_URL=url) == [number, sessions]


def test_sessions_may_share_the_only_database_of_a_service(
    evaluate, project: Path, run: Run
) -> None:
    python = project / ".venv/bin/python"
    run(python, "-m", "djfast.services", "start", cwd=project)
    url = (project / ".services/env").read_text().split("REDIS_URL=")[1].splitlines()[0]
    code = """
from django.core.cache import caches
caches["sessions"].set("key", "session")
caches["default"].set("key", "page")
caches["default"].clear()
"""
    kept = "[caches['sessions'].get('key'), caches['default'].get('key')]"
    assert evaluate(kept, code, REDIS_URL=url, REDIS_SESSIONS_URL=url) == ["session", None]


def test_sqlite_is_tuned(evaluate, tmp_path: Path) -> None:
    code = """
from django.db import connection, transaction
def pragma(name):
    with connection.cursor() as cursor:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]
statements = []
with connection.cursor():
    connection.connection.set_trace_callback(statements.append)
with transaction.atomic():
    pass
"""
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    names = ["journal_mode", "synchronous", "mmap_size", "busy_timeout"]
    answer = evaluate(
        f"[[pragma(name) for name in {names}], statements[0]]", code, DATABASE_URL=url
    )
    assert answer == [["wal", 1, 134217728, 5000], "BEGIN IMMEDIATE"]


@pytest.mark.parametrize(("pooler", "kept"), [("1", False), ("0", True)])
def test_a_transaction_pooler_turns_off_what_outlives_a_transaction(
    evaluate, project: Path, run: Run, pooler: str, *, kept: bool
) -> None:
    python = project / ".venv/bin/python"
    run(python, "manage.py", "migrate", "--verbosity=0", cwd=project)
    url = (project / ".services/env").read_text().split("DATABASE_URL=")[1].splitlines()[0]
    code = """
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
with transaction.atomic(), connection.cursor() as cursor:
    rows = ContentType.objects.iterator()
    next(rows)
    cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '_django%'")
    [cursors] = cursor.fetchone()
"""
    said = ["cursors", "connection.connection.prepare_threshold"]
    answer = evaluate(f"[{', '.join(said)}]", code, TRANSACTION_POOLER=pooler, DATABASE_URL=url)
    assert answer == [int(kept), None]


def test_the_environment_wins_over_the_file(evaluate, project: Path) -> None:
    assert "DEBUG=1" in (project / ".env").read_text()
    assert evaluate("settings.DEBUG", "from django.conf import settings") is False


def test_a_file_of_a_folder_above_is_not_read(evaluate, project: Path) -> None:
    above = project.parent / ".env"
    above.write_text("TIME_TRAVEL=1\n")
    try:
        assert evaluate("os.environ.get('TIME_TRAVEL')", "import os") is None
    finally:
        above.unlink()


@pytest.mark.parametrize(
    ("url", "tls", "port"),
    [("smtp+tls://user:p%40ss@mail:587", True, 587), ("smtp://mail:25", False, 25)],
)
def test_mail_leaves_through_the_server_of_the_url(
    evaluate, url: str, port: int, *, tls: bool
) -> None:
    code = "from django.core.mail import mailers"
    mailer = "{n: getattr(mailers['default'], n) for n in ('host', 'port', 'password', 'use_tls')}"
    options = evaluate(mailer, code, EMAIL_URL=url)
    assert (options["host"], options["port"], options["use_tls"]) == ("mail", port, tls)
    assert options["password"] == ("p@ss" if tls else "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMAIL_URL", "submission://user:secret@mail:587"),
        ("EMAIL_URL", "smtp://user:secret@mail:abc"),
        ("TRUSTED_PROXY", "10.0.0.1/8"),
        ("TRUSTED_PROXY", "proxy.local"),
    ],
)
def test_what_would_be_ignored_in_silence_is_refused(
    project: Path, run: Run, name: str, value: str
) -> None:
    python = project / ".venv/bin/python"
    said = run(python, "manage.py", "check", cwd=project, env=PRODUCTION | {name: value}, code=1)
    assert said.startswith(f"Set {name} to ")
    assert "secret" not in said
    assert len(said.splitlines()) == 1


def test_spaces_after_commas_do_no_harm(evaluate) -> None:
    code = "from django.conf import settings"
    hosts = evaluate("settings.ALLOWED_HOSTS", code, ALLOWED_HOSTS="a.example.com, b.example.com")
    assert hosts == ["a.example.com", "b.example.com"]


@pytest.mark.parametrize("root", ["static", "."])
def test_a_build_deletes_nothing_that_it_did_not_make(bake: Bake, run: Run, root: str) -> None:
    project = bake(fresh=True)
    run("uv", "sync", "--quiet", cwd=project)
    before = sorted(project.glob("*/*"))
    run(".venv/bin/python", "-m", "config.build", cwd=project, env={"STATIC_ROOT": root}, code=1)
    assert sorted(path for path in project.glob("*/*") if path.name != "__pycache__") == [
        path for path in before if path.name != "__pycache__"
    ]


def test_an_empty_static_root_means_the_usual_one(evaluate, project: Path) -> None:
    code = "from django.conf import settings"
    assert evaluate("settings.STATIC_ROOT", code, STATIC_ROOT="") == str(project / "staticfiles")
