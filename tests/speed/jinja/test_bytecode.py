"""Compiled templates under many processes and threads, some of which delete or damage files."""

import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jinja2
import pytest

from speed.jinja import BytecodeCache, Environment

NAMES = [f"{number}.html" for number in range(20)]
SOURCES = {name: f"{name} {{{{ value }}}}" for name in NAMES}


def load(folder: Path) -> None:
    loader = jinja2.DictLoader(SOURCES)
    environment = Environment(loader=loader, autoescape=True, bytecode_cache=BytecodeCache(folder))
    for name in random.sample(NAMES, len(NAMES)):
        assert environment.get_template(name).render(value="<") == f"{name} &lt;"


def test_processes_and_threads_share_a_folder_that_is_emptied_and_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when needed"
    code = (
        "import django, sys, time; from pathlib import Path; django.setup();"
        "import test_bytecode as t; end = time.monotonic() + 3\n"
        "while time.monotonic() < end: t.load(Path(sys.argv[1]))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])
    others = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], env=os.environ | {"PYTHONPATH": path}
        )
        for _ in range(2)
    ]
    end = time.monotonic() + 4
    with ThreadPoolExecutor(4) as threads:
        while time.monotonic() < end:
            done = [threads.submit(load, folder) for _ in range(8)]
            for kept in list(folder.glob("*")) if folder.exists() else []:
                if (chance := random.random()) < 0.1:
                    kept.unlink(missing_ok=True)
                elif chance < 0.2 and kept.suffix == ".jinja2":
                    kept.write_bytes(random.randbytes(random.randrange(200)))
            for one in done:
                one.result()
    assert [other.wait(60) for other in others] == [0, 0]
    load(folder)
    assert {kept.suffix for kept in folder.iterdir()} == {".jinja2"}  # nothing half written
    assert len(list(folder.iterdir())) == len(NAMES)


@pytest.mark.skipif(not hasattr(os, "fork") or os.getuid() != 0, reason="only root changes users")
def test_what_the_build_has_made_another_user_reads_and_cannot_change() -> None:
    """As in an image that root builds and another user runs."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        read_by_another(Path(made))


def read_by_another(folder: Path) -> None:
    load(folder)
    before = {kept: kept.stat().st_mtime_ns for kept in folder.iterdir()}
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setuid(65534)
            compiled: list[str] = []
            loader = jinja2.DictLoader(SOURCES | {"new.html": "new"})
            environment = Environment(
                loader=loader, autoescape=True, bytecode_cache=BytecodeCache(folder)
            )
            plain = environment.compile
            environment.compile = lambda *given: compiled.append(given[1]) or plain(*given)  # type: ignore[method-assign,assignment]
            for name in (*NAMES, "new.html"):
                environment.get_template(name).render()
            status = compiled != ["new.html"]
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert {kept: kept.stat().st_mtime_ns for kept in folder.iterdir()} == before
