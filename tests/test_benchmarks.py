"""`make bench`, `make compare` and `make load` in generated projects, on real services."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from conftest import PAIRS, ROOT, Bake, Run, clear, commit
from processes import Terminal, working_in

# The last commit whose projects have the package `speed` and a benchmarks/ folder with the harness.
BEFORE_THE_SPLIT = "b5e657d"
LIBRARY = "vendor/djfast-bench/djfast_bench"
CONDITIONS = {"commit", "cores", "cpu", "date", "django", "os", "packages", "postgresql", "python"}


@pytest.fixture(scope="session")
def bench(run: Run) -> Callable[..., dict[str, Any]]:
    """Run `make bench` with `QUICK=1` and further options; return what it stored, and its output.

    A run with the same options in the same project is not repeated.
    """
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def bench(project: Path, *options: str) -> dict[str, Any]:
        if (project, *options) not in known:
            output = run("make", "bench", "QUICK=1", *options, cwd=project)
            stored = max((project / "benchmarks/results").glob("2*.json"))
            page = stored.with_suffix(".html").read_text("utf-8")
            found = json.loads(stored.read_text("utf-8")) | {"output": output, "page": page}
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
    assert answers.items() >= found["conditions"]["answers"].items()
    assert not found["interrupted"]


@pytest.mark.xdist_group(PAIRS[0].id)  # which has measured them already
def test_the_counts_of_the_defaults(bake: Bake, bench: Callable[..., dict[str, Any]]) -> None:
    """Bytes, queries, requests and connections do not vary; times are not tested."""
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
    assert rows["cached user"]["queries"]["experiment"] == [0]  # an opt-in, turned on
    assert rows["cached user"]["queries"]["control"] == [1]
    assert rows["N+1 guard"]["queries"]["experiment"] == [2]
    assert rows["N+1 guard"]["queries"]["control"] == [51]


SETTLING = """
import sys, time
from pathlib import Path
import psutil
from djfast_bench.servers import ServerProcess

there = Path(sys.argv[1])
late = "import time; end = time.process_time() + 1\\nwhile time.process_time() < end: pass\\n"
late += f"open({str(there)!r}, 'w'); time.sleep(60)"
early = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
first = psutil.Popen([sys.executable, "-c", early, late])
while not first.children():
    time.sleep(0.01)
server = ServerProcess(0, first)
server.settle()
print("all there" if there.exists() else "one is missing")
for process in server.family():
    process.kill()
