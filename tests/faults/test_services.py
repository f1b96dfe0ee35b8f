"""What the PostgreSQL and the Valkey of a project survive, and what they leave alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from conftest import Run

Make = Callable[..., "Site"]

STARTED = "Started PostgreSQL and Valkey (data in .services/; `make stop` ends them)."
SOURCE_ONLY = shutil.ignore_patterns(".env", ".services", ".uv", ".venv", "__pycache__")

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")

# Root as a normal user. The capability stands for what such a user would have: a Python, and a
# virtual environment, outside root's home.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NOBODY += ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")


@dataclass(frozen=True)
class Site:
    """A project, and who runs it. Its virtual environment is another's, so it is quickly copied."""

    folder: Path
    python: Path
    run: Run
    user: tuple[str, ...] = ()

    def __call__(self, *arguments: str, code: int = 0, **env: str) -> str:
        """Run Python with `arguments` in the project; return what it printed."""
        command = (*self.user, str(self.python), *arguments)
        clean = {"DEBUG": "1", "SECRET_KEY": "secret", "PYTHONDONTWRITEBYTECODE": "1"}
        return self.run(*command, cwd=self.folder, code=code, env=clean | env).strip()

    def services(self, command: str, **env: str) -> str:
        """Run `config/services.py`; return what it printed."""
        return self("-m", "config.services", command, **env)

    def background(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `config/services.py` in a session of its own, like a terminal's."""
        command = (*self.user, self.python, "-m", "config.services", *arguments)
        return subprocess.Popen(command, cwd=self.folder, start_new_session=True)

    def copy(self, folder: Path) -> "Site":
        """Copy the folder, data of servers that run included."""
        subprocess.run([*self.user, "cp", "-r", self.folder, folder], check=True)
        return replace(self, folder=folder)

    def clear(self) -> None:
        """Stop the servers and delete everything."""
        home = self.home
        self.services("stop")
        shutil.rmtree(home)
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

    def cache(self) -> redis.Redis:
        """Connect to Valkey."""
        return redis.Redis.from_url(self.urls["REDIS_URL"])

    def pids(self) -> dict[str, int]:
        """Return the process of each server, which it names itself."""
        with self.database() as connection:
            file = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()[0]
        return {
            "PostgreSQL": int(file.split()[0]),
            "Valkey": self.cache().info("server")["process_id"],
        }

    def processes(self) -> list[psutil.Process]:
        """Return all processes that work in the folder of data, children of servers included."""
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.home):
                    found.append(process)
            except (psutil.NoSuchProcess, FileNotFoundError):
                continue
        return found


def kill(pid: int) -> None:
    """End a process as the kernel does when memory runs out, and wait for its children as well."""
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)


@pytest.fixture
def make(project: Path, run: Run) -> Iterator[Make]:
    """Make sites from `project`, or register one; all are deleted in the end."""
    sites: list[Site] = []

    def make(folder: Path | Site, user: tuple[str, ...] = ()) -> Site:
        site = folder
        if isinstance(folder, Path):
            shutil.copytree(project, folder, ignore=SOURCE_ONLY)
            site = Site(folder, project / ".venv/bin/python", run, user)
            if user:
                subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.clear()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that any user can enter, other than those that pytest makes."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=[(), pytest.param(NOBODY, marks=as_root)], ids=["self", "nobody"])
def site(request: pytest.FixtureRequest, make: Make, place: Path) -> Site:
    """A project in which nothing was started yet: the user's who runs the tests, or another's."""
    return make(place / "site", request.param)


@pytest.fixture
def started(site: Site) -> Site:
    """A project whose servers run."""
    assert site.services("start") == STARTED
    return site


# Starting and stopping --------------------------------------------------------------------------


def test_one_line_says_what_was_started_and_nothing_is_said_of_what_runs(started):
    pids = started.pids()
    assert started.services("start") == ""
    assert started.pids() == pids


def test_four_processes_that_start_at_once_share_one_server_of_each_kind(site):
    starters = [site.background("start") for _ in range(4)]
    assert [starter.wait(60) for starter in starters] == [0] * 4
    pids = [process.pid for process in site.processes() if process.parent() not in site.processes()]
    assert sorted(pids) == sorted(site.pids().values())


