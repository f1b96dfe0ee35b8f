"""Django's own tests of `reverse` and of the `url` tag, with `speed.urls` in their place."""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django
import pytest

LABELS = [
    "urlpatterns",
    "urlpatterns_reverse",
    "i18n.patterns",
    "template_tests.syntax_tests.test_url",
]
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


def test_djangos_own_tests_pass(folder: Path) -> None:
    runner = Path(__file__).with_name("run_django_tests.py")
    done = subprocess.run(
        [sys.executable, runner, folder, "--settings=test_sqlite", "--parallel=1", *LABELS],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"Ran (\d+) tests", done.stderr)[0]) > 250
    every, left = map(int, re.findall(r"reversed: (\d+), left to Django: (\d+)", done.stdout)[0])
    assert every - left > 150  # what is left are errors, callables and fragments
