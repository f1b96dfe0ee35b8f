"""Settings of every measured process: the project's own, the workload, and perhaps one default undone.

`MEASURED_SETTINGS` names the project's own, `UNDONE` the row of `speed/defaults.py` that gets Django's
choice in its place.
"""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]

project = vars(import_module(os.environ.get("MEASURED_SETTINGS", "config.settings")))
globals().update({name: value for name, value in project.items() if name.isupper()})

WORKLOAD = Path(__file__).resolve().parent / "workload"

INSTALLED_APPS = [*project["INSTALLED_APPS"], "benchmarks.workload"]
ROOT_URLCONF = "benchmarks.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
# The workload's templates beside the project's: each engine finds those in its own language.
TEMPLATES = deepcopy(project["TEMPLATES"])
for engine in TEMPLATES:
    if engine["BACKEND"].endswith("Jinja2"):
        engine["DIRS"] = [*engine["DIRS"], WORKLOAD / "jinja2"]
# Two projects may share one server: neither reads what the other has cached.
CACHES = deepcopy(project["CACHES"])
for alias in CACHES.values():
    alias["KEY_PREFIX"] = f"{alias.get('KEY_PREFIX', '')}-{os.environ.get('MEASURED_SIDE', '')}"


def database(settings: Settings, **changes: Any) -> dict[str, Any]:
    """Change the default database; what is None in `changes` is taken out."""
    return {"DATABASES": {"default": replaced(settings["DATABASES"]["default"], changes)}}


def replaced(mapping: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a dictionary with changes; None takes a key out."""
    return {key: value for key, value in {**mapping, **changes}.items() if value is not None}


def without(settings: Settings, name: str) -> dict[str, Any]:
    """Take a middleware out."""
    return {"MIDDLEWARE": [path for path in settings["MIDDLEWARE"] if not path.endswith(name)]}


def uncached_loaders(settings: Settings) -> dict[str, Any]:
    """Set the loaders of Django's engine as one does without knowing what that turns off."""
    templates = deepcopy(settings["TEMPLATES"])
    for engine in templates:
        if engine["BACKEND"].endswith("DjangoTemplates"):
            engine.pop("APP_DIRS", None)  # Django refuses both
            engine.setdefault("OPTIONS", {})["loaders"] = [
                "django.template.loaders.filesystem.Loader",
                "django.template.loaders.app_directories.Loader",
            ]
    return {"TEMPLATES": templates}


# Django's own choice in place of each default.
UNDO: dict[str, Callable[[Settings], dict[str, Any]]] = {
    # {% if cookiecutter.interface == "wsgi" %}
    "persistent connections": lambda s: database(s, CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=False),
    # {% else %}
    "connection pool": lambda s: database(
        s,
        CONN_HEALTH_CHECKS=False,
        OPTIONS=replaced(s["DATABASES"]["default"]["OPTIONS"], {"pool": None}),
    ),
    # {% endif %}
    "redis cache": lambda s: {
        "CACHES": s["CACHES"]
        | {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": os.environ["REDIS_URL"],
                "KEY_PREFIX": s["CACHES"]["default"]["KEY_PREFIX"] + "-django",
            }
        }
    },
    "cached sessions": lambda s: {"SESSION_ENGINE": "django.contrib.sessions.backends.db"},
    # {% if cookiecutter.template_engine == "jinja2" %}
    "jinja2": lambda s: {
        "TEMPLATES": [e for e in s["TEMPLATES"] if not e["BACKEND"].endswith("Jinja2")]
    },
    # {% endif %}
    "cached template loader": uncached_loaders,
    "compression": lambda s: without(s, "HttpCompressionMiddleware"),
    "conditional GET": lambda s: without(s, "ConditionalGetMiddleware"),
    "static files": lambda s: {
        "STORAGES": s["STORAGES"]
        | {
            "staticfiles": {
                "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
            }
        }
    },
    "bundles": lambda s: {"COMPRESS_ENABLED": False, "COMPRESS_OFFLINE": False},
    "translation off": lambda s: {"USE_I18N": True},
    "server": lambda s: {},  # not a setting: see defaults.py
}


def undone(name: str, settings: Settings) -> dict[str, Any]:
    """Return the settings that give the default `name` back to Django."""
    return UNDO[name](settings)


if name := os.environ.get("UNDONE"):
    globals().update(undone(name, dict(globals())))
