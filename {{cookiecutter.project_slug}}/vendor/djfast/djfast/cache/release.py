"""Release id: part of the keys of cached pages and fragments, which outlive a deployment."""

import os
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import ENVIRONMENT_VARIABLE, settings

import djfast


@cache
def build() -> str:
    """Return an id of the running release, which differs if one of its files does.

    It covers the project's Python code and templates, this library, the manifests of the static files
    and the versions of all installed packages. It does not depend on where these are installed, so all
    hosts of a release share their cached pages.

    Call it at startup: a deployment may replace the files while the old release is still running.
    """
    entries = sorted(_files())
    # The name of a package's folder contains its version.
    packages = sorted(path.name for path in Path(django.__file__).parents[1].glob("*.dist-info"))
    return blake2b(repr((entries, packages)).encode(), digest_size=8).hexdigest()


def _files() -> Iterator[tuple[str, bytes]]:
    """Yield a name and a hash of each file that the output of the release depends on."""
    code = {Path(app.path) for app in apps.get_app_configs()}
    if module := os.environ.get(ENVIRONMENT_VARIABLE):  # without it: settings.configure()
        config: Any = import_module(module)
        code.add(Path(config.__file__).parent)
    code = {folder for folder in code if "site-packages" not in folder.parts}
    # Its version stays the same while a vendored copy is edited or updated from the template.
    code.add(Path(djfast.__file__).parent)
    engines: Any = settings.TEMPLATES
    templates = {Path(folder) for engine in engines for folder in engine.get("DIRS", [])}
    templates |= {folder / name for folder in code for name in ("jinja2", "templates")}
    for folders, pattern in ((code, "*.py"), (templates, "*")):
        for folder in folders:
            for file in folder.rglob(pattern):
                if file.is_file():
                    yield f"{folder.name}/{file.relative_to(folder).as_posix()}", _hash(file)
    root = Path(settings.STATIC_ROOT or "/nowhere")
    for name in ("staticfiles.json", "CACHE/manifest.json"):
        if (root / name).is_file():
            yield name, _hash(root / name)


def _hash(file: Path) -> bytes:
    return blake2b(file.read_bytes(), digest_size=16).digest()
