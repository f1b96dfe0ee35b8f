"""`make bench`, `make compare` and `make load` in generated projects, on real services."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Bake, Run, clear, commit
from test_projects import PAIRS, Terminal, working_in

CONDITIONS = {"commit", "cores", "cpu", "date", "django", "os", "packages", "postgresql", "python"}


@pytest.fixture(scope="session")
def bench(run: Run) -> Callable[..., dict[str, Any]]:
    """Run `make bench` with `QUICK=1` and further options; return what it stored, and what it said.

    What was measured once in a project is not measured again.
    """
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def bench(project: Path, *options: str) -> dict[str, Any]:
        if (project, *options) not in known:
            said = run("make", "bench", "QUICK=1", *options, cwd=project)
            stored = max((project / "benchmarks/results").glob("2*.json"))
            page = stored.with_suffix(".html").read_text("utf-8")
            found = json.loads(stored.read_text("utf-8")) | {"said": said, "page": page}
            known[(project, *options)] = found
        return known[(project, *options)]

    return bench


@pytest.fixture
def own(bake: Bake, run: Run) -> Iterator[Path]:
    """A project that the test may change."""
    project = bake(fresh=True)
    yield project
    clear(run, project)


@pytest.mark.parametrize("answers", PAIRS)
def test_every_default_is_measured(
    bake: Bake, bench: Callable[..., dict[str, Any]], answers: dict
) -> None:
    complete(bench(bake(**answers)), "defaults", answers)


@pytest.mark.parametrize("answers", [PAIRS[0], PAIRS[-1]])  # each answer once
def test_every_advice_is_measured(
    bake: Bake, bench: Callable[..., dict[str, Any]], answers: dict
) -> None:
    complete(bench(bake(**answers), "ONLY= instead of "), "advice", answers)


def complete(found: dict[str, Any], suite: str, answers: dict) -> None:
    """Fail unless all rows are of one suite and have their figures."""
    assert {row["suite"] for row in found["rows"]} == {suite}
    assert [(row["name"], row["error"]) for row in found["rows"] if row["error"]] == []
    for row in found["rows"]:
        claimed = row["dimensions"][row["claim"]]
        assert claimed["low"] <= claimed["ratio"] <= claimed["high"], row["name"]
        assert row["name"] in unescape(found["page"])
    assert found["conditions"].keys() >= CONDITIONS
    assert found["conditions"]["answers"] == answers
    assert not found["interrupted"]


@pytest.mark.xdist_group(PAIRS[0].id)  # finds them measured
def test_counts_say_what_the_defaults_are_for(
    bake: Bake, bench: Callable[..., dict[str, Any]]
) -> None:
    """What does not vary: bytes, queries, requests, connections. Times are no tests."""
    project = bake(**PAIRS[0].values[0])
    rows = {row["name"]: row["dimensions"] for row in bench(project)["rows"]}
    assert rows["persistent connections"]["connections"]["control"] == [100]
    assert rows["persistent connections"]["connections"]["experiment"][0] <= 4
    assert rows["cached sessions"]["queries"]["experiment"] == [1]
    assert rows["cached sessions"]["queries"]["control"] == [2]
    assert rows["compression"]["bytes"]["ratio"] < 0.2
    assert rows["conditional GET"]["bytes"]["experiment"] == [0]
    assert rows["static files"]["bytes"]["ratio"] < 0.5
    assert rows["bundles"]["requests"]["verdict"] == "less"


SETTLING = """
import sys, time
from pathlib import Path
import psutil
from benchmarks.servers import Server

there = Path(sys.argv[1])
late = "import time; end = time.process_time() + 1\\nwhile time.process_time() < end: pass\\n"
late += f"open({str(there)!r}, 'w'); time.sleep(60)"
early = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
first = psutil.Popen([sys.executable, "-c", early, late])
while not first.children():
    time.sleep(0.01)
server = Server(0, first)
server.settle()
print("all there" if there.exists() else "one is late")
for process in server.family():
    process.kill()
