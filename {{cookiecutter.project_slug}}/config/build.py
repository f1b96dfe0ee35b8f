"""Build the static files for production: `python -m config.build`.

Needs no secret, database or cache, so it can run while an image is built. See djfast.build.
"""

import os

from djfast.build import build

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    build()
