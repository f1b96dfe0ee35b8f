"""What cookiecutter makes of the answers: which files, with what in them, and what it refuses."""

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException, OutputDirExistsException

from conftest import QUESTIONS, ROOT, Bake, Run

EVERY_ANSWER = [
    dict(zip(QUESTIONS, answers, strict=True)) for answers in itertools.product(*QUESTIONS.values())
]

# Folder by folder, the names in it: what a team owns. The libraries in vendor/ are copied whole.
COMMON = {
    ".": ".env .env.example .gitignore .python-version AGENTS.md Makefile README.md manage.py pyproject.toml",
    "benchmarks": "__init__.py pages.py",
    "config": "__init__.py build.py server.py settings.py urls.py",
    "core": "__init__.py admin.py context.py models.py urls.py views.py",
    "core/migrations": "0001_initial.py __init__.py",
    "static": "favicon.svg",
    "static/css": "base.css page.css",
    "static/js": "theme.js",
    "templates": "404.html 500.html base.html home.html",
    "tests": "test_defaults.py test_pages.py test_server.py",
}
# What one answer adds to them; an answer that is not named adds nothing.
ADDED = {
    "asgi": {"config": "asgi.py"},
    "jinja2": {"config": "jinja2.py"},
    "wsgi": {"config": "wsgi.py"},
}
# The only files in which anything depends on an answer.
RENDERED = {
    ".": ".env.example AGENTS.md Makefile README.md pyproject.toml",
    "config": "settings.py",
    "tests": "test_server.py",
}
OWNED_FILES = 45  # what a team reads in half an hour, at most
OWNED_LINES = 1000  # of Python, without blank lines, comments and docstrings

# Their braces are for Django and Jinja2.
COPIED = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["_copy_without_render"]

REFUSED = [
    ({"project_name": ""}, "project_name is empty"),
    ({"project_name": "   "}, "project_name is empty"),
    ({"project_name": "My\nShop"}, "holds a control character"),
    ({"project_name": "My\x1b[31mShop"}, "holds a control character"),
    ({"project_name": "Shop\u202etxt.exe"}, "holds a control character"),
    ({"project_name": "{{ '{{' }} shop }}"}, "holds template code"),
    ({"project_slug": "My Shop"}, "no folder and distribution name"),
    ({"project_slug": "3d-shop"}, "no folder and distribution name"),
    ({"project_slug": "shop-"}, "no folder and distribution name"),
    ({"project_slug": "my--shop"}, "no folder and distribution name"),
    ({"project_slug": "shöp"}, "no folder and distribution name"),
    ({"project_slug": "s" * 41}, "no folder and distribution name"),
    ({"project_slug": "it's \"\\"}, "no folder and distribution name"),
    ({"project_slug": "../evil"}, "no folder and distribution name"),
    ({"project_slug": "django"}, "taken by a package"),
    ({"project_slug": "django_redis"}, "taken by a package"),
    ({"project_slug": "core"}, "taken by a package"),
    ({"project_slug": "djfast"}, "taken by a package"),
    ({"project_slug": "djfast_bench"}, "taken by a package"),
    ({"project_slug": "vendor"}, "taken by a package"),
    ({"project_slug": "nul"}, "taken by a package"),
    ({"project_name": "Django"}, "taken by a package"),
]

ODD_NAMES = {
    "quotes": 'Bob\'s "Best" Shop',
    "double quotes": '"Shop"',
    "an apostrophe": "Bob's Shop",
    "a typographic apostrophe": "Bob’s Shop",
    "backslashes": "C:\\new\\shop\\",
    "an emoji": "🛒",
    "a family of emoji": "Shop 👨‍👩‍👧",
    "an exact fit": "s" * 77,
    "one column too many": "s" * 89,
    "300 characters": "A very long name " * 18,
    "300 wide characters": "商店" * 150,
    "right to left": "החנות שלי",
    "a joiner": "فروشگاه‌من",
    "Django's tags": "{% if %} }} {# #}",
    "HTML": "<script>alert('&amp;')</script>",
    "Markdown and shell": "`rm` *$HOME* ${x} %s {0}",
    "a digit first": "3D Shop",
}


def listed(folders: dict[str, str]) -> set[str]:
    """Return the paths that a table of folders and names stands for."""
    return {
        (Path(folder) / name).as_posix() for folder in folders for name in folders[folder].split()
    }


def files(project: Path) -> set[str]:
    """Return the paths of all files below `project`."""
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def owned(project: Path) -> set[str]:
    """Return the paths of all files that a team owns: those beside the libraries."""
    return {name for name in files(project) if not name.startswith("vendor/")}


