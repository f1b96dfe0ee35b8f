"""What the variables of a generated project do, seen in a process that read them."""

import json
import re
from pathlib import Path
from tempfile import gettempdir

import pytest

from conftest import Bake, Run

PRODUCTION = {
    "DEBUG": "0",
    "ALLOWED_HOSTS": "example.com",
    "DATABASE_URL": "postgresql://user:p%40ss@db.example.com:6432/shop?sslmode=require",
    "REDIS_URL": "rediss://user:p%40ss@cache.example.com:6380/3?ssl_cert_reqs=none",
    "SECRET_KEY": "a-secret-that-is-long-enough-for-every-check-of-django",
}

SETUP = "import django; django.setup()\n"


@pytest.fixture
def tell(project: Path, run: Run):
    """Evaluate an expression in a process of the project that was started with `env`."""

    def tell(expression: str, imports: str = "", setup: str = SETUP, **env: str) -> object:
        code = f"{setup}{imports}\nimport json; print(json.dumps({expression}, default=str))"
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings"}
        python = project / ".venv/bin/python"
        out = run(python, "-c", code, cwd=project, env=PRODUCTION | settings | env)
        return json.loads(out.splitlines()[-1])

    return tell


def test_the_query_of_the_database_url_reaches_the_driver(tell) -> None:
    params = tell("connection.get_connection_params()", "from django.db import connection")
    assert params["sslmode"] == "require"
    assert params["password"] == "p@ss"
    assert (params["host"], params["port"], params["dbname"]) == ("db.example.com", 6432, "shop")


SETTINGS = "from config import settings"


ENGINES = {
    "postgresql": "django.db.backends.postgresql",
    "postgis": "django.contrib.gis.db.backends.postgis",
    "timescale": "timescale.db.backends.postgresql",
    "cockroach": "django_cockroachdb",
    "sqlite": "django.db.backends.sqlite3",
    "mysql": "django.db.backends.mysql",
}


def test_the_scheme_of_a_database_decides_what_it_gets(tell) -> None:
    code = f"""{SETTINGS}
from djfast.env import database
def get(query):
    return [database(f"{{one}}://db/shop{{query}}", **settings.tuned) for one in {[*ENGINES]}]
"""
    answers = tell("[get(''), get('?connect_timeout=9')]", code, setup="")
    for scheme, without, given in zip(ENGINES, *answers, strict=True):
        assert without["ENGINE"] == given["ENGINE"] == ENGINES[scheme]
        assert (given["CONN_MAX_AGE"], given["CONN_HEALTH_CHECKS"]) == (600, True)
        assert given["OPTIONS"]["connect_timeout"] == 9  # the query takes precedence
        options = {"sqlite": {"init_command", "timeout", "transaction_mode"}, "mysql": set()}
        assert without["OPTIONS"].keys() == options.get(scheme, {"connect_timeout"})


def test_a_second_database_and_another_engine_get_the_same(tell) -> None:
    code = f"""{SETTINGS}
from djfast.env import database
settings.DATABASES["archive"] = database("postgis://db/archive?sslmode=require", **settings.tuned)
settings.DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
"""
    both = tell("settings.DATABASES", code, setup="", TRANSACTION_POOLER="1")
    first, second = both["default"], both["archive"]
    assert (first["ENGINE"], second["ENGINE"]) == (
        "django_tenants.postgresql_backend",
        "django.contrib.gis.db.backends.postgis",
    )
    for name in ("CONN_HEALTH_CHECKS", "CONN_MAX_AGE", "DISABLE_SERVER_SIDE_CURSORS", "OPTIONS"):
        assert first[name] == second[name]
    assert (first["OPTIONS"]["connect_timeout"], first["OPTIONS"]["prepare_threshold"]) == (5, None)


POOLS = """
from django_redis import get_redis_connection
def pool(alias):
    pool = get_redis_connection(alias).connection_pool
    return [pool.connection_class.__name__, pool.connection_kwargs]
"""