def test_stop_ends_every_process_and_only_those_of_its_own_project(started, make, place):
    other = make(started.copy(place / "other"))
    other.services("start")
    pids = other.pids()
    started.services("stop")
    assert started.processes() == []
    assert other.pids() == pids
    assert started.services("status") == "PostgreSQL: stopped\nValkey: stopped"


def test_stopping_keeps_the_data_the_passwords_and_the_ports(started):
    with started.database() as connection:
        connection.execute("CREATE TABLE kept ()")
    urls = started.urls
    started.services("stop")
    started.services("start")
    assert started.urls == urls
    with started.database() as connection:
        connection.execute("TABLE kept")


def test_ctrl_c_at_the_command_that_started_them_leaves_both_running(site):
    command = site.background("run", "sleep", "60")
    deadline = time.monotonic() + 60
    while site.services("status").count("stopped") and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = site.pids()
    os.killpg(command.pid, signal.SIGINT)
    command.wait(10)
    assert site.services("start") == ""
    assert site.pids() == pids


def test_only_what_the_environment_does_not_name_is_started(site):
    printed = site.services("start", DATABASE_URL="sqlite://:memory:")
    assert "Started Valkey (" in printed
    assert list(site.urls) == ["REDIS_URL"]


# Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["PostgreSQL", "Valkey"])
def test_a_server_that_was_killed_is_replaced_at_the_same_address_and_the_other_stays(started, name):
    before, urls = started.pids(), started.urls
    with started.database() as connection:
        connection.execute("CREATE TABLE kept ()")
    kill(before[name])
    assert f"Started {name} (" in started.services("start")
    after = started.pids()
    assert {kind for kind in after if after[kind] != before[kind]} == {name}
    assert started.urls == urls
    with started.database() as connection:
        connection.execute("TABLE kept")


def test_a_process_id_that_has_become_somebody_elses_does_no_harm(started):
    record = started.home / "postgresql/postmaster.pid"
    stale = record.read_text()
    started.services("stop")
    with subprocess.Popen([*NOBODY, "sleep", "60"] if os.getuid() == 0 else ["sleep", "60"]) as other:
        record.write_text(stale.replace(stale.split()[0], str(other.pid), 1))
        started.services("start")
        started.services("stop")
        assert other.poll() is None
        other.kill()


def test_a_first_start_that_was_killed_is_begun_again(site):
    starter = site.background("start")
    while not (site.folder / ".services/postgresql.log").exists():
        time.sleep(0.01)
    time.sleep(0.3)  # amid initdb
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    assert site.services("start") == STARTED
    assert site.pids()


def test_a_lost_env_file_of_stopped_servers_gives_new_passwords_to_old_data(started):
    with started.database() as connection:
        connection.execute("CREATE TABLE kept ()")
    started.services("stop")
    (started.home / "env").unlink()
    started.services("start")
    with started.database() as connection:
        connection.execute("TABLE kept")


def test_a_port_that_was_taken_meanwhile_is_exchanged(started):
    port = int(started.urls["REDIS_URL"].split(":")[-1].split("/")[0])
    started.services("stop")
    with socket.create_server(("127.0.0.1", port)):
        started.services("start")
        assert f":{port}/" not in started.urls["REDIS_URL"]
        assert started.cache().ping()


def test_a_copy_of_a_project_that_runs_gets_servers_of_its_own(started, make, place):
    pids = started.pids()
    other = make(started.copy(place / "other"))
    assert other.services("start") == STARTED
    with other.database() as connection:
        connection.execute("CREATE TABLE here ()")
    other.cache().set("here", 1)
    assert started.services("start") == ""
    assert started.pids() == pids
    with started.database() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("TABLE here")
    assert started.cache().get("here") is None


def test_a_project_that_was_moved_while_its_servers_ran_keeps_its_data(project, make, place):
    # With a virtual environment of its own: the servers' programs move as well.
    site = make(place / "site")
    subprocess.run(["cp", "-r", project / ".venv", site.folder], check=True)
    site = replace(site, python=site.folder / ".venv/bin/python")
    site.services("start")
    with site.database() as connection:
        connection.execute("CREATE TABLE kept ()")
    ...
