"""Settings of every measured process: the project's own, the workload, and perhaps one default undone.

`MEASURED_SETTINGS` names the project's own, `UNDONE` the row of `speed/defaults.py` that gets Django's
choice in its place.
"""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]

project = vars(import_module(os.environ.get("MEASURED_SETTINGS", "config.settings")))
globals().update({name: value for name, value in project.items() if name.isupper()})

WORKLOAD = Path(__file__).resolve().parent / "workload"

# The workload's models derive from what the project's own do.
WORKLOAD_BASE = "speed.peers.Model" if find_spec("speed.peers") else "django.db.models.Model"
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


LOADERS = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
CACHED = [("django.template.loaders.cached.Loader", LOADERS)]


def templates(settings: Settings, change: Callable[[str, dict[str, Any]], None]) -> dict[str, Any]:
    """Change the options of the engines; `change` is given the name and the options of each."""
    engines = deepcopy(settings["TEMPLATES"])
    for engine in engines:
        options = engine.setdefault("OPTIONS", {})
        if engine.pop("APP_DIRS", False) and engine["BACKEND"].endswith("DjangoTemplates"):
            options["loaders"] = CACHED  # which is what it stands for
        change(engine["BACKEND"].rpartition(".")[2], options)
    return {"TEMPLATES": engines}


def uncached_loaders(engine: str, options: dict[str, Any]) -> None:
    """Set the loaders of Django's engine as one does without knowing what that turns off."""
    if engine == "DjangoTemplates":
        options["loaders"] = LOADERS


def whitespace_kept(engine: str, options: dict[str, Any]) -> None:
    """Load templates as they are written."""
    if engine == "DjangoTemplates":
        options["loaders"] = CACHED
    else:
        extensions = options["extensions"]
        options["extensions"] = [name for name in extensions if not name.endswith(".Whitespace")]


def plain_urls(engine: str, options: dict[str, Any]) -> None:
    """Make each link anew."""
    if engine == "DjangoTemplates":
        options["builtins"] = [name for name in options["builtins"] if name != "speed.urls"]
    else:
        options["environment"] = "benchmarks.workload.jinja.with_plain_urls"


# {% if cookiecutter.template_engine == "django" %}
def plain_loops(engine: str, options: dict[str, Any]) -> None:
    """Interpret each loop."""
    options["builtins"] = [name for name in options["builtins"] if name != "speed.loops"]


# {% endif %}
def plain_formats(engine: str, options: dict[str, Any]) -> None:
    """Take the format of each date and price apart anew."""
    if engine == "DjangoTemplates":
        options["builtins"] = [name for name in options["builtins"] if name != "speed.formats"]
    else:
        options["environment"] = "benchmarks.workload.jinja.with_plain_dates"


def one_tier(settings: Settings) -> dict[str, Any]:
    """Read fragments from Redis each time."""
    caches = deepcopy(settings["CACHES"])
    for alias in caches.values():
        if alias.get("OPTIONS", {}).get("CLIENT_CLASS") == "speed.tiers.TieredClient":
            alias["OPTIONS"]["CLIENT_CLASS"] = "speed.redis.PrefixClient"
    return {"CACHES": caches}


# {% if cookiecutter.interface == "asgi" %}
def many_switches(settings: Settings) -> dict[str, Any]:
    """Leave every request to Django's handler."""
    handler, itself = map(import_module, ("speed.handler", "django.core.handlers.asgi"))
    # The application is made after settings are read, by a function that was imported before.
    django = type("Handler", (vars(itself)["ASGIHandler"],), {"made": False})
    vars(handler)["Handler"] = django
    return {}


# {% endif %}
DJANGOS = {
    "speed.middleware.ConditionalGetMiddleware": "django.middleware.http.ConditionalGetMiddleware",
    "speed.middleware.MessageMiddleware": "django.contrib.messages.middleware.MessageMiddleware",
}

# Django's own choice in place of each default.
UNDO: dict[str, Callable[[Settings], dict[str, Any]]] = {
    # {% if cookiecutter.interface == "wsgi" %}
    "persistent connections": lambda s: database(s, CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=False),
    "health check": lambda s: database(s, ENGINE="django.db.backends.postgresql"),
    # {% else %}
    "connection pool": lambda s: database(
        s,
        CONN_HEALTH_CHECKS=False,
        OPTIONS=replaced(s["DATABASES"]["default"]["OPTIONS"], {"pool": None}),
    ),
    "context switches": many_switches,
    # {% endif %}
    "lean middleware": lambda s: {
        "MIDDLEWARE": [DJANGOS.get(path, path) for path in s["MIDDLEWARE"]]
    },
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
    "cached template loader": lambda s: templates(s, uncached_loaders),
    "whitespace": lambda s: templates(s, whitespace_kept),
    "compiled urls": lambda s: templates(s, plain_urls),
    # {% if cookiecutter.template_engine == "django" %}
    "compiled loops": lambda s: templates(s, plain_loops),
    # {% endif %}
    "prepared formats": lambda s: templates(s, plain_formats),
    "model instances": lambda s: {},  # what is undone elsewhere than in settings: see defaults.py
    "N+1 guard": lambda s: {},
    "cached user": lambda s: {},
    "two-tier cache": one_tier,
    "fragments": lambda s: {},
    "page cache": lambda s: without(s, "PageCacheMiddleware"),
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
    "server": lambda s: {},
}


def undone(name: str, settings: Settings) -> dict[str, Any]:
    """Return the settings that give the default `name` back to Django."""
    return UNDO[name](settings)


if name := os.environ.get("UNDONE"):
    globals().update(undone(name, dict(globals())))
