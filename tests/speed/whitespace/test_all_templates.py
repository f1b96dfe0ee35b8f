"""Every template of Django, of the packages that a project has, of the project and its workload."""

from pathlib import Path
from typing import Any

import django
import pytest
from browser_dom import dom, normal
from django.conf import settings
from django.template import Engine, engines
from django.template.base import Lexer, Parser, Token, TokenType

from speed import whitespace

PACKAGES = Path(django.__file__).parent.parent
NAMES = ("django", "debug_toolbar", "compressor", "template_profiler_panel", "zeal")
FOLDERS = [folder for name in NAMES for folder in (PACKAGES / name).rglob("templates")]
FOLDERS += [Path(folder) for folder in engines["django"].engine.dirs]  # type: ignore[attr-defined]
FOLDERS += [Path(settings.BASE_DIR) / "benchmarks/workload/templates"]
TEMPLATES = [
    (folder, path.relative_to(folder).as_posix())
    for folder in FOLDERS
    for path in sorted(folder.rglob("*.*"))
    if path.suffix in {".html", ".txt", ".xml", ".kml", ".js", ".email"}
]
INNER = ["django.template.loaders.filesystem.Loader"]


def load(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Token]]:
    """Load a template as a project does; with it the tokens that its pages are made from."""
    made: dict[str, list[Token]] = {}

    class Recorder(Parser):
        def __init__(self, tokens: list[Token], *args: Any) -> None:
            made[args[-1].name] = list(tokens)
            super().__init__(tokens, *args)

    monkeypatch.setattr(whitespace, "Parser", Recorder)
    project: Any = engines["django"]
    engine = Engine(
        dirs=[folder, *FOLDERS],
        libraries=project.engine.libraries
        | {"debug_toolbar": "debug_toolbar.templatetags.debug_toolbar"},
        builtins=project.engine.builtins,
        loaders=[("speed.whitespace.Loader", INNER)],
    )
    template = engine.get_template(name)
    return template, made.get(template.origin.name) or Lexer(template.source).tokenize()


def masked(tokens: list[Token]) -> str:
    """A template's text, with a word in place of each tag of its language."""
    return "".join(t.contents if t.token_type is TokenType.TEXT else "xyz" for t in tokens)


def test_there_are_templates() -> None:
    assert len(TEMPLATES) > 150


@pytest.mark.parametrize(("folder", "name"), TEMPLATES, ids=lambda value: str(value)[-60:])
def test_a_template_shows_what_it_showed(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, after = load(folder, name, monkeypatch)
    before = Lexer(template.source).tokenize()
    assert template.source == (folder / name).read_text("utf-8")
    assert [(t.token_type, t.lineno) for t in after] == [(t.token_type, t.lineno) for t in before]
    for old, new in zip(before, after, strict=True):
        if old.token_type is TokenType.TEXT:
            assert normal(new.contents) == normal(old.contents)
        else:
            assert new.contents == old.contents
    if name.endswith(".html"):
        assert dom(masked(after)) == dom(masked(before))
    else:
        assert masked(after) == masked(before)


MAIL = [
    "registration/password_reset_email.html",
    "registration/password_reset_subject.txt",
    "django/forms/widgets/attrs.html",  # which stands inside a tag
]


@pytest.mark.parametrize("name", MAIL)
def test_what_is_no_html_stays_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = next(folder for folder in FOLDERS if (folder / name).exists())
    template, after = load(folder, name, monkeypatch)
    assert masked(after) == masked(Lexer(template.source).tokenize())


def test_nearly_all_of_the_admin_is_collapsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful cases must not be the rule: else pages would keep their indentation unnoticed."""
    names = [(f, n) for f, n in TEMPLATES if n.startswith("admin/") and n.endswith(".html")]
    left = []
    for folder, name in names:
        _template, after = load(folder, name, monkeypatch)
        text = masked(after)
        if "\n  " in text and "\n  " in "".join(p for p in text.split("<script")[:1]):
            left.append(name)
    assert len(left) < len(names) / 5, left
