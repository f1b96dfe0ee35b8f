"""Results files: measurements with raw samples, and the conditions under which they were made."""

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
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import django
import psutil
from django.conf import settings
from django.db import connection
from packaging.requirements import Requirement

from djfast_bench.timing import SMALLEST_EFFECT, Dimension, Measurement

VERSION = 2  # of the files' format
ALPHA = 0.05  # probability that any interval of a run misses its median, at most
FOLDER = Path("benchmarks/results")  # in the project, the current directory


@dataclass(kw_only=True)
class Results:
    """The content of a results file.

    Attributes:
        suite: "bench", "compare", "load" or "reference".
        conditions: see `conditions`.
        rows: what was compared.
        interrupted: whether the run was stopped before its last row.
        differences: of two projects, by title: [name, of the control, of the experiment].
        notes: remarks on the run as a whole, one sentence each.
        series: over time, by title: `unit`, `x` (seconds), `lines` (values by name, as many).
    """

    suite: str
    conditions: dict[str, Any]
    rows: list[Measurement]
    interrupted: bool = False
    differences: dict[str, list[list[str]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: dict[str, dict[str, Any]] = field(default_factory=dict)


def conditions(*, quick: bool = False) -> dict[str, Any]:
    """Return what a reader must know of this machine and project to judge a figure.

    Django is set up and the database can be reached. Nothing names the machine or one of its folders.

    Args:
        quick: whether the measurements had little time on purpose.
    """
    packages = installed(_requirements())
    postgresql = getattr(connection, "pg_version", None)  # 180006; another database has none
    engines: Any = settings.TEMPLATES
    jinja2 = any(engine["BACKEND"].endswith("Jinja2") for engine in engines)
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "project": getattr(settings, "SITE_NAME", Path.cwd().name),
        "commit": _commit() or None,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_build": python_build(),
        "django": django.get_version(),
        "postgresql": postgresql and f"{postgresql // 10000}.{postgresql % 10000}",
        "valkey": _valkey(),
        "answers": {
            "template_engine": "jinja2" if jinja2 else "django",
            "interface": "asgi" if getattr(settings, "ASGI_APPLICATION", None) else "wsgi",
            "server": "granian" if "granian" in packages else "gunicorn",
        },
        "packages": packages,
        "quick": quick,
        "smallest_effect": SMALLEST_EFFECT,
        "alpha": ALPHA,
    }


def python_build() -> str:
    """Return how the interpreter was built, in words; "" without a djfast that knows it."""
    try:
        return str(import_module("djfast.interpreter").build())
    except ImportError:
        return ""


def installed(requirements: list[str]) -> dict[str, str]:
    """Return the versions of required packages and of what these require, as far as installed.

    Args:
        requirements: as in pyproject.toml, with extras.
    """
    found = {}
    waiting = [Requirement(text) for text in requirements]
    for needed in waiting:  # grows meanwhile
        with suppress(PackageNotFoundError):
            found[needed.name.lower()] = version(needed.name)
            for further in map(Requirement, requires(needed.name) or []):
                extras = [{"extra": extra} for extra in ("", *needed.extras)]
                if not further.marker or any(map(further.marker.evaluate, extras)):
                    waiting += {further} - {*waiting}
    return dict(sorted(found.items()))


def _requirements() -> list[str]:
    file = Path("pyproject.toml")
    content = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    return list(content.get("project", {}).get("dependencies", ["django", "psycopg"]))


def _valkey() -> str | None:
    """Return the name and version of the Redis server, if REDIS_URL names one."""
    if not (url := os.environ.get("REDIS_URL")):
        return None
    from redis import Redis  # a project without REDIS_URL may lack it

    with Redis.from_url(url) as client:
        server: dict[str, Any] = client.info("server")
    name = server.get("server_name", "redis").title()
    return f"{name} {server.get('valkey_version', server['redis_version'])}"


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+changes"]
    with suppress(FileNotFoundError):  # no git
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return None


def _cpu() -> str:
    known = Path("/proc/cpuinfo")  # Linux only
    found = re.search(r"model name\s*: (.+)", known.read_text() if known.exists() else "")
    return found[1] if found else platform.processor() or platform.machine()


def save(
    suite: str,
    rows: list[Measurement],
    conditions: dict[str, Any],
    folder: Path = FOLDER,
    **more: Any,
) -> Path:
    """Write a file, completely or not at all, and return its path; its name is the run's date.

    Args:
        suite: "bench", "compare", "load" or "reference".
        rows: what was compared.
        conditions: as `conditions` returned them.
        folder: is created if it does not exist.
        more: `interrupted`, `differences`, `notes`, `series`; see `Results`.
    """
    results = asdict(Results(suite=suite, conditions=conditions, rows=rows, **more))
    content = {"version": VERSION, **_rounded(results)}
    # A row or a condition has a line of its own, so that git shows which of them differ.
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
        ValueError: it has a format that this version does not know.
    """
    content = json.loads(path.read_text("utf-8"))
    stored = content.pop("version")
    if stored not in (1, VERSION):
        raise ValueError(f"{path} has another format: measure again.")
    for row in content["rows"]:
        if stored == 1:
            row["benefit"] = row.pop("says")
        for name, values in row["dimensions"].items():
            known: Any = {k: math.inf if value is None else value for k, value in values.items()}
            row["dimensions"][name] = Dimension(**known)
    return Results(**content | {"rows": [Measurement(**row) for row in content["rows"]]})


def _rounded(value: Any) -> Any:
    """Round fractions to four digits; whole numbers, as counts and bytes are, stay exact.

    Infinity, the ratio of something to nothing, becomes None, since JSON has no such number.
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
