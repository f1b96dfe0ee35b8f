"""What each test run has of its own: an id, as part of its cache keys, and a folder for uploads.

    prefix = "shop" + (f"-test-{run_id()}" if is_test() else "")
    MEDIA_ROOT = media_root() if is_test() else BASE_DIR / "media"

Under Django's runner each process has its own id, so caches are separate, as with LocMemCache.
Under pytest, a worker of pytest-xdist shares its id with the servers and commands that its tests
start.
"""

import atexit
import os
import secrets
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

# In the environment of those commands: the id, and the folder.
VARIABLE = "DJFAST_TEST_RUN"
MEDIA = "DJFAST_TEST_MEDIA"


def is_test() -> bool:
    """Return whether this process runs tests, or was started by a test under pytest."""
    return "PYTEST_VERSION" in os.environ or is_django_runner()


def is_django_runner() -> bool:
    """Return whether this is `manage.py test`, or a process of its `--parallel`."""
    return sys.argv[1:2] == ["test"]


def run_id() -> str:
    """Return the id of this run; the settings call it once."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if is_django_runner():
        return id_of_process()
    # A pytest process makes a new id; only a worker of pytest-xdist keeps the one that it inherits.
    if VARIABLE not in os.environ or ("pytest" in sys.modules and not worker):
        os.environ[VARIABLE] = secrets.token_hex(4)
    return os.environ[VARIABLE] + worker


def media_root() -> Path:
    """Return the folder for what this run uploads, which is deleted when the run ends.

    All processes of a run share it: a name that is taken gets another one, as in production.
    """
    if MEDIA not in os.environ:
        folder = TemporaryDirectory(prefix="test-media-")
        atexit.register(folder.cleanup)
        os.environ[MEDIA] = folder.name
    return Path(os.environ[MEDIA])


def id_of_process() -> str:
    """Return a new id, which a process that is forked from this one replaces by its own."""
    own = secrets.token_hex(4)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: replace(own))
    return own


def replace(inherited: str) -> None:
    """Give a forked process an id of its own, in the settings and in caches that are open."""
    from django.conf import settings
    from django.core.cache import caches

    own = id_of_process()
    for entry in settings.CACHES.values():
        if "KEY_PREFIX" in entry:
            entry["KEY_PREFIX"] = entry["KEY_PREFIX"].replace(inherited, own)
    for cache in caches.all(initialized_only=True):
        cache.key_prefix = cache.key_prefix.replace(inherited, own)
