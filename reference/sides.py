"""The servers that the headline compares: a project in two forms, stock Django in three, and the limits.

Runs in a generated project with the answers wsgi and granian: with its interpreter and services, its group
`bench`, and this repository on PYTHONPATH. The versions of Python, Django, psycopg and PostgreSQL are the
project's on every side.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import djfast_bench
from djfast_bench import projects, servers

WORKERS = os.cpu_count() or 1

EVERYTHING = "everything"  # the project as it is generated
SETTINGS = "settings and packages only"  # the same project with the engine off
STOCK = ("informed stock", "stock, a worker per core", "stock, one worker")
LIMIT = "the limit"  # the pages without Django
GENERATOR = "load generator"  # against a server that only sends bytes

# Appended to the settings of `django-admin startproject`; the harness sets the database.
STOCK_SETTINGS = """
import os

DATABASES["default"]["CONN_MAX_AGE"] = int(os.environ["STOCK_MAX_AGE"])  # seconds
"""


@dataclass(frozen=True, eq=False)
class Side:
    """A server to start.

    Attributes:
        cookie: the Cookie header of its signed-in visitor.
        env: environment variables of its processes.
        command: arguments of its interpreter, with PORT for the port; empty: the project's own server.
        folder: of its project.
        python: path of its interpreter.
    """

    cookie: str
    env: dict[str, str]
    command: tuple[str, ...] = ()
    folder: Path = Path()
    python: str = sys.executable

    def serving(self) -> AbstractContextManager[servers.ServerProcess]:
        """Return a context in which it is running."""
        return servers.serving(self.env, *self.command, project=self.folder, python=self.python)


@contextmanager
def prepared() -> Iterator[dict[str, Side]]:
    """Prepare all sides, by name: databases with the same rows, static files, a signed-in visitor."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="reference-")))
        own, plain, stock = (
            stack.enter_context(servers.scratch_database(f"reference_{name}"))
            for name in ("own", "plain", "stock")
        )
        others = stock_and_limits(stock, folder / "stock")
        everything = project(own, folder / "everything")
        settings = project(plain, folder / "settings", revert="engine")
        os.environ.update(everything.env)  # for the conditions of the results
        yield {EVERYTHING: everything, SETTINGS: settings, **others}


def project(database: str, static: Path, revert: str = "") -> Side:
    """Prepare the generated project, which is the current directory.

    Args:
        database: URL of an empty database.
        static: folder for its static files.
        revert: the speed default to revert; "engine": all of the engine and the base model.
    """
    # Their own prefixes in the cache: a page that one side cached is not what the other would render.
    env = servers.environment(database, static, BENCH_REVERT=revert, BENCH_SIDE=static.name)
    return Side(servers.prepare(env).cookie, env)


def stock_and_limits(database: str, folder: Path) -> dict[str, Side]:
    """Prepare what `django-admin startproject` makes, and what responds to its requests without Django.

    Args:
        database: URL of an empty database.
        folder: for the project; does not exist yet.
    """
    python = startproject(folder)
    env = servers.environment(database, folder / "static", project=folder, STOCK_MAX_AGE="0")
    cookie = servers.prepare(env, folder, python).cookie

    def gunicorn(workers: int, max_age: int) -> Side:
        command = ("-m", *projects.GUNICORN, f"--workers={workers}", "djfast_bench.wsgi")
        return Side(cookie, env | {"STOCK_MAX_AGE": str(max_age)}, command, folder, python)

    def limit(application: str) -> Side:
        options = ("--host=127.0.0.1", "--port=PORT", f"--workers={WORKERS}")
        options += tuple(import_module("config.server").OPTIONS)  # as the project's own server
        return Side(cookie, env, ("-m", "granian", *options, application))

    stock = (gunicorn(WORKERS, 60), gunicorn(WORKERS, 0), gunicorn(1, 0))
    return {
        **dict(zip(STOCK, stock, strict=True)),
        LIMIT: limit("reference.limit:application"),
        GENERATOR: limit("reference.limit:idle"),
    }


def startproject(folder: Path) -> str:
    """Make the stock project in an environment of its own; return the path of its interpreter."""
    folder.mkdir()
    packages = [f"{name}=={version(name)}" for name in ("django", "psycopg", "psycopg-binary")]
    requirements = "\n".join([*packages, "gunicorn>=27,<28"])
    (folder / "requirements.txt").write_text(requirements, "utf-8")
    projects.install(folder, "stock Django", "")
    python = str(folder / ".venv/bin/python")
    command = ("-m", "django", "startproject", "stock", ".")
    servers.run_python(*command, env=dict(os.environ), project=folder, python=python)
    with (folder / "stock/settings.py").open("a", encoding="utf-8") as file:
        file.write(STOCK_SETTINGS)
    # The harness, in the directory from which its processes import. It needs nothing but Django there.
    harness = Path(djfast_bench.__file__).parent
    shutil.copytree(harness, folder / harness.name, ignore=shutil.ignore_patterns("__pycache__"))
    return python
