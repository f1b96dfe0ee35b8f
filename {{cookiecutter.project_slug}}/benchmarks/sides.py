"""The two sides of a comparison: copies of projects, each installed, migrated and filled by itself."""

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

from benchmarks import servers
from benchmarks.client import ACCEPT
from benchmarks.servers import PROJECT

SETTINGS = "config/settings.py"  # what a project of this template has
# Where Git does not tell: what a project has beside its own files.
NOT_COPIED = (".venv", ".services", ".git", ".uv", "staticfiles", "__pycache__", ".*_cache")
# What this project's workload needs on both sides, whatever else their .env files say.
SHARED = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """A project that is ready to be served.

    Attributes:
        label: what the results call it.
        folder: of its copy.
        python: its interpreter.
        described: what benchmarks/described.py says of it.
        env: environment of its processes.
        database: URL of its scratch database.
        headers: of the signed-in visitor's browser.
    """

    label: str
    folder: Path
    python: str
    described: dict[str, Any]
    env: dict[str, str]
    database: str
    headers: dict[str, str]

    @contextmanager
    def serving(self) -> Iterator[servers.Server]:
        """Run its production server.

        Raises:
            SystemExit: it does not answer; the message has its log.
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
    """Give the other project and this one, ready to be served; leave nothing of them.

    Args:
        other: folder of a project, or `rev:` and a revision of this one; empty: this one.
        python: version or path of an interpreter for the other; empty: as the project has it.

    Raises:
        SystemExit: a side cannot be made; the message says why.
    """
    # What this project's .env says is for this project: both sides read their own again.
    for name, value in dotenv_values(PROJECT / ".env").items():
        if name not in SHARED and os.environ.get(name) == value:
            del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, each start would compile all code
    os.environ["MAINTENANCE_URL"] = os.environ.get("DATABASE_URL", "")
    old, new = labels(other, python)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="compare-")))
        left, right = home / "left", home / "right"
        copy(PROJECT, left)
        if other.startswith("rev:"):
            extract(other.removeprefix("rev:"), right)
        else:
            copy(Path(other or PROJECT).resolve(), right)
        control = stack.enter_context(filled(left, old, ""))
        yield stack.enter_context(filled(right, new, python)), control


def labels(other: str, python: str) -> tuple[str, str]:
    """Name this project and the other, with as much of their paths as tells them apart."""
    old, new = PROJECT.name, ""
    if other.startswith("rev:"):
        new = other.removeprefix("rev:")
    elif other:
        there = Path(other).resolve()
        tails = [[Path(*path.parts[-n:]) for path in (PROJECT, there)] for n in (1, 2, 3, 4)]
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


def copy(project: Path, target: Path) -> None:
    """Copy the files of a project that Git tracks or would track; without Git, nearly all.

    Raises:
        SystemExit: there is no project.
    """
    if not project.is_dir():
        sys.exit(f"There is no folder {project}.")
    if not (project / SETTINGS).is_file():
        sys.exit(f"{project} is no project of this template: it has no {SETTINGS}.")
    every = ("--cached", "--others", "--exclude-standard")
    listed = git("ls-files", "-z", *every, folder=project).stdout
    names = os.fsdecode(listed).split("\0")
    if SETTINGS in names:
        for name in names:
            if (project / name).is_file():  # neither deleted nor a repository in this one
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, target / name)
    else:
        shutil.copytree(project, target, ignore=shutil.ignore_patterns(*NOT_COPIED))
    complete(target, project)


def extract(revision: str, target: Path) -> None:
    """Write this project as it was at a revision; nothing of the project is touched.

    Raises:
        SystemExit: Git does not have it.
    """
    found = git("archive", "--format=tar", "--end-of-options", revision, folder=PROJECT)
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip()
        sys.exit(f"Git does not give revision {revision!r} of this project: {said}.")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(target, filter="data")
    if not (target / SETTINGS).is_file():
        sys.exit(f"Revision {revision!r} is no project of this template: it has no {SETTINGS}.")
    complete(target, PROJECT)


def complete(target: Path, origin: Path) -> None:
    """Add what Git does not: .env, and this project's workload in place of its own."""
    if (origin / ".env").is_file():
        shutil.copy2(origin / ".env", target)
    shutil.rmtree(target / "benchmarks", ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(PROJECT / "benchmarks", target / "benchmarks", ignore=ignored)


def install(folder: Path, label: str, python: str) -> str:
    """Install what the project in a folder needs to run; return the path of its interpreter.

    Raises:
        SystemExit: uv cannot do it; the message is uv's.
    """
    uv = os.environ.get("UV") or shutil.which("uv") or str(PROJECT / ".uv/bin/uv")
    command = [uv, "sync", "--quiet", "--no-dev"]
    if python:
        command += ["--no-python-downloads", f"--python={python}"]
    env = os.environ | {"UV_PROJECT_ENVIRONMENT": ".venv"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"uv cannot install {label}:\n{done.stderr}")
    return str(folder / ".venv/bin/python")


@contextmanager
def filled(folder: Path, label: str, python: str) -> Iterator[Side]:
    """Install the copy in a folder, lend it a database, and fill that.

    Raises:
        SystemExit: it cannot be done; the message says why.
    """
    python = install(folder, label, python)
    static, name = folder / "staticfiles", folder.name
    with servers.scratch_database(name) as database:
        env = servers.environment(database, static, MEASURED_SIDE=name)
        # Described as it is, not as it is measured: without workload and scratch database.
        own = servers.environment(os.environ["DATABASE_URL"], Path("staticfiles"))
        own["DJANGO_SETTINGS_MODULE"] = own["MEASURED_SETTINGS"]
        try:
            said = servers.run("-m", "benchmarks.described", env=own, project=folder, python=python)
            session = servers.prepare(env, folder, python)
        except SystemExit as error:
            sys.exit(f"{label}: {error}")
        described = json.loads(said)
        cookie = described["Settings"]["SESSION_COOKIE_NAME"].strip("'") + f"={session}"
        yield Side(
            label=label,
            folder=folder,
            python=python,
            described=described,
            env=env,
            database=database,
            headers={"cookie": cookie, "accept_encoding": ACCEPT},
        )
