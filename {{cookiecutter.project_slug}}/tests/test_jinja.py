"""What the Jinja2 environment does faster comes out as Jinja2 and Django make it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.utils.translation import gettext_lazy
from markupsafe import Markup
from pytest_django import Settings

from speed import jinja
from speed.jinja import BytecodeCache, Environment, static


def make(
    folder: Path, kind: Callable[..., jinja2.Environment] = Environment, **options: Any
) -> Any:
    """Build an environment as a new process would."""
    loader = jinja2.DictLoader({"hello.html": "Hello {{ name }}"})
    return kind(loader=loader, bytecode_cache=BytecodeCache(folder), **options)


def test_a_second_process_compiles_no_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path).get_template("hello.html")
    second = make(tmp_path)
    monkeypatch.setattr(second, "compile", None)
    assert second.get_template("hello.html").render(name="Ada") == "Hello Ada"


@pytest.mark.parametrize(
    "other",
    [{"autoescape": False}, {"extensions": ["jinja2.ext.do"]}, {"kind": jinja2.Environment}],
    ids=str,
)
def test_what_another_environment_has_compiled_is_not_used(
    tmp_path: Path, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, **{"autoescape": True, **other}).get_template("hello.html")
    escaping = make(tmp_path, autoescape=True)
    compiled: list[str] = []

    def compile_(source: Any, name: str, filename: str) -> Any:
        compiled.append(name)
        return type(escaping).compile(escaping, source, name, filename)

    monkeypatch.setattr(escaping, "compile", compile_)
    assert escaping.get_template("hello.html").render(name="<b>") == "Hello &lt;b&gt;"
    assert compiled == ["hello.html"]


def test_what_another_release_has_compiled_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("old", "new"):  # which is all that tells one from the other
        monkeypatch.setattr(jinja, "build", lambda release=release: release)
        made = make(tmp_path)
        loader = jinja2.DictLoader({"hello.html": "{{ 'x'|release }}"})
        made.loader, made.filters["release"] = loader, lambda text, release=release: release
        assert made.get_template("hello.html").render() == release


@pytest.mark.parametrize("harm", [b"", b"j2", b"\x80" * 99, None], ids=repr)
def test_a_damaged_file_costs_a_compilation_and_no_page(tmp_path: Path, harm: bytes | None) -> None:
    make(tmp_path).get_template("hello.html")
    (kept,) = tmp_path.iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(sound[:60] if harm is None else harm)
    assert make(tmp_path).get_template("hello.html").render(name="Ada") == "Hello Ada"
    assert kept.read_bytes() == sound


def test_where_nothing_can_be_written_pages_are_rendered_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert make(tmp_path / "file").get_template("hello.html").render(name="Ada") == "Hello Ada"


class Html(str):
    def __html__(self) -> str:
        return "<i>"


@pytest.mark.parametrize(
    "value",
    ["<'&\">", Markup("<b>"), Html("<b>"), gettext_lazy("<b>"), ["<b>"], 1.5, None, b"<", ""],
    ids=repr,
)
def test_a_value_is_escaped_as_jinja2_escapes_it(value: object) -> None:
    source = "<p>{{ value }}</p>"
    ours, theirs = Environment(autoescape=True), jinja2.Environment(autoescape=True)
    rendered = theirs.from_string(source).render(value=value)
    assert ours.from_string(source).render(value=value) == rendered


def test_an_address_from_the_manifest_is_looked_up_once_and_anew_with_other_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG = False
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }
    looked_up: list[str] = []

    def stored_name(storage: ManifestFilesMixin, name: str) -> str:
        looked_up.append(name)
        return f"hashed/{name}"

    monkeypatch.setattr(ManifestFilesMixin, "stored_name", stored_name)
    assert [static("a.css"), static("a.css")] == ["/static/hashed/a.css"] * 2
    assert looked_up == ["a.css"]
    settings.STATIC_URL = "https://cdn.example.com/"
    assert static("a.css") == "https://cdn.example.com/hashed/a.css"
    settings.DEBUG = True
    assert static("a.css") == "https://cdn.example.com/a.css"
    assert isinstance(staticfiles_storage, ManifestFilesMixin)
