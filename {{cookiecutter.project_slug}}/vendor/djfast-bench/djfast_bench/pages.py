"""Time the project's own pages, which benchmarks/pages.py lists.

    python -m djfast_bench.pages [options of pytest]

Runs pytest with this file, in production mode with static files built for it: in development pages
link other files, and Jinja2 checks each template for changes. Each run is saved in
benchmarks/results/pages/ and compared with the previous one on this machine.
`--benchmark-compare=0001` takes another baseline, and `--benchmark-compare-fail=min:20%` fails when a
page is slower by more than that. `--codspeed` (with pytest-codspeed) measures for CodSpeed instead.

A page is rendered in this process, without server and network, and checked before it is timed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from djfast_bench import projects, servers
from djfast_bench.client import ACCEPT
from djfast_bench.responses import Response
from djfast_bench.site import Site
from djfast_bench.workload.visitor import create_visitor, sign_in

SIGNED_IN = " signed in"
# The last option: a first run, or one on a new machine, has no baseline, which is no error.
OPTIONS = """
--benchmark-autosave --benchmark-compare --benchmark-storage=file://benchmarks/results/pages
--benchmark-columns=median,iqr,min,rounds --benchmark-group-by=name
-Wdefault::pytest_benchmark.logger.PytestBenchmarkWarning
"""


def team_pages() -> dict[str, str]:
    """Return `PAGES` of benchmarks/pages.py: the text that each page must contain."""
    found: dict[str, str] = import_module("benchmarks.pages").PAGES
    return found


def pytest_generate_tests(metafunc: Any) -> None:
    """Run the test for each page; read them here, since models can be imported only now."""
    metafunc.parametrize("page", team_pages())


@pytest.fixture
def cookie(transactional_db: None) -> str:
    """Create the rows that the pages show, and return the Cookie header of a signed-in visitor."""
    if settings.DEBUG:
        pytest.fail("Run this in production mode: python -m djfast_bench.pages", pytrace=False)
    getattr(import_module("benchmarks.pages"), "content", list)()
    create_visitor()
    return sign_in()


def test_page(page: str, cookie: str, benchmark: Callable[..., Response]) -> None:
    path = page.removesuffix(SIGNED_IN)
    headers = {"cookie": cookie} if page.endswith(SIGNED_IN) else {}
    with (site := Site()).open():
        response = site.get(path, **headers)
        assert response.status == 200
        assert team_pages()[page] in response.body.decode()
        benchmark(site.get, path, accept_encoding=ACCEPT, **headers)


def main() -> None:
    """Build the static files, and run pytest with this file in production mode.

    Raises:
        SystemExit: with the exit code of pytest, or because there is no benchmarks/pages.py.
    """
    if not Path("benchmarks/pages.py").is_file():
        sys.exit(
            "benchmarks/pages.py is missing: list your pages in it, as djfast-bench's README shows."
        )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        env = servers.environment(os.environ["DATABASE_URL"], Path(folder) / "static")
        env["DJANGO_SETTINGS_MODULE"] = env["BENCH_SETTINGS"]
        servers.run_python(*projects.build_command(servers.HERE), env=env)
        options = ["--rootdir=.", *OPTIONS.split(), *sys.argv[1:]]
        command = [sys.executable, "-m", "pytest", __file__, *options]
        sys.exit(subprocess.run(command, env=env, check=False).returncode)


if __name__ == "__main__":
    main()
