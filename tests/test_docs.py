"""The documents: their sections are the defaults, their figures those of the stored results."""

import re
from pathlib import Path

import pytest
from djfast.rows import ROWS
from packaging.requirements import Requirement

from conftest import PAIRS, Bake, Run
from reference import documents

PART = re.compile(r"^# 1\. Speed -+$(.*?)^# 2\. ", re.DOTALL | re.MULTILINE)
# The first line of a comment that begins with a name; the line before it is no comment.
NAMED = re.compile(r"^(?! *#).*\n\s*# ([a-z][a-zA-Z0-9 -]*): ", re.MULTILINE)
NAMES = [row.name for row in ROWS]
# Defaults whose lines are in files of their own, or that have no line.
ELSEWHERE = {"N+1 guard", "context switches", "health check", "model instances", "server"}
PROJECT = documents.TEMPLATE.relative_to(documents.ROOT)
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in documents.DOCS.glob("*.md")),
    *(f"{PROJECT}/{name}" for name in ("README.md", "AGENTS.md")),
    *(f"{PROJECT}/vendor/{name}/README.md" for name in ("djfast", "djfast-bench")),
]
GROUPS = {"settings": "Settings and packages", "cache": "Caches", "engine": "Engine"}


def test_the_comments_of_the_speed_settings_name_every_default_and_nothing_else(bake: Bake) -> None:
    found: set[str] = set()
    for answers in PAIRS:
        settings = bake(**answers.values[0]) / "config/settings.py"
        (part,) = PART.findall(settings.read_text("utf-8"))
        found |= {*NAMED.findall(part)}
    assert found == {*NAMES} - ELSEWHERE


def test_every_default_has_a_section_below_its_group_and_nothing_else_has() -> None:
    text = (documents.DOCS / "defaults.md").read_text("utf-8")
    blocks = re.findall(r"^### (.+)\n<!-- generated: default (.+) -->$", text, re.MULTILINE)
    assert all(title == name for title, name in blocks)
    expected: list[str] = []
    for group, title in GROUPS.items():
        expected += [f"## {title}", *(f"### {row.name}" for row in ROWS if row.group == group)]
    assert re.findall("^###? .+$", text, re.MULTILINE) == expected


def test_every_default_was_measured_to_improve_what_it_claims() -> None:
    # This also fails if a revert no longer reaches the process that is measured.
    for row in ROWS:
        for _, found in documents.measured(row)[:1]:
            claimed = found.dimensions[row.claim]
            if claimed.verdict == "inconclusive":  # on a noisy machine; the documents say so
                assert round(claimed.ratio, 2) <= 0.95, f"{row.name}: {claimed}"
            else:
                assert claimed.verdict == "less", f"{row.name}: {claimed}"


def test_every_claim_that_was_measured_is_in_the_guide_once() -> None:
    text = (documents.DOCS / "advice.md").read_text("utf-8")
    rows = documents.load("bench-default").rows
    claims = [documents.tested(row) for row in rows if row.suite == "advice"]
    lines = [f"| {documents.cell(claim)} |" for claim in claims]
    assert {line: text.count(line) for line in lines} == dict.fromkeys(lines, 1)


def test_every_figure_in_the_documents_is_that_of_the_stored_results() -> None:
    found = documents.documents()
    stale = [
        path.name
        for path, text in found.items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert stale == [], "write them again: `make docs WRITE=1`"
    assert {*(documents.DOCS / "charts").iterdir()} <= {*found}


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall("^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_within_the_documents_leads_somewhere(name: str) -> None:
    document = documents.ROOT / name
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def commands(text: str) -> list[list[str]]:
    """Return the commands of a document, as words: its code blocks for a shell, and code within lines."""
    blocks = re.findall("^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).splitlines() + re.findall("`([^`\n]+)`", text)
    parts = [part for line in lines for part in re.split(r"&&|;|\|", line.partition("#")[0])]
    return [words for part in parts if (words := part.split())]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_command_in_the_documents_exists_with_its_variables(name: str) -> None:
    makefiles = [(documents.TEMPLATE / "Makefile").read_text("utf-8")]
    if name in ("README.md", "CONTRIBUTING.md"):  # which also show the commands of the template
        makefiles.append((documents.ROOT / "Makefile").read_text("utf-8"))
    for first, *words in commands((documents.ROOT / name).read_text("utf-8")):
        if first != "make" or not words:
            continue
        target, *variables = words
        possible = [text for text in makefiles if re.search(rf"^{target}:", text, re.MULTILINE)]
        assert possible, f"make {target}"
        for variable in (word.partition("=")[0] for word in variables if "=" in word):
            assert any(f"$({variable})" in text for text in possible), f"make {target} {variable}="


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_of_a_command_in_the_documents_exists(name: str) -> None:
    for words in commands((documents.ROOT / name).read_text("utf-8")):
        if "pytest" not in words:
            continue
        root = documents.TEMPLATE if name.startswith(documents.TEMPLATE.name) else documents.ROOT
        for path in (word for word in words if word.startswith("tests/")):
            assert (root / path).exists(), " ".join(words)


def test_documents_are_as_short_as_they_promise_to_be() -> None:
    limits = {
        "README.md": 90,
        "docs/defaults.md": 350,
        f"{documents.TEMPLATE.name}/AGENTS.md": 40,
    }
    for name, limit in limits.items():
        assert len((documents.ROOT / name).read_text("utf-8").splitlines()) <= limit, name
    readme = (documents.ROOT / "README.md").read_text("utf-8").splitlines()
    assert any(line.startswith("make ") for line in readme[:10])


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
    assert newest.startswith("3.12."), f"PyPy {newest} exists: review docs/advice.md"
    pip = ["uv", "tool", "run", "--quiet", "pip", "download", "--no-deps", "--only-binary=:all:"]
    pip += ["--implementation=pp", "--python-version=3.12", "--abi=pypy312_pp73", "--abi=none"]
    pip += [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (17, 28)] + ["--platform=any"]
    run(*pip, f"--dest={tmp_path}", package, cwd=tmp_path, code=0 if has_wheel else 1)


def test_pypy_installs_nothing_that_is_compiled_for_cpython_only(bake: Bake, run: Run) -> None:
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