"""


def test_a_server_is_measured_once_all_its_processes_are_there(
    bake: Bake, run: Run, tmp_path: Path
) -> None:
    command = ["uv", "run", "--quiet", "--group=bench", "python", "-c", SETTLING]
    said = run(*command, tmp_path / "there", cwd=bake(**PAIRS[0].values[0]))
    assert said.strip() == "all there"


def test_a_default_that_was_undone_shows_in_the_check_and_in_the_benchmark(
    own: Path, run: Run, bench: Callable[..., dict[str, Any]]
) -> None:
    settings = own / "config/settings.py"
    written = settings.read_text("utf-8")
    changed = written.replace("sessions.backends.cached_db", "sessions.backends.db")
    assert changed != written
    settings.write_text(changed, "utf-8")
    said = run("make", "check", cwd=own, code=2)
    assert "speed.cached-sessions" in said
    assert "SESSION_ENGINE: cached_db" in said  # how to restore it
    (row,) = bench(own, "ONLY=cached sessions")["rows"]
    assert "has undone it" in row["note"]
    assert row["dimensions"]["queries"]["verdict"] == "no difference"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("type(request.session).__module__", "is not"),
        ('"", status=404', "the status is 404"),  # on both sides: equal, and wrong
    ],
)
def test_a_wrong_answer_prints_no_number(
    own: Path, bench: Callable[..., dict[str, Any]], given: str, reason: str
) -> None:
    views = own / "benchmarks/workload/views.py"
    text = views.read_text("utf-8")
    views.write_text(text.replace('f"{request.user.get_username()}\\n"', given), "utf-8")
    found = bench(own, "ONLY=cached sessions")
    (row,) = found["rows"]
    assert row["dimensions"] == {}
    assert "Wrong answer" in row["error"]
    assert reason in row["error"]
    said = " ".join(found["said"].split())
    assert "Wrong answer" in said
    assert not re.search(r"faster|slower|fewer|no difference|\d \(", said)


def test_a_name_that_nothing_has_is_refused_in_one_sentence(own: Path, run: Run) -> None:
    assert "has 'nonsense' in its name" in run("make", "bench", "ONLY=nonsense", cwd=own, code=2)
    assert not (own / "benchmarks/results").exists() or not [
        *(own / "benchmarks/results").glob("2*")
    ]


def test_control_c_keeps_what_was_measured_and_leaves_nothing_running(
    own: Path, run: Run, clean_environment: dict[str, str]
) -> None:
    run("uv", "sync", "--quiet", "--group", "bench", cwd=own)
    terminal = Terminal("make", "bench", cwd=own, env=clean_environment | {"TERM": "xterm"})
    try:
        deadline = time.monotonic() + 120
        while b"redis cache" not in (terminal.log.read_bytes() if terminal.log.exists() else b""):
            assert time.monotonic() < deadline, terminal.log.read_text()
            time.sleep(0.2)
        terminal.press_control_c(seconds=60)
    finally:
        terminal.close()
    (stored,) = (own / "benchmarks/results").glob("2*.json")
    found = json.loads(stored.read_text("utf-8"))
    assert found["interrupted"]
    assert found["rows"][0]["dimensions"]["time"]["ratio"] > 0
    running = [p.cmdline() for p in psutil.process_iter() if _within(p, own)]
    assert not [c for c in running if "benchmarks" in " ".join(c) or "config.server" in " ".join(c)]


def test_control_c_ends_a_comparison_with_all_that_it_has_made(
    own: Path, run: Run, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    env = clean_environment | {"TERM": "xterm", "TMPDIR": str(tmp_path)}
    terminal = Terminal("make", "compare", "WITH=.", cwd=own, env=env)
    try:
        deadline = time.monotonic() + 180
        while b"start 1: count" not in (
            terminal.log.read_bytes() if terminal.log.exists() else b""
        ):
            assert time.monotonic() < deadline, terminal.log.read_text()
            time.sleep(0.2)
        terminal.press_control_c(seconds=60)
    finally:
        terminal.close()
    assert working_in(tmp_path) == []
    assert list(tmp_path.glob("compare-*")) == []
    listed = (
        "import os, psycopg; c = psycopg.connect(os.environ['DATABASE_URL']); print(*[n for n, "
    )
    listed += "in c.execute('SELECT datname FROM pg_database WHERE NOT datistemplate')])"
    services = [own / ".venv/bin/python", "-m", "config.services", "run"]
    names = run(*services, own / ".venv/bin/python", "-c", listed, cwd=own).split()
    assert {*names} == {"app", "postgres"}


def _within(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def test_a_comparison_shows_which_setting_made_the_difference_and_writes_to_no_project(
    own: Path, run: Run
) -> None:
    run("make", "build", cwd=own)  # writes uv.lock
    commit(run, own)
    settings = own / "config/settings.py"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace('["CONN_MAX_AGE"] = 600', '["CONN_MAX_AGE"] = 0'), "utf-8")
    said = run("make", "compare", "WITH=rev:HEAD", "QUICK=1", "ONLY=server", cwd=own)
    (stored,) = (own / "benchmarks/results").glob("2*.json")
    found = json.loads(stored.read_text("utf-8"))
    changed = {name: values for name, *values in found["differences"]["Settings"]}
    assert changed == {"DATABASES.default.CONN_MAX_AGE": ["0", "600"]}
    assert "600" in said
    (row,) = found["rows"]
    assert row["experiment"] == "HEAD"
    assert row["dimensions"]["connections"]["verdict"] == "less"  # kept, as they were at HEAD
    changed_files = run("git", "status", "--porcelain", cwd=own).split()[1::2]
    assert changed_files == [
        "config/settings.py",
        f"benchmarks/results/{stored.stem}.html",
        f"benchmarks/results/{stored.name}",
        f"benchmarks/results/{stored.stem}.md",
    ]


def test_pages_that_differ_are_compared_no_further(own: Path, run: Run) -> None:
    commit(run, own)
    site = own / "config/settings.py"
    site.write_text(site.read_text("utf-8").replace('"My Shop"', '"Your Shop"'), "utf-8")
    run("make", "compare", "WITH=rev:HEAD", "QUICK=1", "ONLY=home", cwd=own)
    (stored,) = (own / "benchmarks/results").glob("2*.json")
    (row,) = json.loads(stored.read_text("utf-8"))["rows"]
    assert "time" not in row["dimensions"]
    assert "'My Shop' against 'Your Shop'" in row["error"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "Say what to compare with"),
        (["WITH=../nowhere"], "There is no folder"),
        (["WITH=/"], "is no project of this template"),
        (["WITH=rev:HEAD"], "Git does not give revision 'HEAD'"),
        (["PYTHON=3.1"], "Python 3.1"),
        (["WITH=.", "ONLY=nonsense"], "is in none of the names"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(
    own: Path, run: Run, options: list[str], reason: str
) -> None:
    said = run("make", "compare", *options, cwd=own, code=2)
    assert reason in " ".join(said.split())
    assert "Traceback" not in said


def test_a_load_is_told_in_stages_and_drawn(own: Path, run: Run) -> None:
    run("make", "load", "USERS=4", "SECONDS=6", cwd=own)
    (stored,) = (own / "benchmarks/results").glob("2*.json")
    found = json.loads(stored.read_text("utf-8"))
    assert [stage["users"] for stage in found["conditions"]["stages"]] == [1, 4]
    assert found["conditions"]["errors"] == {}
    assert all(stage["connections"] and stage["memory"] for stage in found["conditions"]["stages"])
    assert stored.with_suffix(".html").read_text("utf-8").count("<svg") >= 3


def test_a_load_on_another_machine_is_refused(own: Path, run: Run) -> None:
    said = run("make", "load", "PAGES=http://example.com/", cwd=own, code=2)
    assert "is no path: the load is for this project on this machine" in said


def test_a_broken_budget_names_the_query_and_the_line_that_made_it(own: Path, run: Run) -> None:
    view = own / "core/views.py"
    wasteful = "[User.objects.count() for _ in range(3)]"
    text = view.read_text("utf-8").replace(
        "    context: dict", f"    {wasteful}\n    context: dict"
    )
    view.write_text(f"from core.models import User\n{text}", "utf-8")
    run("uv", "sync", "--quiet", cwd=own)
    test = ["uv", "run", "pytest", "tests/test_budgets.py", "--no-header", "-q"]
    said = run(*test, cwd=own, code=1)
    assert '"/" is over its budget.' in said
    assert "queries = 3, 3 more than the budget of 0:" in said
    assert "duplicates = 2, 2 more than the budget of 0:" in said
    assert re.search(r"3 x SELECT COUNT.*\(core/views.py:\d+\)", said)


def test_a_project_works_without_its_benchmarks(own: Path, run: Run) -> None:
    shutil.rmtree(own / "benchmarks")
    run("make", "check", cwd=own)
    run("make", "test", cwd=own)
    run("make", "build", cwd=own)
