"""The two sides of a comparison: copies of projects, each installed and prepared in its own environment.

Both sides run this project's harness: a copy of djfast_bench is on their PYTHONPATH, whatever version
they have themselves. The interpreter, the packages and the settings are the side's own.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dotenv import dotenv_values

from djfast_bench import projects, servers
from djfast_bench.client import ACCEPT

# Not copied from a project that is not in a Git repository.
GENERATED = (".venv", ".services", ".git", ".uv", "staticfiles", "__pycache__", ".*_cache")
# What both sides share, whatever else their .env files contain.
SHARED = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """A project that is ready to be served.

    Attributes:
        label: its name in the results.
        folder: of its copy.
        python: its interpreter.
        described: settings and versions, from djfast_bench.describe.
        env: environment of its processes.
        database: URL of its scratch database.
        headers: of the signed-in visitor's browser.
        note: what the harness had to add to measure it; "" if nothing.
    """

    label: str
    folder: Path
    python: str
    described: dict[str, Any]
    env: dict[str, str]
    database: str
    headers: dict[str, str]
    note: str

    @contextmanager
    def serving(self) -> Iterator[servers.ServerProcess]:
        """Run its production server.

        Raises:
            SystemExit: it does not respond; the message has its log.
        """
        with ExitStack() as stack:
            try:
                serving = servers.serving(self.env, project=self.folder, python=self.python)
                server = stack.enter_context(serving)
            except SystemExit as error:
                sys.exit(f"{self.label}: {error}")
            yield server


@contextmanager
def ready(other: str, python: str) -> Iterator[tuple[Side, Side]]:
    """Yield the other project and this one, ready to be served; leave nothing of them behind.

    Args:
        other: folder of a Django project, or `rev:` and a revision of this one; empty: this one.
        python: version or path of an interpreter for the other side; empty: as the project has it.

    Raises:
        SystemExit: a side cannot be prepared; the message says why.
    """
    own = Path.cwd()
    # The variables of this project's .env are for this project: each side reads its own again.
    for name, value in dotenv_values(own / ".env").items():
        if name not in SHARED and os.environ.get(name) == value:
            del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, each start would compile all code
    control_label, label = labels(own, other, python)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="compare-")))
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(__file__).parent, home / "harness/djfast_bench", ignore=ignored)
        copy_project(own, home / "left")
        if other.startswith("rev:"):
            extract_revision(own, other.removeprefix("rev:"), home / "right")
        else:
            copy_project(Path(other or own).resolve(), home / "right")
        control = stack.enter_context(prepared(home / "left", control_label, ""))
        yield stack.enter_context(prepared(home / "right", label, python)), control


def labels(own: Path, other: str, python: str) -> tuple[str, str]:
    """Return names of this project and the other, with as much of their paths as differs."""
    old, new = own.name, ""
    if other.startswith("rev:"):
        new = other.removeprefix("rev:")
    elif other:
        there = Path(other).resolve()
        tails = [[Path(*path.parts[-n:]) for path in (own, there)] for n in (1, 2, 3, 4)]
        old, new = next((map(str, pair) for pair in tails if pair[0] != pair[1]), (old, old))
        new = new if new != old else f"{new}, again"
    if python:  # a version, or the path of an interpreter
        version = "Python " + Path(python).name.removeprefix("python")
        new = f"{new}, {version}" if new else version
    return old, new


def git(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """Run Git in a folder."""
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", b"Git is not installed")


def copy_project(project: Path, target: Path) -> None:
    """Copy the files that Git tracks or would track; without Git, all but generated ones.

    Raises:
        SystemExit: the folder does not hold a Django project.
    """
    if not project.is_dir():
        sys.exit(f"There is no folder {project}.")
    projects.settings_module(project)
    every = ("--cached", "--others", "--exclude-standard")
    names = os.fsdecode(git("ls-files", "-z", *every, folder=project).stdout).split("\0")
    if "manage.py" in names:
        for name in names:
            if (project / name).is_file():  # neither deleted nor a nested repository
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, target / name)
    else:
        shutil.copytree(project, target, ignore=shutil.ignore_patterns(*GENERATED))
    copy_env(project, target)


def extract_revision(project: Path, revision: str, target: Path) -> None:
    """Write a project as it was at a revision; the project itself is not changed.

    Raises:
        SystemExit: Git has no such revision, or it is no Django project.
    """
    found = git("archive", "--format=tar", "--end-of-options", revision, folder=project)
    if found.returncode:
        message = found.stderr.decode(errors="replace").strip()
        sys.exit(f"Git has no revision {revision!r} of this project: {message}.")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(target, filter="data")
    projects.settings_module(target)
    copy_env(project, target)


def copy_env(project: Path, target: Path) -> None:
    """Copy the .env file of a project, which Git ignores."""
    if (project / ".env").is_file():
        shutil.copy2(project / ".env", target)


@contextmanager
def prepared(folder: Path, label: str, python: str) -> Iterator[Side]:
    """Install the copy in a folder, create a database for it, and fill that.

    Raises:
        SystemExit: this fails; the message says why.
    """
    packages = projects.install(folder, label, python)
    interpreter = str(folder / ".venv/bin/python")
    with servers.scratch_database(folder.name) as database:
        variables = {"BENCH_SIDE": folder.name, "PYTHONPATH": str(folder.parent / "harness")}
        env = servers.environment(database, folder / "staticfiles", project=folder, **variables)
        # Described as it is, not as it is measured: without workload and scratch database.
        as_it_is = env | {
            "DATABASE_URL": os.environ["DATABASE_URL"],
            "DJANGO_SETTINGS_MODULE": env["BENCH_SETTINGS"],
            "STATIC_ROOT": "staticfiles",
        }
        try:
            described = servers.run_python(
                "-m", "djfast_bench.describe", env=as_it_is, project=folder, python=interpreter
            )
            cookie, settings = servers.prepare(env, folder, interpreter)
        except SystemExit as error:
            sys.exit(f"{label}: {error}")
        yield Side(
            label=label,
            folder=folder,
            python=interpreter,
            described=json.loads(described),
            env=env,
            database=database,
            headers={"cookie": cookie, "accept_encoding": ACCEPT},
            note=explain_additions(label, packages, settings, folder),
        )


def explain_additions(label: str, packages: list[str], settings: list[str], folder: Path) -> str:
    """Return a sentence about what was added to a project; "" if nothing was."""
    parts = [f"the packages {', '.join(packages)}"] if packages else []
    parts += [f"the settings {'; '.join(settings)}"] if settings else []
    if projects.server_command(folder)[1] == "gunicorn":
        parts.append("gunicorn with one worker per core as its server")
    return f"{label} was measured with {', and '.join(parts)}." if parts else ""
