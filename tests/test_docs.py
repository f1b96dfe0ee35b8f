"""The documents: they name the defaults that there are, and say what was measured, to the digit."""

import re
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conftest import Bake, Run
from measure import documents
from test_projects import PAIRS

PART = re.compile(r"^# 1\. Speed -+$(.*?)^# 2\. ", re.DOTALL | re.MULTILINE)
# A comment that begins with a name: its first line, so the one before it is none.
NAMED = re.compile(r"^(?!\s*#).*\n\s*# ([a-z][a-zA-Z0-9 -]*): ", re.MULTILINE)


def names(project: Path) -> set[str]:
    """Names of the defaults of a project."""
    return {row.name for row in runpy.run_path(str(project / "speed/defaults.py"))["DEFAULTS"]}


@pytest.mark.parametrize("answers", PAIRS)
def test_the_comments_of_the_speed_settings_name_every_default_and_nothing_else(
    bake: Bake, answers: dict[str, str]
) -> None:
    project = bake(**answers)
    (part,) = PART.findall((project / "config/settings.py").read_text("utf-8"))
    # They have files of their own.
    elsewhere = {"N+1 guard", "context switches", "model instances", "server"}
    assert {*NAMED.findall(part)} == names(project) - elsewhere


def test_every_default_of_any_answer_has_a_section_and_nothing_else_has() -> None:
    text = (documents.DOCS / "defaults.md").read_text("utf-8")
    sections = re.findall(r"^## (.+)\n\n<!-- generated: default (.+) -->$", text, re.MULTILINE)
    assert all(title == name for title, name in sections)
    assert [title for title, _ in sections] == re.findall("^## (.+)$", text, re.MULTILINE)
    assert {title for title, _ in sections} == names(documents.TEMPLATE)


def test_every_default_was_seen_to_buy_what_it_claims() -> None:
    # Also how it is noticed that undoing one has stopped to reach the process that is measured.
    open_ = {"translation off"}  # a choice about the site; its section says so
    for name in names(documents.TEMPLATE) - open_:
        _, row = documents.of(name)[0]
        assert row.dimensions[row.claim].verdict == "less", f"{name}: {row.dimensions[row.claim]}"


def test_every_claim_that_was_tried_stands_once_in_the_guide() -> None:
    text = (documents.DOCS / "advice.md").read_text("utf-8")
    rows = documents.load("bench-default").rows
    tried = [f"| {documents.cell(documents.tried(row))} |" for row in rows if row.suite == "advice"]
    assert {line: text.count(line) for line in tried} == dict.fromkeys(tried, 1)


def test_every_figure_in_the_documents_is_that_of_the_stored_results() -> None:
    found = documents.documents()
    stale = [path.name for path, text in found.items() if path.read_text("utf-8") != text]
    assert stale == [], "write them again: `uv run python -m measure --write`"
    assert {*(documents.DOCS / "charts").iterdir()} <= {*found}


def test_every_picture_of_the_documents_is_there() -> None:
    for path in documents.DOCS.glob("*.md"):
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text("utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} shows {name}"


@pytest.mark.parametrize(
    ("package", "has_wheel"),
    [
        ("django", True),
        ("gunicorn", True),
        ("psycopg", True),
        ("psycopg-binary", False),
        ("granian", False),
        ("brotli", False),
        ("hiredis", False),
    ],
)
def test_the_newest_pypy_finds_the_wheels_that_the_guide_says(
    run: Run, tmp_path: Path, package: str, has_wheel: bool
) -> None:
    newest = run("uv", "python", "list", "--all-versions", "pypy", cwd=tmp_path).split("-")[1]
    assert newest.startswith("3.12."), f"PyPy {newest} is there: look again at docs/advice.md"
    pip = ["uv", "tool", "run", "--quiet", "pip", "download", "--no-deps", "--only-binary=:all:"]
    pip += ["--implementation=pp", "--python-version=3.12", "--abi=pypy312_pp73", "--abi=none"]
    pip += [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (17, 28)] + ["--platform=any"]
    run(*pip, f"--dest={tmp_path}", package, cwd=tmp_path, code=0 if has_wheel else 1)


def test_pypy_is_given_nothing_that_is_compiled_for_cpython_only(bake: Bake, run: Run) -> None:
    project = bake(server="gunicorn", fresh=True)
    run("uv", "lock", "--quiet", cwd=project)
    exported = run("uv", "export", "--no-dev", "--no-hashes", "--quiet", cwd=project)
    lines = [line for line in exported.splitlines() if re.match("[a-z]", line)]
    pypy = {"implementation_name": "pypy", "platform_python_implementation": "PyPy"}
    needs = {
        need.name
        for need in map(Requirement, lines)
        if not need.marker or need.marker.evaluate(pypy | {"python_full_version": "3.12.15"})
    }
    assert needs >= {"django", "gunicorn", "psycopg", "redis", "whitenoise"}
    assert not needs & {"brotli", "granian", "hiredis", "psycopg-binary"}