def code_lines(module: Path) -> int:
    """Return how many lines of a module hold code: no blank line, comment or docstring."""
    tree = ast.parse(module.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    strings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    lines = enumerate(module.read_text("utf-8").splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in strings
        for number, line in lines
    )


def lint(folder: Path, *names: str) -> None:
    """Check lint and format of `names`, or of everything in `folder`; fail with what ruff says."""
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *(names or ["."])],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def assigned(module: Path, name: str) -> str:
    """Return the string that `module` assigns to `name`, without running it."""
    for statement in ast.parse(module.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == name:
            return ast.literal_eval(statement.value)
    raise AssertionError(f"{module} does not assign {name}")


@pytest.mark.parametrize("answers", EVERY_ANSWER, ids=lambda answers: "-".join(answers.values()))
def test_a_project_has_exactly_the_files_that_its_answers_ask_for(
    bake: Bake, answers: dict
) -> None:
    added = [listed(ADDED.get(answer, {})) for answer in answers.values()]
    assert owned(bake(fresh=True, **answers)) == listed(COMMON).union(*added)


@pytest.mark.parametrize("answers", EVERY_ANSWER, ids=lambda answers: "-".join(answers.values()))
def test_what_a_team_owns_is_read_in_half_an_hour(
    bake: Bake, answers: dict, record_property: Callable[[str, object], None]
) -> None:
    project = bake(fresh=True, **answers)
    names = owned(project)
    lines = sum(code_lines(project / name) for name in names if name.endswith(".py"))
    record_property("files that a team owns", len(names))
    record_property("lines of Python that a team owns", lines)
    assert len(names) <= OWNED_FILES
    assert lines <= OWNED_LINES


def test_the_libraries_are_copied_without_a_change_and_without_bytecode(
    bake: Bake, template: Path
) -> None:
    cache = template / "vendor/djfast/djfast/__pycache__/rows.cpython-313.pyc"
    cache.parent.mkdir(exist_ok=True)
    cache.write_bytes(b"left by a tool")
    try:
        project = bake(fresh=True, template_engine="jinja2", interface="asgi")
    finally:
        shutil.rmtree(cache.parent)
    assert files(project / "vendor") == files(template / "vendor")
    for name in files(template / "vendor"):
        assert (project / "vendor" / name).read_bytes() == (template / "vendor" / name).read_bytes()


def test_few_lines_of_the_templates_python_are_branches(template: Path) -> None:
    modules = [name for name in files(template) if name.endswith(".py")]
    texts = [(template / name).read_text("utf-8") for name in modules]
    assert sum(len(re.findall(r"^ *# {%", text, re.MULTILINE)) for text in texts) <= 25


def test_nothing_is_left_unrendered(bake: Bake) -> None:
    for answers in EVERY_ANSWER:
        project = bake(fresh=True, **answers)
        for name in owned(project):
            text = (project / name).read_text("utf-8")
            assert "cookiecutter." not in text, f"{name} with {answers}"
            if not any(fnmatch(name, pattern) for pattern in COPIED):
                assert not re.search(r"\{\{|# \{[%#]", text), f"{name} with {answers}"


def test_only_the_listed_files_depend_on_the_answers(bake: Bake, template: Path) -> None:
    changed = set()
    for answers in EVERY_ANSWER:
        project = bake(fresh=True, **answers)
        for name in files(project) & files(template):
            if (project / name).read_bytes() != (template / name).read_bytes():
                changed.add(name)
    # Renamed by the answer, not rendered; .env is no file of the template.
    assert {name for name in changed if not name.startswith("templates/")} == listed(RENDERED)


def test_both_engines_have_the_same_pages(template: Path) -> None:
    assert files(template / "templates") == files(template / "templates_jinja2")


@pytest.mark.parametrize("answers", EVERY_ANSWER, ids=lambda answers: "-".join(answers.values()))
def test_a_project_is_formatted_and_free_of_lint(bake: Bake, answers: dict) -> None:
    lint(bake(**answers))


def test_the_template_itself_is_formatted_and_free_of_lint(template: Path) -> None:
    lint(template.parent)


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_a_project_may_be_called(bake: Bake, name: str) -> None:
    project = bake(project_name=name)
    assert assigned(project / "config/settings.py", "SITE_NAME") == name
    assert name in (project / "README.md").read_text("utf-8")
    assert re.fullmatch("[a-z][a-z0-9-]{0,39}", project.name)
    lint(project, "config/settings.py")


@pytest.mark.parametrize(("answers", "reason"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_an_answer_that_would_break_the_project_is_refused_in_one_line(
    bake: Bake, answers: dict, reason: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "a" / "b"  # two folders, so that ../ stays within reach of the test
    with pytest.raises(FailedHookException):
        bake(output=output, **answers)
    said = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert reason in said[0]
    assert files(tmp_path) == set()
    assert [path.name for path in output.rglob("*")] == []


def test_who_has_generated_a_project_is_told_what_comes_next(
    bake: Bake, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bake(output=tmp_path, project_slug="corner-shop")
    assert capfd.readouterr().out.splitlines()[-1] == "Next, in corner-shop: make run"


def test_a_folder_that_is_there_already_is_left_alone(bake: Bake, tmp_path: Path) -> None:
    (tmp_path / "my-shop").mkdir()
    with pytest.raises(OutputDirExistsException):
        bake(output=tmp_path)
    with pytest.raises(OutputDirExistsException):
        bake(output=tmp_path, project_slug="")
    assert files(tmp_path) == set()


def test_an_answer_that_is_not_on_the_list_is_refused(bake: Bake, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mako provided for choice variable template_engine"):
        bake(output=tmp_path, template_engine="mako")
    assert files(tmp_path) == set()


def test_no_project_can_take_the_name_of_anything_it_is_made_of(bake: Bake) -> None:
    hook = (ROOT / "hooks/pre_gen_project.py").read_text("utf-8")
    taken = set(re.search('TAKEN = """(.*?)"""', hook, re.DOTALL)[1].split())
    for answers in EVERY_ANSWER:
        project = bake(**answers)
        metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        needs = sum(metadata["dependency-groups"].values(), metadata["project"]["dependencies"])
        assert {re.match(r"[\w.-]+", need)[0].lower() for need in needs} <= taken
        assert {path.parent.name for path in project.glob("*/__init__.py")} <= taken


def test_every_question_and_every_choice_has_its_line() -> None:
    settings = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    prompts = settings["__prompts__"]
    questions = {name: value for name, value in settings.items() if not name.startswith("_")}
    assert prompts.keys() == questions.keys()
    for name, value in questions.items():
        lines = prompts[name]
        if isinstance(value, list):
            assert list(lines) == ["__prompt__", *value]
            assert all(lines[choice].startswith(f"{choice}: ") for choice in value)
            assert all(len(line) <= 72 for line in lines.values())  # in a terminal of 80 columns


def test_every_project_gets_a_secret_of_its_own_that_only_its_owner_reads(bake: Bake) -> None:
    environments = [bake(fresh=True) / ".env" for _ in range(2)]
    secrets = {
        re.search(r"^SECRET_KEY=([\w-]{60,})$", e.read_text(), re.MULTILINE)[1]
        for e in environments
    }
    assert len(secrets) == 2
    assert os.name == "nt" or environments[0].stat().st_mode & 0o777 == 0o600
    example = (environments[0].parent / ".env.example").read_text()
    assert environments[0].read_text().splitlines().count("SECRET_KEY=") == 0
    assert example.splitlines().count("SECRET_KEY=") == 1


def test_generating_again_keeps_what_the_team_made(bake: Bake, tmp_path: Path) -> None:
    project = bake(output=tmp_path, template_engine="jinja2")
    mine = {".env": "SECRET_KEY=mine\n", "templates/mine.html": "mine", "core/mine.py": "# mine"}
    for name, text in mine.items():
        (project / name).write_text(text)
    before = files(project)
    bake(output=tmp_path, overwrite=True, template_engine="jinja2")
    assert files(project) == before
    assert {name: (project / name).read_text() for name in mine} == mine


def test_a_stale_entry_in_the_table_of_files_stops_the_generation(
    run: Run, template: Path, tmp_path: Path
) -> None:
    shutil.copytree(template.parent, tmp_path / "djfast")
    (tmp_path / "djfast" / template.name / "config/asgi.py").unlink()
    generate = [sys.executable, "-m", "cookiecutter", "djfast", "--default-config", "--no-input"]
    said = run(*generate, cwd=tmp_path, code=1)
    assert "names config/asgi.py, which the template does not have" in said
    assert not (tmp_path / "my-shop").exists()


def test_the_hooks_need_the_standard_library_only() -> None:
    for hook in (ROOT / "hooks").glob("*.py"):
        for node in ast.walk(ast.parse(hook.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert {name.name for name in node.names} <= sys.stdlib_module_names
            if isinstance(node, ast.ImportFrom):
                assert node.module in sys.stdlib_module_names


def test_generation_needs_no_network(run: Run, template: Path, tmp_path: Path) -> None:
    offline = ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*offline, "true"], check=False).returncode:
        pytest.skip("needs `unshare --net`")
    generate = [sys.executable, "-m", "cookiecutter", template.parent, "--no-input"]
    run(*offline, *generate, "--default-config", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert (tmp_path / "my-shop/.env").exists()


def test_the_oldest_supported_cookiecutter_generates_the_same_project(
    run: Run, template: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    options = [template.parent, "--default-config", "--no-input", "--output-dir"]
    oldest = ["uv", "tool", "run", "--quiet", "--from", "cookiecutter==2.6.0", "cookiecutter"]
    run(*oldest, *options, "old", cwd=tmp_path)
    start = time.monotonic()
    run(sys.executable, "-m", "cookiecutter", *options, "new", cwd=tmp_path)
    record_property("seconds to generate a project", round(time.monotonic() - start, 2))
    old, new = tmp_path / "old/my-shop", tmp_path / "new/my-shop"
    assert files(old) == files(new)
    for name in files(new) - {".env"}:
        assert (old / name).read_bytes() == (new / name).read_bytes(), name


def test_the_licence_covers_the_template_and_frees_what_it_generates(template: Path) -> None:
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert licence.index("MIT License\n") < licence.index("MIT No Attribution\n")
    assert not (template / "LICENSE").exists()  # a generated project's licence is its team's choice
