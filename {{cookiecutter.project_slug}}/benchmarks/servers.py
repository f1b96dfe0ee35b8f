"""Real production servers on a scratch database, for what one process cannot show."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
from psycopg import sql

from benchmarks import client

PROJECT = Path(__file__).resolve().parent.parent
START = 60  # seconds that a server may take to answer
STOP = 40  # seconds that it may take to end: more than its own patience


@contextmanager
def scratch_database(suffix: str = "bench") -> Iterator[str]:
    """Make an empty database beside the project's, give its URL, and drop it.

    Raises:
        SystemExit: it cannot be made; the message says why.
    """
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    if not url.scheme.startswith("postgres"):
        sys.exit("Measurements need PostgreSQL: unset DATABASE_URL, or set it to one.")
    name = f"{url.path.strip('/')}_{suffix}"
    identifier = sql.Identifier(name)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier)
    try:
        with psycopg.connect(url.geturl(), autocommit=True) as own:
            # The lock ends with this connection, however this process ends.
            locked = own.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name]).fetchone()
            if locked != (True,):
                sys.exit("Another measurement of this project runs: wait until it has ended.")
            own.execute(drop)  # what a run left that was killed
            own.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
            try:
                yield url._replace(path=f"/{name}").geturl()
            finally:
                own.execute(drop)
    except psycopg.OperationalError as error:
        sys.exit(f"DATABASE_URL leads to no database: {' '.join(str(error).split())}")


def environment(database: str, static: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a measured process: as in production, on this machine alone.

    Args:
        database: URL of a scratch database.
        static: folder of the static files.
        variables: further ones: `UNDONE`, `MEASURED_SIDE`.
    """
    exported = os.environ.get("MEASURED_SETTINGS") or os.environ.get("DJANGO_SETTINGS_MODULE")
    return os.environ | {
        "DATABASE_URL": database,
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "HOST": "127.0.0.1",
        "LOCAL_HTTP": "1",
        "MEASURED_SETTINGS": exported or "config.settings",
        "STATIC_ROOT": str(static),
        "WEB_CONCURRENCY": str(os.cpu_count() or 1),
        **variables,
    }


def run(*command: str, env: dict[str, str], project: Path = PROJECT, python: str = "") -> str:
    """Run a Python command of a project; return what it printed.

    Raises:
        SystemExit: it failed; the message is its output.
    """
    done = subprocess.run(
        [python or sys.executable, *command],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def prepare(env: dict[str, str], project: Path = PROJECT, python: str = "") -> str:
    """Build the static files, make the tables and fill them; return the visitor's session key."""
    seed = "from benchmarks.workload.data import seed; print(seed())"
    for command in (
        ("-m", "config.build"),
        ("manage.py", "migrate", "--run-syncdb", "--verbosity=0"),
        ("manage.py", "shell", "--no-imports", f"--command={seed}"),
    ):
        printed = run(*command, env=env, project=project, python=python)
    vacuum(env["DATABASE_URL"])
    return printed.split()[-1]


def vacuum(database: str) -> None:
    """Do at once what PostgreSQL else does to new rows a minute later, while one side is measured."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


@dataclass(frozen=True)
class Server:
    """A server that runs, and the master of its processes."""

    port: int
    process: psutil.Process

    def family(self) -> list[psutil.Process]:
        """Return all its processes; none if it has ended."""
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory(self) -> float:
        """Return the bytes of all its processes; pages that they share count once, where known."""
        return float(sum(map(memory, self.family())))

    def settle(self) -> None:
        """Wait until its processes have started, and rest.

        It answers as soon as one of them is there, which then gets all connections that are made, and
        keeps them. What never comes to rest is measured as it is.
        """
        deadline = time.monotonic() + START
        worked, since = -1.0, 0  # seconds of work; how often they were the same
        while since < 2 and time.monotonic() < deadline:
            before, worked = worked, sum(map(seconds, self.family()))
            since = since + 1 if worked == before else 0
            time.sleep(0.15)  # seconds: who still starts has worked in between


def memory(process: psutil.Process) -> int:
    """Return the bytes of a process: its share of what is shared, or all that is resident."""
    try:
        info = process.memory_full_info()
    except psutil.AccessDenied:  # macOS
        info = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(info, "pss", info.rss))


@contextmanager
def serving(
    env: dict[str, str],
    *command: str,
    project: Path = PROJECT,
    python: str = "",
) -> Iterator[Server]:
    """Run the production server, or another Python command that serves on `PORT`.

    Raises:
        SystemExit: it does not answer; the message has its log.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [word.replace("PORT", str(port)) for word in command or ("-m", "config.server")]
    log = Path(env["STATIC_ROOT"]).parent / f"{port}.log"
    with log.open("wb") as output:
        process = psutil.Popen(
            [python or sys.executable, *arguments],
            cwd=project,
            env=env | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us, who then stop it in order
        )
    server = Server(port, process)
    try:
        try:
            wait_until(lambda: answers(port), process)
        except TimeoutError:
            said = log.read_text(errors="replace")[-4000:]
            sys.exit(f"The server does not answer:\n{said}")
        yield server
    finally:
        with suppress(psutil.NoSuchProcess):
            family = server.family()
            process.terminate()
            _, alive = psutil.wait_procs(family, STOP)
            for left in alive:
                left.kill()


def seconds(process: psutil.Process) -> float:
    """Return the seconds that a process has worked."""
    try:
        return float(sum(process.cpu_times()[:2]))  # user and system
    except psutil.NoSuchProcess:
        return 0.0


def answers(port: int) -> bool:
    """Say whether a server answers."""
    try:
        return client.ask(port, "/health/live/").status == 200
    except OSError:
        return False


def wait_until(done: Callable[[], bool], process: psutil.Popen) -> None:
    """Wait for a process to be ready.

    Raises:
        TimeoutError: it ended first, or it took too long.
    """
    deadline = time.monotonic() + START
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)  # seconds: make compare times the start


def connections_made(database: str) -> int:
    """Return how many connections to a database have been made since it exists.

    Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
    """
    time.sleep(1.1)  # seconds: a process of PostgreSQL reports once a second at most
    name = urlsplit(database).path.strip("/")
    # From another database, so that looking is not counted.
    with psycopg.connect(os.environ["MAINTENANCE_URL"]) as own:
        query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
        found = own.execute(query, [name]).fetchone()
    return int(found[0]) if found else 0