"""


def test_a_server_is_measured_once_all_its_processes_are_there(
    bake: Bake, run: Run, tmp_path: Path
) -> None:
    command = ["uv", "run", "--quiet", "--group=bench", "python", "-c", SETTLING]
    output = run(*command, tmp_path / "there", cwd=bake(**PAIRS[0].values[0]))
    assert output.strip() == "all there"


def test_a_reverted_default_is_measured_with_a_note(
    own: Path, bench: Callable[..., dict[str, Any]]
) -> None:
    replace(own / "config/settings.py", "sessions.backends.cached_db", "sessions.backends.db")
    (row,) = bench(own, "ONLY=cached sessions")["rows"]
    assert "This project has reverted it" in row["note"]
    assert row["dimensions"]["queries"]["verdict"] == "no difference"


def replace(file: Path, old: str, new: str) -> None:
    """Change a file of a project."""
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("type(request.session).__module__", "is not"),
        ('"", status=404', "the status is 404"),  # equal on both sides, but no page
    ],
)
def test_a_wrong_response_prints_no_figure(
    own: Path, bench: Callable[..., dict[str, Any]], given: str, reason: str
) -> None:
    views = own / LIBRARY / "workload/views.py"
    replace(views, 'f"{request.user.get_username()}\\n"', given)
    found = bench(own, "ONLY=cached sessions")
    (row,) = found["rows"]
    assert row["dimensions"] == {}
    assert "Wrong response" in row["error"]
    assert reason in row["error"]
    output = " ".join(found["output"].split())
    assert "Wrong response" in output
    assert not re.search(r"faster|slower|fewer|no difference|\d \(\d", output)


def test_an_unknown_name_is_refused_in_one_sentence(own: Path, run: Run) -> None:
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
    running = working_in(own)
    assert not [line for line in running if "djfast_bench" in line or "config.server" in line]


def test_control_c_ends_a_comparison_and_leaves_nothing_behind(
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
    services = [own / ".venv/bin/python", "-m", "djfast.services", "run"]
    names = run(*services, own / ".venv/bin/python", "-c", listed, cwd=own).split()
    assert {*names} == {"app", "postgres"}


def stored(project: Path) -> dict[str, Any]:
    """Return the only results file of a project."""
    (file,) = (project / "benchmarks/results").glob("2*.json")
    return json.loads(file.read_text("utf-8")) | {"stem": file.stem}


def test_a_comparison_shows_what_made_the_difference_and_changes_no_project(
    own: Path, run: Run
) -> None:
    """Against an older revision with another setting and another version of the library."""
    run("make", "build", cwd=own)  # writes uv.lock
    commit(run, own)
    replace(own / "config/settings.py", '"CONN_MAX_AGE": 600', '"CONN_MAX_AGE": 0')
    replace(own / "vendor/djfast/pyproject.toml", 'version = "', 'version = "9.')
    output = run("make", "compare", "WITH=rev:HEAD", "QUICK=1", "ONLY=server", cwd=own)
    found = stored(own)
    changed = {name: values for name, *values in found["differences"]["Settings"]}
    assert changed == {"DATABASES.default.CONN_MAX_AGE": ["0", "600"]}
    assert "600" in output
    ((name, new, old),) = found["differences"]["Versions"]
    assert (name, new) == ("djfast", f"9.{old}")
    (row,) = found["rows"]
    assert row["experiment"] == "HEAD"
    assert row["dimensions"]["connections"]["verdict"] == "less"
    assert found["notes"] == []
    changed_files = run("git", "status", "--porcelain", "--untracked-files=all", cwd=own).split()[
        1::2
    ]
    assert sorted(changed_files) == [
        f"benchmarks/results/{found['stem']}.html",
        f"benchmarks/results/{found['stem']}.json",
        f"benchmarks/results/{found['stem']}.md",
        "config/settings.py",
        "uv.lock",
        "vendor/djfast/pyproject.toml",
    ]


def test_pages_that_differ_are_not_timed(own: Path, run: Run) -> None:
    commit(run, own)
    replace(own / "config/settings.py", '"My Shop"', '"Your Shop"')
    run("make", "compare", "WITH=rev:HEAD", "QUICK=1", "ONLY=home", cwd=own)
    (row,) = stored(own)["rows"]
    assert "time" not in row["dimensions"]
    assert "'My Shop' against 'Your Shop'" in row["error"]


@pytest.fixture(scope="module")
def invoking(bake: Bake, run: Run) -> Iterator[Path]:
    """A project that compares itself with others, and is not changed by that."""
    project = bake(fresh=True)
    yield project
    clear(run, project)


# Checks all pages of two sides as `make compare` does, without the starts that their times take.
CHECK = """
import json, os, sys
from djfast_bench.comparison import Comparison
from djfast_bench.sides import ready

with ready(sys.argv[1], "") as sides:
    comparison = Comparison(sides, os.environ["DATABASE_URL"], (0, 0), "")
    comparison.check()
    models = "from djfast_bench.workload.models import Model; print(Model.__module__)"
    setup = f"import django; django.setup(); {models}"
    side, _ = sides
    from djfast_bench.servers import run_python
    base = run_python("-c", setup, env=side.env, project=side.folder, python=side.python)
    errors = {name: row.error for name, row in comparison.rows.items() if row.error}
    print(json.dumps({"errors": errors, "base": base.strip(), "note": side.note}))
