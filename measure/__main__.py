"""Measure what stands in docs/, then write it: `make docs`.

    python -m measure [--write]

Generates a project for each answer below build/docs/, runs their benchmarks one after the other, keeps
the results files in docs/results/ and writes the documents from them. Nothing else should run.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cookiecutter.main import cookiecutter

from measure.documents import RESULTS, ROOT, TEMPLATE, write

PROJECTS: dict[str, dict[str, str]] = {
    "default": {},
    "jinja2": {"template_engine": "jinja2"},
    "asgi": {"interface": "asgi"},
    "gunicorn": {"server": "gunicorn"},
}
# What `make bench` measures in each: all, or the rows that have this in their name.
BENCHES = {
    "default": "",
    "jinja2": "jinja2",
    "asgi": "connection pool, context switches",
    "gunicorn": "server",
}
REFERENCES = {"django": "default", "jinja2": "jinja2"}

MEASURED = ROOT / "build/docs/results"  # until all is measured: docs/ shows one run, of one commit

UV = os.environ.get("UV") or shutil.which("uv") or "uv"  # the one that runs this


def clean() -> dict[str, str]:
    """Return the environment of a new shell that has uv, without this virtual environment."""
    ours = {"MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    folders = [p for p in kept["PATH"].split(os.pathsep) if not p.startswith(sys.prefix)]
    return kept | {"PATH": os.pathsep.join([str(Path(UV).parent), *folders])}


def run(*command: str, cwd: Path, **variables: str) -> None:
    """Run a command, which shows on the terminal what it does."""
    subprocess.run(command, cwd=cwd, env=clean() | variables, check=True)


def generate(name: str) -> Path:
    """Generate a project, over what an earlier run has left of it; return its folder."""
    folder = ROOT / "build/docs" / name
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "cookiecutter.json"  # else the developer's own defaults are used
    own.write_text(json.dumps({"cookiecutters_dir": str(folder), "replay_dir": str(folder)}))
    made = cookiecutter(
        str(ROOT),
        no_input=True,
        extra_context=PROJECTS[name],
        output_dir=str(folder),
        overwrite_if_exists=True,
        config_file=str(own),
    )
    return Path(made)


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


def measure() -> None:
    """Measure everything, one thing after the other; then put it into docs/results/.

    Raises:
        SystemExit: it is being done already; a second run would stop the services of the first.
    """
    (ROOT / "build").mkdir(exist_ok=True)
    lock = (ROOT / "build/docs.lock").open("w")  # held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("Another `make docs` runs here: wait until it has ended.")
    shutil.rmtree(MEASURED, ignore_errors=True)
    MEASURED.mkdir(parents=True)
    projects = {name: generate(name) for name in PROJECTS}
    try:
        suites(projects)
        references(projects)
    finally:
        for project in projects.values():
            run("make", "stop", cwd=project)
    shutil.rmtree(RESULTS, ignore_errors=True)
    shutil.copytree(MEASURED, RESULTS)


def suites(projects: dict[str, Path]) -> None:
    """Run `make bench` and `make compare`, and copy what they stored."""
    home, *others = PROJECTS
    jobs = [(f"bench-{name}", name, f"ONLY={only}") for name, only in BENCHES.items()]
    jobs += [(f"compare-{name}", home, f"WITH={projects[name]}") for name in others]
    jobs += [(f"compare-python{version}", home, f"PYTHON={version}") for version in pythons()]
    for name, project, option in jobs:
        print(f"\n{name}", flush=True)
        target = name.partition("-")[0]
        run("make", target, option, cwd=projects[project])
        newest = max((projects[project] / "benchmarks/results").glob("2*.json"))
        shutil.copyfile(newest, MEASURED / f"{name}.json")


def references(projects: dict[str, Path]) -> None:
    """Measure against stock Django and against the limit."""
    with_services = ["uv", "run", "--quiet", "--group=bench", "--group=load", "python", "-m"]
    with_services += ["config.services", "run", "python", "-m", "measure.references"]
    for engine, name in REFERENCES.items():
        print(f"\nreference-{engine}", flush=True)
        path = MEASURED / f"reference-{engine}.json"
        run(*with_services, str(path), cwd=projects[name], PYTHONPATH=str(ROOT))


def main() -> None:
    """Measure unless told only to write; write."""
    parser = argparse.ArgumentParser(prog="python -m measure", description=__doc__)
    parser.add_argument("--write", action="store_true", help="only write, from docs/results/")
    options = parser.parse_args()
    if not options.write:
        measure()
    write()


if __name__ == "__main__":
    main()
