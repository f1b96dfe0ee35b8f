"""The workload's pages are the same under Django's templates, plain Jinja2 and the fast one.

Run in a generated project; it starts PostgreSQL and Valkey by itself.
"""

import subprocess
import sys
from pathlib import Path


def test_pages_are_those_of_djangos_templates() -> None:
    script = Path(__file__).with_name("compare_pages.py")
    done = subprocess.run(
        [sys.executable, "-m", "config.services", "run", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("6 pages in 2 time zones under 3 engines\n")
