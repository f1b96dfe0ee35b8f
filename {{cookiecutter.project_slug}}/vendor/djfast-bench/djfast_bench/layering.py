"""The settings that the harness overrides in a project, so that its processes can be measured."""

import sys
from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import global_settings

Settings = Mapping[str, Any]
Overrides = dict[str, Any]

WORKLOAD = Path(__file__).resolve().parent / "workload"
PLAIN_MODEL = "django.db.models.Model"
ENGINE = "engine"  # in place of the name of a row: all engine modules
# Keys of a database in DATABASES that apply to any backend.
PORTABLE = ("ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_HEALTH_CHECKS", "CONN_MAX_AGE", "TIME_ZONE")
# Jinja2 has no `cache` tag of its own, and the workload caches a fragment.
JINJA2_CACHE = "djfast.cache.fragments_jinja2.Fragments"


def measured(own: Settings, environ: Mapping[str, str]) -> Overrides:
    """Return the settings of a measured process where they differ from the project's.

    Args:
        own: the settings that the project's module defines.
        environ: `DATABASE_URL`, `STATIC_ROOT`; `BENCH_REVERT` and `BENCH_SIDE` where they are set.

    Raises:
        SystemExit: `BENCH_REVERT` names no default.
    """
    production = as_production(own, environ)
    overrides = {
        **production,
        **with_workload(own, environ.get("BENCH_SIDE", "")),
        "BENCH_ADDED": [f"{name}: {text}" for name, text in explain_settings(production).items()],
    }
    if name := environ.get("BENCH_REVERT"):
        overrides |= reverted(name, {**own, **overrides})
    return overrides


def with_workload(own: Settings, side: str) -> Overrides:
    """Return the settings that add the workload to a project.

    Args:
        own: the project's settings.
        side: keeps the cached values of two projects apart that use one Redis server.
    """
    templates = deepcopy(own.get("TEMPLATES", global_settings.TEMPLATES))
    for engine in templates:
        if engine["BACKEND"].endswith("Jinja2"):
            engine["DIRS"] = [*engine.get("DIRS", []), WORKLOAD / "jinja2"]
            extensions = engine.setdefault("OPTIONS", {}).setdefault("extensions", [])
            if importable("djfast.cache.fragments_jinja2") and JINJA2_CACHE not in extensions:
                extensions.append(JINJA2_CACHE)
    caches = deepcopy(own.get("CACHES", global_settings.CACHES))
    for alias in caches.values():
        alias["KEY_PREFIX"] = f"{alias.get('KEY_PREFIX', '')}-bench-{side}"
    return {
        "CACHES": caches,
        "INSTALLED_APPS": [*own.get("INSTALLED_APPS", []), "djfast_bench.workload"],
        "ROOT_URLCONF": "djfast_bench.urls",
        "TEMPLATES": templates,
    }


def importable(name: str) -> bool:
    """Return whether a module and the packages around it are installed."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def as_production(own: Settings, environ: Mapping[str, str]) -> Overrides:
    """Return the settings with which a project serves 127.0.0.1 from the scratch database.

    A project of this template does so because of its environment variables, and gets only
    ALLOWED_HOSTS.
    """
    overrides: Overrides = {"ALLOWED_HOSTS": ["127.0.0.1"]}
    for name in ("DEBUG", "SECURE_SSL_REDIRECT"):
        if own.get(name):
            overrides[name] = False
    if not own.get("STATIC_ROOT"):
        overrides["STATIC_ROOT"] = environ["STATIC_ROOT"]
    databases = own.get("DATABASES", {})
    default = databases.get("default", {})
    url = urlsplit(environ["DATABASE_URL"])
    # A build needs no database, and config.build sets another URL.
    needed = url.scheme.startswith("postgres")
    if needed and str(default.get("NAME")) != unquote(url.path.strip("/")):
        overrides["DATABASES"] = {**databases, "default": scratch(default, environ["DATABASE_URL"])}
    return overrides


def scratch(default: Settings, database: str) -> Overrides:
    """Return a project's default database, moved to the scratch database.

    Args:
        default: the project's own.
        database: URL of the scratch database.
    """
    url = urlsplit(database)
    moved: Overrides = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.strip("/")),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": url.hostname or "",
        "PORT": url.port or "",
        "OPTIONS": dict(parse_qsl(url.query)),
    }
    if "postgresql" in default.get("ENGINE", ""):  # else its options are another database's
        moved |= {
            "ENGINE": default["ENGINE"],
            "OPTIONS": default.get("OPTIONS", {}) | moved["OPTIONS"],
        }
    return {name: default[name] for name in PORTABLE if name in default} | moved


def explain_settings(overrides: Settings) -> dict[str, str]:
    """Return by name what a reader of a comparison must know of added settings."""
    texts = {
        "DATABASES": "the scratch PostgreSQL database instead of the project's own",
        "DEBUG": "False",
        "SECURE_SSL_REDIRECT": "False",
        "STATIC_ROOT": "a temporary folder",
    }
    return {name: text for name, text in texts.items() if name in overrides}


def reverted(name: str, settings: Settings) -> Overrides:
    """Return the settings that give Django's choice in place of a default.

    Args:
        name: of a row of djfast.rows, or "engine" for all engine modules and the base model.
        settings: of the measured process.

    Raises:
        SystemExit: the installed djfast has no such row.
    """
    if name == ENGINE:
        return {"DJFAST_ENGINE": False, "BENCH_BASE_MODEL": PLAIN_MODEL}
    from djfast.rows import ROWS  # the only use of djfast here, and a project may have none

    rows = {row.name: row for row in ROWS}
    if name not in rows:
        sys.exit(f"BENCH_REVERT={name!r} is no default: use one of {', '.join(rows)}, or engine.")
    return dict(rows[name].revert(settings))
