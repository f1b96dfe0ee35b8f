"""Fixtures: projects generated from a fresh clone of this repository, and their production server."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent

# library/test_library.py runs these in a project.
collect_ignore = [str(path) for path in (ROOT / "tests/library").iterdir() if path.is_dir()]

# All that a command may see of the developer's machine: where things are, and whom to trust.
INHERITED = {"HOME", "LANG", "SSL_CERT_DIR", "SSL_CERT_FILE", "PIP_CERT", "TMPDIR", "UV_CACHE_DIR"}

Bake = Callable[..., Path]
Run = Callable[..., str]

QUESTIONS = {
    "template_engine": ("django", "jinja2"),
    "interface": ("wsgi", "asgi"),
    "server": ("granian", "gunicorn"),
}
# Every answer, and every pair of answers, in four projects instead of eight.
PAIRS = [
    pytest.param(
        dict(zip(QUESTIONS, answers.split("-"), strict=True)),
        id=answers,
        marks=pytest.mark.xdist_group(answers),  # the second test finds everything installed
    )
    for answers in (
        "django-wsgi-granian",
        "django-asgi-gunicorn",
        "jinja2-wsgi-gunicorn",
        "jinja2-asgi-granian",
    )
]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the default project in one process, so that it is made and served once."""
    for item in items:
        alone = item.get_closest_marker("xdist_group") is None
        if alone and "project" in getattr(item, "fixturenames", []):
            item.add_marker(pytest.mark.xdist_group("project"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded with `record_property`."""
    figures = {
        name: value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
    }
    if figures:
        terminalreporter.section("figures")
    for name, value in sorted(figures.items()):
        terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a new shell that has uv, without this repository's own virtual environment."""
    bin_dir = tmp_path_factory.mktemp("bin")
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run the tests with `make test`, which brings uv"
    (bin_dir / "uv").symlink_to(uv)
    path = [
        p for p in os.environ["PATH"].split(os.pathsep) if not Path(p).is_relative_to(sys.prefix)
    ]
    kept = {name: value for name, value in os.environ.items() if name in INHERITED}
    return kept | {"PATH": os.pathsep.join([str(bin_dir), *path])}


@pytest.fixture(scope="session")
def run(clean_environment: dict[str, str]) -> Run:
    """Run a command in a clean environment; return what it printed.

    Fails, with the output, unless the exit code is `code` (None: any) within `timeout` seconds.
    """

    def run(
        *command: str | Path,
        cwd: Path,
        code: int | None = 0,
        timeout: float = 600,
        env: dict[str, str] | None = None,
    ) -> str:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=clean_environment | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert code in (None, done.returncode), (
            f"{' '.join(map(str, command))} gave {done.returncode}, not {code}:\n{done.stdout}"
        )
        return done.stdout

    return run


@pytest.fixture(scope="session")
def repository(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository that holds the template as it is now: committed or not, but never ignored."""
    copy = tmp_path_factory.mktemp("repository") / "djfast.git"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in run(*listed, cwd=ROOT).rstrip("\0").split("\0"):
        if (ROOT / name).exists():  # not one that was deleted since the last commit
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    commit(run, copy)
    return copy


def commit(run: Run, folder: Path, message: str = "As it is") -> None:
    """Commit everything that is not ignored in `folder`, which becomes a repository if it is none."""
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", *author, "commit", "--quiet", f"--message={message}", cwd=folder)


def clear(run: Run, project: Path) -> None:
    """Stop the services of `project` and delete their data, which root has outside the project."""
    services = project / ".services"
    if services.exists():
        run("make", "stop", cwd=project, code=None)
        shutil.rmtree(services.resolve())


@pytest.fixture(scope="session")
def template(repository: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template directory in a fresh clone."""
    clone = tmp_path_factory.mktemp("clone") / "djfast"
    run("git", "clone", "--quiet", repository.as_uri(), clone, cwd=clone.parent)
    return clone / "{{cookiecutter.project_slug}}"


@pytest.fixture(scope="session")
def bake(template: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bake]:
    """Generate a project with `**answers` and return its folder.

    Tests in one process share the folder of a set of answers, unless they ask for a `fresh` one or
    name the folder to put it in (`output`, with `overwrite` for one that is there already).
    """
    config = tmp_path_factory.mktemp("config") / "config.json"
    # Nothing of the developer's own defaults, and nothing left in their home.
    folders = {name: str(config.parent) for name in ("cookiecutters_dir", "replay_dir")}
    config.write_text(json.dumps(folders))
    shared: dict[tuple[tuple[str, str], ...], Path] = {}
    baked: set[Path] = set()

    def bake(
        *, fresh: bool = False, output: Path | None = None, overwrite: bool = False, **answers: str
    ) -> Path:
        key = tuple(sorted(answers.items()))
        alone = fresh or output is not None
        if alone or key not in shared:
            folder = cookiecutter(
                str(template.parent),
                no_input=True,
                extra_context=answers,
                output_dir=str(output or tmp_path_factory.mktemp("project")),
                config_file=str(config),
                overwrite_if_exists=overwrite,
            )
            baked.add(Path(folder))
            if alone:
                return Path(folder)
            shared[key] = Path(folder)
        return shared[key]

    yield bake
    for project in baked:
        clear(run, project)


@pytest.fixture(scope="session")
def project(bake: Bake, run: Run) -> Path:
    """A project with the default answers and its development dependencies installed."""
    folder = bake()
    run("uv", "sync", "--quiet", cwd=folder)
    return folder


@dataclass
class Server:
    """A server that runs."""

    url: str
    pid: int
    project: Path
    log: Path


@pytest.fixture(scope="session")
def served(project: Path, run: Run, clean_environment: dict[str, str]) -> Iterator[Server]:
    """The production server of `project`, on its development services and a free port."""
    run("make", "build", cwd=project)
    secret = secrets.token_urlsafe(50)
    production = {"DEBUG": "0", "LOCAL_HTTP": "1", "SECRET_KEY": secret}
    with serving(project, run, clean_environment | production, "-m", "config.server") as server:
        yield server


@pytest.fixture(scope="session")
def developed(project: Path, run: Run, clean_environment: dict[str, str]) -> Iterator[Server]:
    """The development server of `project`, as its developers see it."""
    command = ("manage.py", "runserver", "--noreload")
    with serving(project, run, clean_environment, *command) as server:
        yield server


@contextmanager
def serving(project: Path, run: Run, env: dict[str, str], *command: str) -> Iterator[Server]:
    """Run a Python command of `project`, with its services, that serves on the free PORT it is given."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    python = project / ".venv/bin/python"
    with_services = [python, "-m", "djfast.services", "run", python]
    run(*with_services, "manage.py", "migrate", "--verbosity=0", cwd=project, env=env)
    log = project.parent / f"{port}.log"
    address = [port] if "runserver" in command else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*with_services, *command, *address],
            cwd=project,
            env=env | {"PORT": port},
            stdout=output,
            stderr=output,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", process.pid, project, log)
        wait_for(server.url + "/health/live/", process, log)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(
    url: str, process: subprocess.Popen[bytes], log: Path, *, seconds: float = 30
) -> tuple[float, bytes]:
    """Ask for `url` until it answers 200; return how many seconds that took, and the page.

    Fails with the log when the process ends first or the time is over.
    """
    start = time.monotonic()
    while time.monotonic() - start < seconds and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return time.monotonic() - start, answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer within {seconds} s:\n{log.read_text()}")
