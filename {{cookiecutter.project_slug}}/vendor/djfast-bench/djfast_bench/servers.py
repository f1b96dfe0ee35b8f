"""Production servers on a scratch database, for everything that a single process cannot show."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import psycopg
from psycopg import sql

from djfast_bench import client, projects

HERE = Path()  # the project is the current directory
START_TIMEOUT = 60  # seconds until a server responds
STOP_TIMEOUT = 40  # seconds until it has ended: longer than its own grace period
# A page of the workload, so each measured server has it.
PROBE = "/catalogue/hello/"


@contextmanager
def scratch_database(suffix: str = "bench") -> Iterator[str]:
    """Create an empty database beside the project's, yield its URL, and drop it.

    Raises:
        SystemExit: it cannot be created; the message says why.
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
            own.execute(drop)  # left behind by a run that was killed
            own.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
            try:
                yield url._replace(path=f"/{name}").geturl()
            finally:
                own.execute(drop)
    except psycopg.OperationalError as error:
        sys.exit(f"DATABASE_URL leads to no database: {' '.join(str(error).split())}")


def environment(
    database: str, static: Path, *, project: Path = HERE, **variables: str
) -> dict[str, str]:
    """Return the environment of a measured process: as in production, for this machine only.

    Args:
        database: URL of a scratch database.
        static: folder of the static files.
        project: folder of the project.
        variables: further variables: `BENCH_REVERT`, `BENCH_SIDE`.
    """
    own = os.environ.get("BENCH_SETTINGS") or projects.settings_module(project)
    return os.environ | {
        "BENCH_SETTINGS": own,
        "DATABASE_URL": database,
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "djfast_bench.settings",
        "HOST": "127.0.0.1",
        "LOCAL_HTTP": "1",
        "STATIC_ROOT": str(static),
        "WEB_CONCURRENCY": str(os.cpu_count() or 1),
        **variables,
    }


def run_python(*command: str, env: dict[str, str], project: Path = HERE, python: str = "") -> str:
    """Run a Python command of a project; return its output.

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
        output = f"{done.stdout}{done.stderr}".strip()
        # A command that fails on purpose explains why; a traceback needs the command.
        sys.exit(f"{' '.join(command)} failed:\n{output}" if "Traceback" in output else output)
    return done.stdout


class Prepared(NamedTuple):
    """A project that is ready to be measured.

    Attributes:
        cookie: value of the Cookie header of the signed-in visitor.
        added: the settings that the harness had to add or change, in words.
    """

    cookie: str
    added: list[str]


def prepare(env: dict[str, str], project: Path = HERE, python: str = "") -> Prepared:
    """Build the static files, create the tables and fill them.

    Raises:
        SystemExit: a step fails; the message is its output.
    """
    run_python(*projects.build_command(project), env=env, project=project, python=python)
    command = ("-m", "djfast_bench.prepare", "data")
    printed = run_python(*command, env=env, project=project, python=python)
    vacuum(env["DATABASE_URL"])
    return Prepared(**json.loads(printed.splitlines()[-1]))


def vacuum(database: str) -> None:
    """Run what autovacuum would otherwise do a minute later, while one of the sides is measured."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


@dataclass(frozen=True)
class ServerProcess:
    """A running server: its port, and the main one of its processes."""

    port: int
    process: psutil.Process

    def family(self) -> list[psutil.Process]:
        """Return all its processes; none if it has ended."""
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory(self) -> float:
        """Return the bytes of all its processes; shared pages count once where that is known."""
        return float(sum(map(memory, self.family())))

    def settle(self) -> None:
        """Wait until its processes have started and are idle.

        A server responds as soon as its first process is ready, which would then get all connections,
        and keep them. A server that never becomes idle is measured as it is.
        """
        deadline = time.monotonic() + START_TIMEOUT
        used, repeated = -1.0, 0  # CPU seconds, and how often they were the same
        while repeated < 2 and time.monotonic() < deadline:
            before, used = used, sum(map(cpu_seconds, self.family()))
            repeated = repeated + 1 if used == before else 0
            time.sleep(0.15)  # seconds: a process that still starts uses CPU time meanwhile


def memory(process: psutil.Process) -> int:
    """Return the bytes of a process: its share of shared pages, or all that is resident."""
    try:
        info = process.memory_full_info()
    except psutil.AccessDenied:  # macOS
        info = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(info, "pss", info.rss))


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process in seconds."""
    try:
        return float(sum(process.cpu_times()[:2]))  # user and system
    except psutil.NoSuchProcess:
        return 0.0


@contextmanager
def serving(
    env: dict[str, str],
    *command: str,
    project: Path = HERE,
    python: str = "",
    probe: str = PROBE,
) -> Iterator[ServerProcess]:
    """Run the production server, or another Python command that serves on `PORT`.

    Args:
        env: environment of the server.
        command: arguments of Python; PORT in them is replaced; empty: the project's own server.
        project: folder of the project.
        python: its interpreter; empty: this one.
        probe: path that responds with 200 once the server has started.

    Raises:
        SystemExit: it does not respond; the message has its log.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = command or projects.server_command(project)
    log = Path(env["STATIC_ROOT"]).parent / f"{port}.log"
    with log.open("wb") as output:
        process = psutil.Popen(
            [python or sys.executable, *(word.replace("PORT", str(port)) for word in words)],
            cwd=project,
            env=env | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops the server
        )
    server = ServerProcess(port, process)
    try:
        try:
            wait_until(lambda: responds(port, probe), process)
        except TimeoutError:
            sys.exit(f"The server does not respond:\n{log.read_text(errors='replace')[-4000:]}")
        yield server
    finally:
        with suppress(psutil.NoSuchProcess):
            family = server.family()
            process.terminate()
            _, alive = psutil.wait_procs(family, STOP_TIMEOUT)
            for left in alive:
                left.kill()


def responds(port: int, path: str) -> bool:
    """Return whether a server responds with 200."""
    try:
        return client.get(port, path).status == 200
    except OSError:
        return False


def wait_until(done: Callable[[], bool], process: psutil.Popen) -> None:
    """Wait for a process to be ready.

    Raises:
        TimeoutError: it ended first, or START_TIMEOUT passed.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)  # seconds: the start is timed by `make compare`


def connections_made(databases: list[str], maintenance: str) -> list[int]:
    """Return how many connections have been made to each database since it exists.

    Args:
        databases: URLs of scratch databases.
        maintenance: URL of another database on the server: this query's connection is not counted.

    Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
    """
    query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
    names = [urlsplit(database).path.strip("/") for database in databases]
    with psycopg.connect(maintenance) as own:
        found = [own.execute(query, [name]).fetchone() or (0,) for name in names]
    return [int(number) for (number,) in found]
