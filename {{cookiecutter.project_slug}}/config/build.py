"""Build the static files for production: `python -m config.build`.

Needs no secret, database or cache, so it can run while an image is built.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import django
from compressor.exceptions import OfflineGenerationError
from django.conf import settings
from django.core.management import CommandError, call_command
from django.template import engines
from django.template.backends.django import DjangoTemplates
from whitenoise import compress

MARKER = ".made-by-config-build"  # a file in STATIC_ROOT

# Production settings require these; no step uses them.
UNUSED = {
    "DATABASE_URL": "postgresql://127.0.0.1:1/unused",
    "DEBUG": "0",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "unused-by-the-build",
}


def main() -> None:
    """Build into STATIC_ROOT.

    Raises:
        SystemExit: the build failed; the message says why.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.update(UNUSED)
    django.setup()
    root = Path(settings.STATIC_ROOT)
    empty(root)
    # Each step reads the files of the one before.
    try:
        call_command("collectstatic", interactive=False, verbosity=0)
        bundles = bundle(root) if settings.COMPRESS_OFFLINE else 0
    except (CommandError, OfflineGenerationError, ValueError) as error:
        sys.exit(f"The build failed: {' '.join(str(error).split())}")
    print(f"{bundles} bundles, {len(list(root.rglob('*.br')))} files with brotli, in {root}")


def empty(root: Path) -> None:
    """Delete what an earlier build wrote into a folder; do not build under a running server.

    Raises:
        SystemExit: the folder has files of another origin.
    """
    marker = root / MARKER
    if root.is_dir() and any(root.iterdir()) and not marker.exists():
        sys.exit(f"STATIC_ROOT={root} has files of other origin: set it to a folder of its own.")
    root.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()


def bundle(root: Path) -> int:
    """Make the bundles of all compress blocks, compress them, and return how many there are.

    Raises:
        CommandError, OfflineGenerationError: there is nothing to bundle, or a template is wrong.
    """
    # Only the engine of the project's pages: the command refuses one without compress blocks.
    engine = "django" if isinstance(engines.all()[0], DjangoTemplates) else "jinja2"
    call_command("compress", engines=[engine], verbosity=0)
    # The command succeeds when it finds no block, and every page would be a 500.
    if not (bundles := json.loads((root / "CACHE" / "manifest.json").read_text())):
        raise CommandError("there is no compress block in any template.")
    compress.main(["--quiet", str(root / "CACHE")])
    return len(bundles)


if __name__ == "__main__":
    main()