"""


def old_project(run: Run, folder: Path) -> Path:
    """Generate a project from the last commit before djfast became a library."""
    template = folder / "template"
    template.mkdir()
    archive = ["git", "archive", "--output", folder / "old.tar", BEFORE_THE_SPLIT]
    if subprocess.run(archive, cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip(f"this clone has no commit {BEFORE_THE_SPLIT}")
    run("tar", "--extract", "--file", folder / "old.tar", cwd=template)
    config = folder / "config.json"
    own = {name: str(folder) for name in ("cookiecutters_dir", "replay_dir")}
    config.write_text(json.dumps(own))
    options: Any = {"no_input": True, "output_dir": str(folder), "config_file": str(config)}
    return Path(cookiecutter(str(template), **options))


def other_answer(bake: Bake, run: Run, folder: Path) -> Path:
    return bake(template_engine="jinja2", server="gunicorn")


def before_the_split(bake: Bake, run: Run, folder: Path) -> Path:
    return old_project(run, folder)


def engine_off(bake: Bake, run: Run, folder: Path) -> Path:
    project = bake(fresh=True)
    with (project / "config/settings.py").open("a") as settings:
        settings.write("\nDJFAST_ENGINE = False\n")
    return project


def engine_deleted(bake: Bake, run: Run, folder: Path) -> Path:
    """A team that has left the engine and the base model, and deleted what it no longer uses."""
    project = bake(fresh=True)
    shutil.rmtree(project / "vendor/djfast/djfast/engine")
    shutil.rmtree(project / "benchmarks")
    settings = project / "config/settings.py"
    text = re.sub(r'\n *"djfast\.engine\.\w+",|\n *"djfast",', "", settings.read_text("utf-8"))
    settings.write_text(text, "utf-8")
    models = project / "core/models.py"
    replace(models, "import djfast.models\n", "from django.db import models\n")
    replace(models, 'djfast.models.Manager["User"], ', "")
    replace(models, "djfast.models.Model", "models.Model")
    return project


@pytest.mark.xdist_group("compare")
@pytest.mark.parametrize(
    ("side", "base"),
    [
        (other_answer, "core.models"),
        (before_the_split, "speed.peers"),
        (engine_off, "core.models"),
        (engine_deleted, "django.db.models.base"),
    ],
)
def test_the_pages_of_another_project_are_compared(
    invoking: Path,
    bake: Bake,
    run: Run,
    tmp_path: Path,
    side: Callable[..., Path],
    base: str,
) -> None:
    other = side(bake, run, tmp_path)
    python = ["uv", "run", "--quiet", "--group=bench", "python"]
    services = [*python, "-m", "djfast.services", "run", "python", "-c", CHECK, other]
    found = json.loads(run(*services, cwd=invoking).splitlines()[-1])
    # The start page of before has a list of all defaults in development, and another text.
    assert found["errors"].keys() <= ({"home"} if side is before_the_split else set())
    assert found["base"] == base
    assert found["note"] == ""


@pytest.fixture
def startproject(run: Run, invoking: Path, tmp_path: Path) -> Path:
    """What `django-admin startproject` writes."""
    run("uv", "sync", "--quiet", cwd=invoking)
    admin = invoking / ".venv/bin/django-admin"
    run(admin, "startproject", "stock", cwd=tmp_path)
    return tmp_path / "stock"


@pytest.mark.xdist_group("compare")
def test_a_project_of_startproject_is_compared_and_the_result_states_what_was_added(
    invoking: Path, startproject: Path, run: Run
) -> None:
    before = {path: path.read_bytes() for path in startproject.rglob("*.*")}
    run("make", "compare", f"WITH={startproject}", "QUICK=1", "ONLY=about", cwd=invoking)
    found = stored(invoking)
    (row,) = found["rows"]
    assert row["error"] == ""
    assert row["dimensions"]["time"]["ratio"] > 0
    (note,) = found["notes"]
    assert note.startswith("stock was measured with the packages django, psycopg, gunicorn")
    for part in ("DATABASES: the scratch PostgreSQL", "DEBUG: False", "one worker per core"):
        assert part in note
    page = (invoking / f"benchmarks/results/{found['stem']}.html").read_text("utf-8")
    assert note in unescape(page)
    assert {path: path.read_bytes() for path in startproject.rglob("*.*")} == before


@pytest.mark.xdist_group("compare")
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("DEBUG = True", "DEBUG = undefined", "stock: the settings cannot be loaded: NameError"),
        ("'django.contrib.sessions',", "", "stock: INSTALLED_APPS lacks django.contrib.sessions"),
    ],
)
def test_a_project_that_cannot_be_measured_is_refused_in_one_sentence(
    invoking: Path, startproject: Path, run: Run, old: str, new: str, reason: str
) -> None:
    replace(startproject / "stock/settings.py", old, new)
    output = run("make", "compare", f"WITH={startproject}", cwd=invoking, code=2)
    assert reason in " ".join(output.split())
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "Set what to compare with"),
        (["WITH=../nowhere"], "There is no folder"),
        (["WITH=/"], "is no Django project: it has no manage.py"),
        (["WITH=rev:HEAD"], "Git has no revision 'HEAD'"),
        (["PYTHON=3.1"], "Python 3.1"),
        (["WITH=.", "ONLY=nonsense"], "is in none of the names"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(
    own: Path, run: Run, options: list[str], reason: str
) -> None:
    output = run("make", "compare", *options, cwd=own, code=2)
    assert reason in " ".join(output.split())
    assert "Traceback" not in output


def test_a_load_is_shown_by_stage_and_drawn(own: Path, run: Run) -> None:
    run("make", "load", "USERS=4", "SECONDS=6", cwd=own)
    found = stored(own)
    assert [stage["users"] for stage in found["conditions"]["stages"]] == [1, 4]
    assert found["conditions"]["errors"] == {}
    assert all(stage["connections"] and stage["memory"] for stage in found["conditions"]["stages"])
    page = own / f"benchmarks/results/{found['stem']}.html"
    assert page.read_text("utf-8").count("<svg") >= 3


def test_a_load_on_another_machine_is_refused(own: Path, run: Run) -> None:
    output = run("make", "load", "PAGES=http://example.com/", cwd=own, code=2)
    assert "is not a path: the load is for this project on this machine" in output


PAGES = """
BASE_MODEL = "core.models.BaseModel"
PAGES = {"/": "<h1>", "/users/": "<li>user 2", "/users/ signed in": "<p>for visitor"}


