"""Measure generated projects, then write the figures of docs/ from the results: `make docs`.

    python -m reference [--only PART,PART] [--quick] [--write]

Generates a project for each set of answers below build/docs/ and runs one part after the other. The result of
a part is written to docs/results/ as soon as there is one, so a run that was stopped continues with `--only`
and the parts that are missing. Nothing else should run on the machine.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cookiecutter.main import cookiecutter

from reference.documents import RESULTS, ROOT, TEMPLATE, write

BUILD = ROOT / "build/docs"
REUSED = {".services", ".venv"}  # of a project that an earlier run generated

# Answers that differ from the defaults, by the name of a project.
PROJECTS: dict[str, dict[str, str]] = {
    "default": {},
    "jinja2": {"template_engine": "jinja2"},
    "asgi": {"interface": "asgi"},
    "gunicorn": {"server": "gunicorn"},
}

UV = os.environ.get("UV") or shutil.which("uv") or "uv"  # the one that runs this process


class Part(NamedTuple):
    """One measurement, which gives one file.

    Attributes:
        name: of the file in docs/results/.
        project: that it runs in.
        minutes: that it takes on two cores.
        option: of `make bench` or `make compare`: what to measure, or what to compare with.
    """

    name: str
    project: str
    minutes: float
    option: str = ""


def parts() -> list[Part]:
    """Return all parts, in the order in which they are measured."""
    return [
        Part("bench-default", "default", 5),
        Part("bench-jinja2", "jinja2", 0.3, "ONLY=jinja2"),
        Part("bench-asgi", "asgi", 0.7, "ONLY=connection pool,context switches"),
        Part("bench-gunicorn", "gunicorn", 0.3, "ONLY=server"),
        *(
            Part(f"compare-{name}", "default", 3, f"WITH={BUILD / name / 'my-shop'}")
            for name in ("jinja2", "asgi", "gunicorn")
        ),
        *(Part(f"compare-python{each}", "default", 3, f"PYTHON={each}") for each in pythons()),
        Part("reference-django", "default", 10),
        Part("reference-jinja2", "jinja2", 10),
    ]


def pythons() -> list[str]:
    """Return the other versions of CPython on this machine that a project can use, as "3.12"."""
    command = [UV, "python", "list", "--only-installed", "--output-format=json"]
    listed = subprocess.run(command, cwd=ROOT, env=clean(), check=True, capture_output=True).stdout
    found = {
        (one["version_parts"]["major"], one["version_parts"]["minor"])
        for one in json.loads(listed)
        if (one["implementation"], one["variant"]) == ("cpython", "default")
    }
    own = (TEMPLATE / ".python-version").read_text("utf-8").strip()
    versions = [f"{major}.{minor}" for major, minor in sorted(found) if (major, minor) >= (3, 12)]
    return [version for version in versions if version != own]


def clean() -> dict[str, str]:
    """Return the environment of a new shell that has uv, without this virtual environment."""
    own = {"MAKEFLAGS", "MAKELEVEL", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"}
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    folders = [p for p in inherited["PATH"].split(os.pathsep) if not p.startswith(sys.prefix)]
    return inherited | {"PATH": os.pathsep.join([str(Path(UV).parent), *folders])}


def run(*command: str, cwd: Path, **variables: str) -> None:
    """Run a command with its output on the terminal.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(command, cwd=cwd, env=clean() | variables, check=True)


def generate(name: str) -> Path:
    """Generate a project in place of an earlier one, whose environment and services stay; return its folder."""
    folder = BUILD / name
    for old in folder.glob("my-shop/*"):
        if old.name not in REUSED:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "cookiecutter.json"  # else the developer's own defaults are used
    config.write_text(json.dumps({"cookiecutters_dir": str(folder), "replay_dir": str(folder)}))
    made = cookiecutter(
        str(ROOT),
        no_input=True,
        extra_context=PROJECTS[name],
        output_dir=str(folder),
        overwrite_if_exists=True,
        config_file=str(config),
    )
    return Path(made)


def measure(part: Part, project: Path, target: Path, *, quick: bool) -> None:
    """Measure one part and write its file.

    Args:
        part: what to measure.
        project: the folder of its project.
        target: the file to write.
        quick: whether to measure just enough to see that it works.
    """
    kind = part.name.partition("-")[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    if kind == "reference":
        command = ["uv", "run", "--quiet", "--group=bench", "python", "-m"]
        command += ["djfast.services", "run", "python", "-m", "reference.headline", str(target)]
        command += ["--starts=1"] if quick else []
        run(*command, cwd=project, PYTHONPATH=str(ROOT))
    else:
        options = [part.option] if part.option else []
        run("make", kind, *options, *(["QUICK=1"] if quick else []), cwd=project)
        newest = max((project / "benchmarks/results").glob("2*.json"))
        shutil.copyfile(newest, target)


def measure_all(todo: list[Part], results: Path, *, quick: bool) -> None:
    """Measure parts one after the other; print how far it is.

    Args:
        todo: the parts.
        results: the folder of the result files.
        quick: see `measure`.

    Raises:
        SystemExit: a part failed; the message has the command that continues.
    """
    # A comparison reads the project that it compares with, so all of them are generated.
    projects = {name: generate(name) for name in PROJECTS}
    total = sum(part.minutes for part in todo)
    print(f"{len(todo)} parts, {'quick' if quick else f'about {total:.0f} minutes'}", flush=True)
    try:
        for number, part in enumerate(todo, 1):
            about = "" if quick else f", about {part.minutes:g} min"
            print(f"\n[{number}/{len(todo)}] {part.name}{about}", flush=True)
            start = time.monotonic()
            try:
                measure(part, projects[part.project], results / f"{part.name}.json", quick=quick)
            except subprocess.CalledProcessError as error:
                left = ",".join(part.name for part in todo[number - 1 :])
                sys.exit(f"{part.name} failed ({error}). To continue: make docs ONLY={left}")
            print(f"{part.name} took {(time.monotonic() - start) / 60:.1f} min", flush=True)
    finally:
        for name in {part.project for part in todo}:
            run("make", "stop", cwd=projects[name])


@contextmanager
def alone() -> Iterator[None]:
    """Hold a lock until the end.

    Raises:
        SystemExit: another run holds it, whose services this one would stop.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another `make docs` is running: wait until it has ended.")
        yield


def chosen(only: str) -> list[Part]:
    """Return the parts whose names are in a list with commas; all if it is empty.

    Raises:
        SystemExit: there is no such part.
    """
    every = {part.name: part for part in parts()}
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := {*names} - {*every}:
        sys.exit(f"No such part: {', '.join(sorted(unknown))}. Choose from {', '.join(every)}.")
    return [every[name] for name in names or every]


def main() -> None:
    """Measure and write; with `--write` write only, with `--quick` measure only."""
    parser = argparse.ArgumentParser(prog="python -m reference", description=__doc__)
    parser.add_argument("--only", default="", metavar="PART", help="parts, with commas between")
    parser.add_argument(
        "--quick", action="store_true", help="see that all parts work; results in build/docs/quick/"
    )
    parser.add_argument("--write", action="store_true", help="only write, from docs/results/")
    options = parser.parse_args()
    if not options.write:
        todo = chosen(options.only)
        results = BUILD / "quick" if options.quick else RESULTS
        with alone():
            measure_all(todo, results, quick=options.quick)
        if not options.only:  # a version of Python that this machine no longer has
            for path in results.glob("*.json"):
                if path.stem not in {part.name for part in todo}:
                    path.unlink()
    if not options.quick:
        write()


if __name__ == "__main__":
    main()
