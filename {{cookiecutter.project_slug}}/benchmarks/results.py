"""Result files: what was found, with raw samples, and the conditions under which it was found."""

import json
import math
import os
import platform
import re
import subprocess
import tomllib
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import django
import psutil
from django.conf import settings
from django.db import connection
from packaging.requirements import Requirement
from redis import Redis

from benchmarks.measure import SMALLEST_EFFECT, Dimension, Row

VERSION = 1  # of the files' format
ALPHA = 0.05  # the probability that any interval of a run misses its median, at most


@dataclass(kw_only=True)
class Results:
    """What one file holds.

    Attributes:
        suite: "bench", "compare" or "load".
        conditions: see `conditions`.
        rows: what was compared.
        interrupted: whether the run was stopped before its last row.
        differences: of two projects, by title: [name, of the control, of the experiment].
        series: over time, by title: `unit`, `x` (seconds), `lines` (values by name, as many).
    """

    suite: str
    conditions: dict[str, Any]
    rows: list[Row]
    interrupted: bool = False
    differences: dict[str, list[list[str]]] = field(default_factory=dict)
    series: dict[str, dict[str, Any]] = field(default_factory=dict)


def conditions(*, quick: bool = False) -> dict[str, Any]:
    """Return what a reader must know of this machine and project to judge a figure.

    Django is set up, and DATABASE_URL and REDIS_URL lead to servers that run. Nothing names the
    machine or a folder of it.

    Args:
        quick: whether the rows got little time on purpose.
    """
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text("utf-8"))["project"]
    packages = installed(project["dependencies"])
    engines: Any = settings.TEMPLATES
    jinja2 = any(engine["BACKEND"].endswith("Jinja2") for engine in engines)
    postgresql = getattr(connection, "pg_version", None)  # 180006; another database has none
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        server: dict[str, Any] = client.info("server")
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "project": settings.SITE_NAME,
        "commit": _commit(settings.BASE_DIR) or None,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "django": django.get_version(),
        "postgresql": postgresql and f"{postgresql // 10000}.{postgresql % 10000}",
        "valkey": f"{server.get('server_name', 'redis').title()} "
        f"{server.get('valkey_version', server['redis_version'])}",
        "answers": {
            "template_engine": "jinja2" if jinja2 else "django",
            "interface": "wsgi" if settings.WSGI_APPLICATION else "asgi",
            "server": "granian" if "granian" in packages else "gunicorn",
        },
        "packages": packages,
        "quick": quick,
        "smallest_effect": SMALLEST_EFFECT,
        "alpha": ALPHA,
    }


def installed(requirements: list[str]) -> dict[str, str]:
    """Return the versions of what is required, and of what that requires, as far as installed.

    Args:
        requirements: as in pyproject.toml, with extras.
    """
    found = {}
    waiting = [Requirement(text) for text in requirements]
    for need in waiting:  # grows on the way
        with suppress(PackageNotFoundError):
            found[need.name.lower()] = version(need.name)
            for further in map(Requirement, requires(need.name) or []):
                extras = [{"extra": extra} for extra in ("", *need.extras)]
                if not further.marker or any(map(further.marker.evaluate, extras)):
                    waiting += {further} - {*waiting}
    return dict(sorted(found.items()))


def _commit(folder: Path) -> str | None:
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+changes"]
    with suppress(FileNotFoundError):  # no git
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
    return None


def _cpu() -> str:
    known = Path("/proc/cpuinfo")  # Linux only
    found = re.search(r"model name\s*: (.+)", known.read_text() if known.exists() else "")
    return found[1] if found else platform.processor() or platform.machine()


def save(
    suite: str, rows: list[Row], conditions: dict[str, Any], folder: Path, **more: Any
) -> Path:
    """Write a file, completely or not at all, and return its path; its name is the run's date.

    Args:
        suite: "bench", "compare" or "load".
        rows: what was compared, so far.
        conditions: as `conditions` returned them.
        folder: is made if there is none.
        more: `interrupted`, `differences`, `series`; see `Results`.
    """
    results = asdict(Results(suite=suite, conditions=conditions, rows=rows, **more))
    content = {"version": VERSION, **_rounded(results)}
    # What is compared by eye, or by git, is on a line of its own: a row, a condition.
    stored = ",\n".join(map(_json, content.pop("rows")))
    lines = [f'"{key}": {_json(value, key == "conditions")}' for key, value in content.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.fromisoformat(conditions['date']):%Y-%m-%dT%H%M%S}.json"
    new = path.with_suffix(".new")
    new.write_text(",\n".join(["{" + lines[0], *lines[1:], f'"rows": [\n{stored}\n]}}\n']), "utf-8")
    return new.replace(path)


def load(path: Path) -> Results:
    """Read a file.

    Raises:
        ValueError: it has a format that this module does not know.
    """
    content = json.loads(path.read_text("utf-8"))
    if content.pop("version") != VERSION:
        raise ValueError(f"{path} has another format: measure again.")
    for row in content["rows"]:
        for name, stored in row["dimensions"].items():
            known: Any = {k: math.inf if value is None else value for k, value in stored.items()}
            row["dimensions"][name] = Dimension(**known)
    return Results(**content | {"rows": [Row(**row) for row in content["rows"]]})


def latest(folder: Path, suite: str = "bench") -> Results | None:
    """Read the newest file of a suite, or the template's where there is none; None without both."""
    own = sorted(folder.glob("2*.json"), reverse=True)  # named after their date
    for path in [*own, *folder.glob("template.json")]:
        if (found := load(path)).suite == suite:
            return found
    return None


def _rounded(value: Any) -> Any:
    """Keep four digits of a fraction and all of a whole number, for counts and bytes are exact.

    What is infinite becomes None: a ratio to nothing, which JSON has no number for.
    """
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if not isinstance(value, float) or math.isinf(value):
        return None if value == math.inf else value
    return int(value) if value.is_integer() else float(f"{value:.4g}")


def _json(value: Any, indented: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1 if indented else None)
