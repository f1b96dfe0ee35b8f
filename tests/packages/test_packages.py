"""Packages give the same with the defaults of a generated project as under stock Django.

`site/` is one site with all of them. It runs in one environment, on one PostgreSQL and Valkey: once
with the settings that `startproject` writes, and with those of the generated project, with the engine on
and off and with the project's base model and Django's. All pages, results and tables are compared.

PACKAGES=full runs it with every pair of answers, and stores what docs/packages.md shows.
"""

import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import PAIRS, ROOT, Bake, Run

SITE = Path(__file__).parent / "site"
STORED = ROOT / "docs/results/packages"
FULL = os.environ.get("PACKAGES") == "full"

# What is compared, and installed.
PACKAGES = [
    "celery",
    "channels",
    "django-allauth",
    "django-cotton",
    "django-crispy-forms",
    "django-dirtyfields",
    "django-filter",
    "django-htmx",
    "django-import-export",
    "django-model-utils",
    "django-mptt",
    "django-ninja",
    "django-polymorphic",
    "django-simple-history",
    "django-storages",
    "django-tables2",
    "django-treebeard",
    "djangorestframework",
]
# What these need for that; httpx is the client.
NEEDED = ["celery[redis]", "channels[daphne]", "channels-redis", "crispy-bootstrap5"]
NEEDED += ["django-storages[s3]", "httpx"]

SIDES = [
    f"{engine}, {base}"
    for engine, base in product(("engine", "no engine"), ("BaseModel", "models.Model"))
]
# On each commit, one project, with all and with nothing that the library replaces.
ANSWERS = [
    pytest.param(pair.values[0], id=pair.id, marks=pytest.mark.xdist_group(f"packages-{pair.id}"))
    for pair in (PAIRS if FULL else PAIRS[:1])
]
COMPARED = SIDES if FULL else [SIDES[0], SIDES[-1]]

Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def sides(
    bake: Bake, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, str], str], Found]:
    """Return what the site gives in a project with some answers, on the side of that name."""
    projects: dict[str, Path] = {}
    found: dict[tuple[str, str], Found] = {}

    def side(answers: dict[str, str], name: str) -> Found:
        key = "-".join(answers.values())
        if key not in projects:
            projects[key] = bake(fresh=True, **answers)
            run("uv", "add", "--quiet", *PACKAGES, *NEEDED, cwd=projects[key])
            run("uv", "sync", "--quiet", cwd=projects[key])
        if (key, name) not in found:
            number = len(found)
            folder = tmp_path_factory.mktemp("side")
            found[key, name] = run_side(
                run, projects[key], answers, name, f"matrix_{number}", folder
            )
        return found[key, name]

    return side


def run_side(
    run: Run, project: Path, answers: dict[str, str], name: str, database: str, folder: Path
) -> Found:
    """Run the site in a project and a new database; return what it gave."""
    python = project / ".venv/bin/python"
    run(python, "-m", "djfast.services", "start", cwd=project)
    services = dict(
        line.split("=", 1) for line in (project / ".services/env").read_text().splitlines()
    )
    stock = name == "stock"
    for app in ("core", "matrix") if stock else ("matrix",):
        (folder / f"{app}_migrations").mkdir()
        (folder / f"{app}_migrations/__init__.py").touch()
    url = urlsplit(services["DATABASE_URL"])
    env = services | {
        "DATABASE_URL": url._replace(path=f"/{database}").geturl(),
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "matrix.stock" if stock else "matrix.with_djfast",
        "LOCAL_HTTP": "1",
        "MATRIX_BASE": "BaseModel" if name.endswith(" BaseModel") else "models.Model",
        "MATRIX_ENGINE": json.dumps(name.startswith("engine")),
        "MATRIX_INTERFACE": answers["interface"],
        "MATRIX_MIGRATIONS": str(folder),
        "MATRIX_QUEUE": database,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (SITE, folder, project))),
        "SECRET_KEY": "a-secret-that-is-long-enough-for-every-check-of-django",
    }
    run(python, "-m", "matrix.run", folder / "result.json", cwd=project, env=env)
    found: Found = json.loads((folder / "result.json").read_text("utf-8"))
    return found


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Return where two results differ, and in what."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(f"{place}/{name}", one[name], other[name]) for name in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(f"{place}/{n}", *both) for n, both in enumerate(zip(one, other, strict=True))]
    else:
        return [] if one == other else [f"{place}: {one!r} is now {other!r}"]
    return [text for where, *both in pairs for text in differences(*both, where)]


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("package", ["migrate", *PACKAGES])
def test_a_package_gives_the_same_as_under_stock_django(
    sides: Callable[[dict[str, str], str], Found], answers: dict[str, str], name: str, package: str
) -> None:
    stock, own = sides(answers, "stock")[package], sides(answers, name)[package]
    assert "error" not in stock, stock.get("traceback")
    assert "error" not in own, own.get("traceback")
    assert differences(stock["result"], own["result"]) == []
    assert own.get("queries", 0) <= stock.get("queries", 0)


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.skipif(not FULL, reason="PACKAGES=full stores the results")
def test_the_results_are_stored_for_the_documents(
    sides: Callable[[dict[str, str], str], Found], answers: dict[str, str], run: Run
) -> None:
    stock = sides(answers, "stock")
    own = {name: sides(answers, name) for name in SIDES}
    rows = {
        package: {
            "version": stock[package]["version"],
            "used": stock[package]["used"],
            "queries": [stock[package]["queries"], own[SIDES[0]][package]["queries"]],
            "equal": {
                name: differences(stock[package]["result"], found[package].get("result")) == []
                for name, found in own.items()
            },
        }
        for package in PACKAGES
    }
    known = stock["migrate"]["version"]
    known["commit"] = run("git", "rev-parse", "--short=7", "HEAD", cwd=ROOT).strip()
    STORED.mkdir(parents=True, exist_ok=True)
    path = STORED / f"{'-'.join(answers.values())}.json"
    path.write_text(json.dumps({"conditions": known, "packages": rows}, indent=1) + "\n", "utf-8")
