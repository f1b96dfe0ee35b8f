"""A project follows its template with cruft, and keeps what is its own."""

import json
import shutil
import sys
from pathlib import Path

from conftest import Run, commit

NEW_LINE = "\n# A later version of the template has this line.\n"


def test_a_project_takes_up_a_later_version_of_the_template(
    run: Run, repository: Path, tmp_path: Path
) -> None:
    cruft = [sys.executable, "-m", "cruft"]
    home = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    source = tmp_path / "djfast.git"
    shutil.copytree(repository, source)
    name = 'Bob\'s "Best" Shop'
    answers = json.dumps({"project_name": name, "template_engine": "jinja2", "interface": "asgi"})

    def run_cruft(*command: str, code: int = 0) -> str:
        return run(*cruft, *command, cwd=project, code=code, env=home)

    project = tmp_path
    run_cruft("create", source.as_uri(), "--no-input", "--extra-context", answers)
    project = tmp_path / "bob-s-best-shop"
    commit(run, project)
    run_cruft("check")
    secret = (project / ".env").read_bytes()
    mine = project / "templates/mine.html"
    mine.write_text("mine")
    commit(run, project)

    changed = "{{cookiecutter.project_slug}}/core/views.py"
    library = "{{cookiecutter.project_slug}}/vendor/djfast/djfast/__init__.py"
    for name in (changed, library):
        with (source / name).open("a") as file:
            file.write(NEW_LINE)
    commit(run, source)
    run_cruft("check", code=1)
    run_cruft("update", "--skip-apply-ask")
    run_cruft("check")

    assert (project / "core/views.py").read_text().endswith(NEW_LINE)
    changes = run("git", "status", "--porcelain", cwd=project).split()
    updated = "vendor/djfast/djfast/__init__.py"
    assert (project / updated).read_text().endswith(NEW_LINE)
    assert changes[1::2] == [".cruft.json", "core/views.py", updated]
    assert (project / ".env").read_bytes() == secret
    assert mine.read_text() == "mine"
