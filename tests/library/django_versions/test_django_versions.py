"""Releases of Django other than the installed one, and one with a patch: the same output with the engine off."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import django
import pytest
from django.core.checks import INFO

HERE = Path(__file__).parent
INSTALLED = django.get_version()

Install = Callable[[str], Path]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Return a function that installs a release of Django and returns its folder."""

    def install(version: str) -> Path:
        folder = tmp_path_factory.mktemp(f"django-{version}")
        # Copied, because a link would lead to uv's cache, and a test patches a file.
        options = ["--quiet", "--no-deps", "--link-mode=copy", f"--python={sys.executable}"]
        command = ["uv", "pip", "install", *options, f"--target={folder}", f"django=={version}"]
        subprocess.run(command, check=True, timeout=300)
        return folder

    return install


def show(folder: Path, *, engine: bool) -> dict[str, Any]:
    """Return what `show.py` prints with the Django of a folder."""
    path = [str(folder), str(HERE), os.environ.get("PYTHONPATH", "")]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path)}
    env |= {"DJANGO_SETTINGS_MODULE": "shop.settings", "ENGINE": json.dumps(engine)}
    done = subprocess.run(
        [sys.executable, HERE / "show.py"],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("version", ["6.1.0", "6.1.1", "6.1.2"])
def test_every_module_is_active_on_this_release_with_the_output_of_django(
    install: Install, version: str
) -> None:
    folder = install("6.1" if version == "6.1.0" else version)
    on, off = show(folder, engine=True), show(folder, engine=False)
    assert on["django"] == off["django"] == version.removesuffix(".0")
    assert on["changed"] == {}
    assert set(on["active"].values()) == {True}
    assert set(off["active"].values()) == {False}
    assert on["infos"] == []
    assert on["output"] == off["output"]
    assert "<a href=" in on["output"][0]
    assert len(on["output"]) == 1 + 3 + 4 + 130
    assert on["evidence"] == {
        "urls": "1 names compiled in this process",
        "loops": "3 loops compiled in this process",
        "formats": "1 formats prepared in this process",
        "instances": "on shop.Category, shop.Tag, shop.Item",
    }


class Patch(NamedTuple):
    """A change to Django as in a security release, which the output shows.

    Attributes:
        file: the file of Django, and `old` and `new` its source.
        function: the dotted name of the function that contains it.
        module: the module of the engine that replaces the function.
        check: the id of its default.
        shown: is in the output if the patched function ran.
    """

    file: str
    old: str
    new: str
    function: str
    module: str
    check: str
    shown: str


PATCHES = [
    Patch(
        "template/defaulttags.py",
        'loop_dict["counter"] = i + 1',
        'loop_dict["counter"] = f"row {i + 1}"',
        "django.template.defaulttags.ForNode.render",
        "loops",
        "speed.compiled-loops",
        "row 130",
    ),
    Patch(
        "db/models/base.py",
        "        new._state.adding = False\n",
        "        new._state.adding = False\n        new.loaded = True\n",
        "django.db.models.base.Model.from_db",
        "instances",
        "speed.model-instances",
        "'loaded': True",
    ),
]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.module)
def test_a_patch_to_a_replaced_function_turns_its_module_off_with_one_info(
    install: Install, patch: Patch
) -> None:
    folder = install(INSTALLED)
    file = folder / "django" / patch.file
    text = file.read_text("utf-8")
    assert text.count(patch.old) == 1
    file.write_text(text.replace(patch.old, patch.new), "utf-8")
    on, off = show(folder, engine=True), show(folder, engine=False)
    assert [name for name, active in on["active"].items() if not active] == [patch.module]
    assert on["changed"] == {patch.module: [patch.function]}
    assert on["infos"] == [[INFO, patch.check]]
    assert on["output"] == off["output"]
    assert patch.shown in "".join(on["output"])