def test_each_alias_has_a_database_of_its_own_and_all_that_the_url_says(tell) -> None:
    for alias, number in [("default", 3), ("sessions", 4)]:
        kind, options = tell(f"pool({alias!r})", POOLS)
        assert (kind, options["db"]) == ("SSLConnection", number)
        assert (options["host"], options["port"]) == ("cache.example.com", 6380)
        assert (options["username"], options["password"]) == ("user", "p@ss")
        assert options["ssl_cert_reqs"] == "none"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", {"host": "cache", "db": 0}),
        ("redis://:p,w;x|y%2F%23%3F%40%25@cache/2", {"password": "p,w;x|y/#?@%", "db": 2}),
        ("rediss://cache:6380/0?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none", "port": 6380}),
        ("rediss://cache?ssl_cert_reqs=required", {"ssl_cert_reqs": "required", "db": 0}),
        (
            "unix://user:p%40ss@/run/redis.sock?db=3",
            {"path": "/run/redis.sock", "password": "p@ss"},
        ),
    ],
)
def test_a_redis_url_stays_as_it_is_and_the_cache_understands_it(
    tell, url: str, expected: dict[str, object]
) -> None:
    given, found = tell("[settings.redis_url, pool('default')[1]]", POOLS + SETTINGS, REDIS_URL=url)
    assert given == url  # for Celery and others, which read other parameters than redis-py
    assert found.items() >= expected.items()
    assert found["socket_connect_timeout"] == 0.5


@pytest.mark.parametrize(
    ("url", "number", "sessions"),
    [
        ("redis://cache", 0, 1),
        ("redis://cache/?db=7", 7, 8),
        ("unix:///run/redis.sock?db=2", 2, 3),
    ],
)
def test_the_number_of_the_database_may_stand_anywhere(
    tell, url: str, number: int, sessions: int
) -> None:
    databases = "[pool(alias)[1]['db'] for alias in ('default', 'sessions')]"
    assert tell(databases, POOLS, REDIS_URL=url) == [number, sessions]


def test_sessions_may_share_the_only_database_of_a_service(tell, project: Path, run: Run) -> None:
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
    assert tell(kept, code, REDIS_URL=url, REDIS_SESSIONS_URL=url) == ["session", None]


def test_sqlite_is_tuned(tell, tmp_path: Path) -> None:
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
    answer = tell(f"[[pragma(name) for name in {names}], statements[0]]", code, DATABASE_URL=url)
    assert answer == [["wal", 1, 134217728, 5000], "BEGIN IMMEDIATE"]


