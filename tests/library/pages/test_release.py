"""The release id."""

import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from djfast.cache import release
from djfast.cache.release import build


def fresh() -> str:
    """Return the release id of the files as they are now."""
    build.cache_clear()
    return build()


@pytest.fixture(autouse=True)
def restored() -> Any:
    yield
    build.cache_clear()


def test_the_release_is_known_from_startup_on() -> None:
    code = "import django; django.setup(); from djfast.cache.release import build; "
    code += "print(build.cache_info().currsize)"
    env = os.environ | {"DEBUG": "0", "DATABASE_URL": "sqlite:///x", "REDIS_URL": "redis://x/0"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


def test_a_change_of_static_files_gives_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STATIC_ROOT", tmp_path)
    ids = [fresh()]
    for content in ("{}", '{"a": 1}', '{"b": 1}'):
        (tmp_path / "staticfiles.json").write_text(content)
        ids.append(fresh())
    (tmp_path / "CACHE").mkdir()
    (tmp_path / "CACHE/manifest.json").write_text("{}")
    ids.append(fresh())
    assert len({*ids}) == len(ids)


def test_a_change_of_templates_code_or_packages_gives_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [fresh()]
    folder = tmp_path / "templates"
    folder.mkdir()
    with override_settings(TEMPLATES=[*settings.TEMPLATES, {"BACKEND": "x", "DIRS": [folder]}]):
        for name, content in (("new.html", "<p>"), ("new.html", "<b>"), ("new.txt", "<b>")):
            (folder / name).write_text(content)
            ids.append(fresh())
        assert fresh() == ids[-1]
    app = types.SimpleNamespace(path=tmp_path / "app")
    (tmp_path / "app/deep").mkdir(parents=True)
    monkeypatch.setattr(release.apps, "get_app_configs", lambda: [app])
    for content in ("", "a = 1", "b = 1"):
        (tmp_path / "app/deep/code.py").write_text(content)
        ids.append(fresh())
    for name in ("django-1.dist-info", "django-2.dist-info"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(release.django, "__file__", str(tmp_path / "django/__init__.py"))
        ids.append(fresh())
    assert len({*ids}) == len(ids)


def test_an_edit_of_the_installed_library_gives_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version, unlike that of other packages, stays the same when a vendored copy is edited."""
    installed = tmp_path / "site-packages/djfast"
    shutil.copytree(Path(release.djfast.__file__).parent, installed)
    before = fresh()
    monkeypatch.setattr(release.djfast, "__file__", str(installed / "__init__.py"))
    app = types.SimpleNamespace(path=installed)
    monkeypatch.setattr(release.apps, "get_app_configs", lambda: [app])
    ids = [fresh()]
    module = installed / "cache/pages/key.py"
    module.write_text(module.read_text() + "\n")
    ids.append(fresh())
    assert len({before, *ids}) == 3


def test_the_release_does_not_depend_on_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = set()
    for place in ("a", "z"):
        for app, text in (("first", "a = 1"), ("second", "b = 1")):
            # In the one place, `first` is sorted before `second`; in the other, after it.
            folder = tmp_path / (place if app == "first" else "m") / app
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "models.py").write_text(text)
        found = [
            types.SimpleNamespace(path=tmp_path / place / "first"),
            types.SimpleNamespace(path=tmp_path / "m/second"),
        ]
        monkeypatch.setattr(release.apps, "get_app_configs", lambda found=found: found)
        ids.add(fresh())
    assert len(ids) == 1


def test_the_release_is_computed_within_half_a_second() -> None:
    start = time.perf_counter()
    fresh()
    assert time.perf_counter() - start < 0.5  # seconds; some ms on an idle machine
