"""The time of the project's own pages: the baseline to extend, one line per page in PAGES.

    python -m benchmarks.test_pages [options of pytest]

This is `pytest benchmarks/test_pages.py` as production renders pages, with static files built for
it: development loads templates in another way and links other files, so its times say little. Each
run is saved in benchmarks/results/pages/ and compared with the one before: on this machine, since
times of two do not compare. `--benchmark-compare=0001` takes another baseline, and
`--benchmark-compare-fail=min:20%` fails when a page is slower by more than that. `--codspeed` (with
pytest-codspeed) measures for CodSpeed instead.

A page is rendered in this process, without server and network, and checked before it is timed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client

from benchmarks import servers
from benchmarks.client import ACCEPT
from benchmarks.site import Answer, Site

# "/shop/" as a stranger gets it, "/shop/ signed in" as a visitor does; and what it must say.
PAGES = {
    "/": "<h1>",
    "/ signed in": "Signed in as",
    "/admin/login/": "Password:",
}

# The last one: a first run, or one on a new machine, has nothing to compare with; that is no error.
OPTIONS = """
--benchmark-autosave --benchmark-compare --benchmark-storage=file://benchmarks/results/pages
--benchmark-columns=median,iqr,min,rounds --benchmark-group-by=fullname
-Wdefault::pytest_benchmark.logger.PytestBenchmarkWarning
"""


@pytest.fixture
def visitor(transactional_db: None) -> str:
    """Make the rows that your pages show, and return the session key of a signed-in visitor."""
    if settings.DEBUG:
        pytest.fail("Time what production renders: python -m benchmarks.test_pages", pytrace=False)
    client = Client()
    client.force_login(get_user_model().objects.create_user("visitor"))
    return str(client.session.session_key)


@pytest.mark.parametrize("page", PAGES)
def test_a_page(page: str, visitor: str, benchmark: Callable[..., Answer]) -> None:
    path, signed_in, _ = page.partition(" ")
    session = visitor if signed_in else ""
    with (site := Site()).open():
        answer = site.get(path, cookie=session)
        assert answer.status == 200
        assert PAGES[page] in answer.body.decode()
        benchmark(site.get, path, cookie=session, accept_encoding=ACCEPT)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        production = servers.environment(os.environ["DATABASE_URL"], Path(folder) / "static")
        production["DJANGO_SETTINGS_MODULE"] = production.pop("MEASURED_SETTINGS")
        servers.run("-m", "config.build", env=production)
        command = [sys.executable, "-m", "pytest", __file__, *OPTIONS.split(), *sys.argv[1:]]
        sys.exit(subprocess.run(command, cwd=servers.PROJECT, env=production).returncode)
