"""Django projects of any kind: their settings, and how they are installed, built and served.

A project of this template has `config/build.py` and `config/server.py`. For any other Django project,
the harness reads the settings module from manage.py and serves the project with gunicorn.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""")
# What the harness needs in the environment of a project that does not have it.
ADDED = {"django": "", "psycopg": "psycopg[binary]>=3.2,<4", "gunicorn": "gunicorn>=23,<28"}
COLLECT = ("-m", "djfast_bench.prepare", "static")
GUNICORN = ("gunicorn", "--bind=127.0.0.1:PORT", "--config=python:djfast_bench.gunicorn_settings")


def settings_module(project: Path) -> str:
    """Return the name of a project's settings module.

    An exported DJANGO_SETTINGS_MODULE takes precedence, unless the project has no such module.

    Raises:
        SystemExit: the folder has no manage.py that names one.
    """
    exported = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    if exported and list(project.glob(f"{exported.replace('.', '/')}*")):
        return exported
    manage = project / "manage.py"
    if not manage.is_file():
        sys.exit(f"{project.resolve()} is no Django project: it has no manage.py.")
    found = SETTINGS.search(manage.read_text("utf-8"))
    if not found:
        sys.exit(f"{manage.resolve()} names no settings module: export DJANGO_SETTINGS_MODULE.")
    return found[1]


def build_command(project: Path) -> tuple[str, ...]:
    """Return the arguments of Python that build the project's static files."""
    if (project / "config/build.py").is_file():
        return "-m", "config.build"
    return COLLECT


def server_command(project: Path) -> tuple[str, ...]:
    """Return the arguments of Python that serve the project on 127.0.0.1:PORT, as in production."""
    if (project / "config/server.py").is_file():
        return "-m", "config.server"
    return "-m", *GUNICORN, f"--workers={os.cpu_count() or 1}", "djfast_bench.wsgi"


def uv(*arguments: str, folder: Path) -> str:
    """Run uv in a project's folder; return its error output, "" if it succeeded."""
    program = os.environ.get("UV") or shutil.which("uv") or str(Path.cwd() / ".uv/bin/uv")
    done = subprocess.run(
        [program, "--quiet", *arguments],
        cwd=folder,
        # Of another project, and this process's own.
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": ".venv", "VIRTUAL_ENV": str(folder / ".venv")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def install(folder: Path, label: str, python: str) -> list[str]:
    """Install what a project needs to run into its .venv; return what it does not require itself.

    Args:
        folder: of the project; a copy, since this writes to it.
        label: name of the project in messages.
        python: version or path of an interpreter; empty: the one that the project asks for.

    Raises:
        SystemExit: uv fails; the message is uv's.
    """
    interpreter = ["--no-python-downloads", f"--python={python}"] if python else []
    if is_uv_project(folder):
        steps = [["sync", "--no-dev", *interpreter]]
    else:
        # The same Python and Django as here, unless the project says otherwise.
        steps = [["venv", *(interpreter or [f"--python={sys.executable}"]), ".venv"]]
        if (folder / "requirements.txt").is_file():
            steps += [["pip", "install", "--requirement=requirements.txt"]]
    for step in steps:
        if error := uv(*step, folder=folder):
            sys.exit(f"uv cannot install {label}:\n{error}")
    return [] if (folder / "config/server.py").is_file() else complete(folder, label)


def is_uv_project(folder: Path) -> bool:
    """Return whether uv can install a project's dependencies from its pyproject.toml."""
    file = folder / "pyproject.toml"
    return file.is_file() and "project" in tomllib.loads(file.read_text("utf-8"))


def complete(folder: Path, label: str) -> list[str]:
    """Install Django, psycopg and gunicorn where a project lacks them; return what was added.

    Raises:
        SystemExit: uv fails; the message is uv's.
    """
    from django import get_version

    missing = [
        name for name in ADDED if not list(folder.glob(f".venv/lib/python*/site-packages/{name}"))
    ]
    wanted = [ADDED[name] or f"{name}=={get_version()}" for name in missing]
    if wanted and (error := uv("pip", "install", *wanted, folder=folder)):
        sys.exit(f"uv cannot install {', '.join(wanted)} for {label}:\n{error}")
    return missing