def content():
    from core.models import User

    return [User.objects.create_user(f"user {n}") for n in range(3)]
"""
VIEW = """


def users(request: HttpRequest) -> HttpResponse:
    from core.models import User

    names = "".join(f"<li>{user}" for user in User.objects.all())
    return HttpResponse(f"{names}<p>for {request.user}")
"""


def test_the_pages_of_the_team_are_timed_with_their_rows(own: Path, run: Run) -> None:
    (own / "benchmarks/pages.py").write_text(PAGES, "utf-8")
    with (own / "core/views.py").open("a") as views:
        views.write(VIEW)
    replace(own / "core/urls.py", "urlpatterns = [", 'urlpatterns = [path("users/", views.users),')
    command = ["uv", "run", "--quiet", "--group=bench", "python", "-m", "djfast.services", "run"]
    command += ["python", "-m", "djfast_bench.pages"]
    output = run(*command, cwd=own)
    assert "3 passed" in output
    (saved,) = (own / "benchmarks/results/pages").rglob("*.json")
    timed = {one["param"] for one in json.loads(saved.read_text("utf-8"))["benchmarks"]}
    assert timed == {"/", "/users/", "/users/ signed in"}
    replace(own / "benchmarks/pages.py", "user 2", "user 3")  # a text that the page does not have
    output = run(*command, cwd=own, code=1)
    assert "1 failed, 2 passed" in output


def test_a_broken_budget_names_the_query_and_the_line_that_made_it(own: Path, run: Run) -> None:
    view = own / "core/views.py"
    replace(
        view,
        "    return render(",
        "    [User.objects.count() for _ in range(3)]\n    return render(",
    )
    view.write_text(f"from core.models import User\n{view.read_text('utf-8')}", "utf-8")
    run("uv", "sync", "--quiet", cwd=own)
    test = ["uv", "run", "pytest", "tests/test_pages.py", "--no-header", "-q"]
    output = run(*test, cwd=own, code=1)
    assert '"/" is over its budget.' in output
    assert "queries = 3, 3 more than the budget of 0:" in output
    assert "duplicates = 2, 2 more than the budget of 0:" in output
    assert re.search(r"3 x SELECT COUNT.*\(core/views.py:\d+\)", output)


def test_a_project_works_without_its_benchmarks(own: Path, run: Run) -> None:
    shutil.rmtree(own / "benchmarks")
    run("make", "check", cwd=own)
    run("uv", "run", "--quiet", "pytest", "tests/test_pages.py", cwd=own)
    run("make", "bench", "QUICK=1", "ONLY=conditional GET", cwd=own)
    (row,) = stored(own)["rows"]  # in a folder that did not exist
    assert row["error"] == ""
