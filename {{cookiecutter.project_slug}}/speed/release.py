"""The release that runs, in the keys of what outlives it: a new one never serves what an old one has kept."""

import os
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import ENVIRONMENT_VARIABLE, settings


@cache
def build() -> str:
    """Return what tells this release from others: its code, templates, packages and asset manifests.

    First called at the start: the files of the next release may soon replace those that run.
    """
    config: Any = import_module(os.environ[ENVIRONMENT_VARIABLE])
    code = {Path(config.__file__).parent, *(Path(app.path) for app in apps.get_app_configs())}
    code = {folder for folder in code if "site-packages" not in folder.parts}
    engines: Any = settings.TEMPLATES
    templates = {Path(folder) for engine in engines for folder in engine.get("DIRS", [])}
    templates |= {folder / name for folder in code for name in ("jinja2", "templates")}
    files = {file for folder in code for file in folder.rglob("*.py")}
    files |= {file for folder in templates for file in folder.rglob("*")}
    root = Path(settings.STATIC_ROOT or "/nowhere")
    digest = blake2b(digest_size=8)
    for file in (*sorted(files), root / "staticfiles.json", root / "CACHE/manifest.json"):
        if file.is_file():
            content = file.read_bytes()
            digest.update(b"%s\0%d\0%s" % (file.name.encode(), len(content), content))
    packages = Path(django.__file__).parents[1].glob("*.dist-info")  # each name has the version
    digest.update(repr(sorted(package.name for package in packages)).encode())
    return digest.hexdigest()
