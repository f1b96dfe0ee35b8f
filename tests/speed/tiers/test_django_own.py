"""Django's own tests of a cache: what django-redis passes with one tier, it passes with two."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django
import pytest
from django.conf import settings

VERSION = django.get_version()


@pytest.fixture(scope="session")
def folder() -> Path:
    """The tests of the installed Django, from its source distribution; kept for the next time."""
    kept = Path(tempfile.gettempdir()) / "django-tests"
    tests = kept / f"django-{VERSION}" / "tests"
    if not (tests / "runtests.py").exists():
        uv = shutil.which("uv")
        pip = (
            [uv, "tool", "run", "--python", sys.executable, "pip"]
            if uv
            else [sys.executable, "-mpip"]
        )
        with tempfile.TemporaryDirectory() as new:
            command = [*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", new]
            subprocess.run([*command, f"django=={VERSION}"], check=True, timeout=300)
            (archive,) = Path(new).glob("*.tar.gz")
            with tarfile.open(archive) as source:
                source.extractall(new, filter="data")
            kept.mkdir(exist_ok=True)
            if not tests.parent.exists():  # another process may have been faster
                shutil.move(Path(new) / tests.parent.name, tests.parent)
    return tests


def test_two_tiers_pass_what_one_tier_passes(folder: Path) -> None:
    script = Path(__file__).with_name("run_django_tests.py")
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    environment["REDIS_URL"] = settings.CACHES["default"]["LOCATION"]
    clients = ("speed.redis.PrefixClient", "speed.tiers.TieredClient")
    running = [
        subprocess.Popen(
            [sys.executable, script, folder, client, f"own-{os.getpid()}-{client}"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for client in clients
    ]
    one, two = (process.communicate(timeout=120) for process in running)
    assert int(re.findall(r"ran (\d+)", one[0])[0]) > 60, one
    assert two[0] == one[0], two[1]
