"""Pages are the same under Django's engine and Jinja2, with the library's engine on and off."""

import subprocess
import sys
from pathlib import Path


def test_pages_are_the_same_with_all_engines() -> None:
    """Pages of the benchmark's workload, on PostgreSQL and Valkey."""
    script = Path(__file__).with_name("compare_pages.py")
    done = subprocess.run(
        [sys.executable, "-m", "djfast.services", "run", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("6 pages in 2 time zones under 4 engines\n")