@pytest.mark.parametrize(("pooler", "kept"), [("1", False), ("0", True)])
def test_a_transaction_pooler_turns_off_what_outlives_a_transaction(
    tell, project: Path, run: Run, pooler: str, *, kept: bool
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
    answer = tell(f"[{', '.join(said)}]", code, TRANSACTION_POOLER=pooler, DATABASE_URL=url)
    assert answer == [int(kept), None]


def test_the_environment_wins_over_the_file(tell, project: Path) -> None:
    assert "DEBUG=1" in (project / ".env").read_text()
    assert tell("settings.DEBUG", "from django.conf import settings") is False


def test_a_file_of_a_folder_above_is_not_read(tell, project: Path) -> None:
    above = project.parent / ".env"
    above.write_text("TIME_TRAVEL=1\n")
    try:
        assert tell("os.environ.get('TIME_TRAVEL')", "import os") is None
    finally:
        above.unlink()


@pytest.mark.parametrize(
    ("url", "tls", "port"),
    [("smtp+tls://user:p%40ss@mail:587", True, 587), ("smtp://mail:25", False, 25)],
)
def test_mail_leaves_through_the_server_of_the_url(tell, url: str, port: int, *, tls: bool) -> None:
    code = "from django.core.mail import mailers"
    mailer = "{n: getattr(mailers['default'], n) for n in ('host', 'port', 'password', 'use_tls')}"
    options = tell(mailer, code, EMAIL_URL=url)
    assert (options["host"], options["port"], options["use_tls"]) == ("mail", port, tls)
    assert options["password"] == ("p@ss" if tls else "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMAIL_URL", "submission://user:secret@mail:587"),
        ("EMAIL_URL", "smtp://user:secret@mail:abc"),
        ("EMAIL_URL", "smtp://user:12#secret@mail:587"),
        ("DATABASE_URL", "postgresql://user:12#secret@db/shop"),
        ("DATABASE_URL", "postgresql://user:12?secret@db/shop"),
        ("REDIS_URL", "redis://:12#secret@cache:6379/0"),  # else the host is localhost, the port 12
        ("REDIS_URL", "redis://user:12?secret@cache:6379/0"),
        ("REDIS_URL", "redis://user:12/secret@cache:6379/0"),
        ("REDIS_URL", "redis://:secret#1@cache:6379/0"),
        ("REDIS_URL", "redis://one:6379/0,redis://two:6379/0"),
        ("REDIS_URL", "redis+sentinel://:secret@sentinel:26379/mymaster/0"),
        ("REDIS_URL", "redis+socket:///run/redis.sock"),
        ("REDIS_SESSIONS_URL", "redis://cache/name"),
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


def test_spaces_after_commas_do_no_harm(tell) -> None:
    code = "from django.conf import settings"
    hosts = tell("settings.ALLOWED_HOSTS", code, ALLOWED_HOSTS="a.example.com, b.example.com")
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


def test_an_empty_static_root_means_the_usual_one(tell, project: Path) -> None:
    code = "from django.conf import settings"
    assert tell("settings.STATIC_ROOT", code, STATIC_ROOT="") == str(project / "staticfiles")


TWO_TESTS = """
import os, subprocess, sys, time
from django.conf import settings
from django.core.cache import caches
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import SimpleTestCase

caches["default"].get("opened before a process is forked")


class First(SimpleTestCase):
    def test_no_value_of_another_process_or_run_is_found(self):
        time.sleep(0.2)  # for the other process to take the other test
        for name in ("default", "sessions"):
            assert caches[name].get("process") in (None, os.getpid())
            caches[name].set("process", os.getpid(), None)
            assert caches[name].get("process") == os.getpid()
        name = default_storage.save("upload.txt", ContentFile(b"an upload"))
        assert default_storage.open(name).read() == b"an upload"


class Second(First):
    def test_a_command_that_a_test_starts_has_the_cache_of_the_test(self):
        if "PYTEST_VERSION" in os.environ:
            caches["default"].set("name", "test", 60)
            code = "from django.core.cache import cache; print(cache.get('name'))"
            command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
            assert subprocess.check_output(command, text=True).split() == ["test"]
            code = "from django.conf import settings; print(settings.MEDIA_ROOT)"
            said = subprocess.check_output([*command[:-1], code], text=True)
            assert said.split() == [str(settings.MEDIA_ROOT)]
"""


@pytest.mark.parametrize(
    "command",
    [
        "-m pytest --rootdir=. -c pyproject.toml -p no:cacheprovider {0}/test_cache.py",
        "-m pytest --rootdir=. -c pyproject.toml -p no:cacheprovider -n 2 {0}/test_cache.py",
        "manage.py test {0} -t {0}",
        "manage.py test --parallel=2 {0} -t {0}",
    ],
    ids=["pytest", "pytest -n", "manage.py test", "manage.py test --parallel"],
)
def test_the_caches_of_a_test_run_are_empty_and_its_own_and_so_are_its_uploads(
    project: Path, run: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "test_cache.py").write_text(TWO_TESTS, "utf-8")
    python = project / ".venv/bin/python"
    code = "from django.core.cache import cache; {}"
    shell = ["manage.py", "shell", "--no-imports", "-c"]
    run(python, *shell, code.format("cache.set('process', 1)"), cwd=project)
    before = [*Path(gettempdir()).glob("test-media-*")]
    for _ in range(2):
        said = run(python, *command.format(tmp_path).split(), cwd=project)
        assert "OK" in said or "3 passed" in said
    assert "1" in run(python, *shell, code.format("print(cache.get('process'))"), cwd=project)
    assert not (project / "media").exists()
    assert [*Path(gettempdir()).glob("test-media-*")] == before


def test_uploads_are_served_in_development_only_and_never_committed(
    tell, project: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("an upload")
    code = "from django.test import Client\nfrom django.urls import is_valid_path"
    env = {"MEDIA_ROOT": str(tmp_path)}
    page = "b''.join(Client().get('/media/a.txt', headers={'host': 'example.com'})).decode()"
    assert tell(page, code, DEBUG="1", **env) == "an upload"
    assert tell("is_valid_path('/media/a.txt')", code, **env) is False
    run("git", "init", "--quiet", cwd=tmp_path)
    ignored = ["git", f"--git-dir={tmp_path}/.git", "--work-tree=.", "check-ignore"]
    assert run(*ignored, "media/a.txt", cwd=project).strip() == "media/a.txt"


def test_the_readme_shows_how_to_use_an_object_storage(project: Path, run: Run) -> None:
    readme = (project / "README.md").read_text("utf-8")
    (lines,) = re.findall(r"```python\n(    \"default\": .*?)```", readme, re.DOTALL)
    code = f"""{SETUP}
from django.core.files.storage import storages
storage = storages.create_storage({{{lines}}}["default"])
print(type(storage).__name__, storage.file_overwrite, storage.url("a.txt"))
"""
    python = [
        "uv",
        "run",
        "--quiet",
        "--no-sync",
        "--with=django-storages[s3]",
        "python",
        "-c",
        code,
    ]
    env = PRODUCTION | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    kind, overwrite, url = run(*python, cwd=project, env=env | keys).split()
    assert (kind, overwrite) == ("S3Storage", "False")
    assert "a.txt?" in url
