"""Make the static files for production: `python -m config.build`.

Needs no secret, database or cache, so it can run while an image is built.
"""

import json
import os
import sys
from pathlib import Path

import django
from compressor.exceptions import OfflineGenerationError
from django.conf import settings
from django.core.management import CommandError, call_command
from whitenoise import compress

# Whose templates have compress blocks. The command refuses an engine whose templates have none.
ENGINES = ["{{ cookiecutter.template_engine }}"]

# Production settings ask for these; no step uses them.
UNUSED = {
    "DEBUG": "0",
    "DATABASE_URL": "sqlite://:memory:",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "unused-by-the-build",
}


def main() -> None:
    """Hash names, make the bundles, compress those: in this order, each step reads the last one's.

    Raises:
        SystemExit: no bundle was made; the message says why.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.update(UNUSED)
    django.setup()
    root = Path(settings.STATIC_ROOT)
    if root.is_dir() and any(root.iterdir()) and not (root / "staticfiles.json").exists():
        sys.exit(f"STATIC_ROOT={root} has files that no build made: set it to a folder of its own.")
    # clear: else files of earlier builds are shipped for ever. Do not build under a server that runs.
    call_command("collectstatic", clear=True, interactive=False, verbosity=0)
    try:
        call_command("compress", engines=ENGINES, verbosity=0)
    except (CommandError, OfflineGenerationError) as error:
        sys.exit(f"No bundle was made: {error}")
    # The command is content when it finds nothing to do, and then every page is a 500.
    if not (bundles := json.loads((root / "CACHE" / "manifest.json").read_text())):
        sys.exit("No bundle was made: there is no compress block in any template.")
    compress.main(["--quiet", str(root / "CACHE")])
    print(f"{len(bundles)} bundles, {len(list(root.rglob('*.br')))} files with brotli, in {root}")


if __name__ == "__main__":
    main()
