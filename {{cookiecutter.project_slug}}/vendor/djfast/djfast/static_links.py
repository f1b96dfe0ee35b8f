"""Files that templates name with `static` and that do not exist: development serves a page, production fails."""

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.staticfiles.storage import staticfiles_storage
from django.template import TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.templatetags.static import StaticNode

SUFFIXES = {".css", ".htm", ".html", ".j2", ".jinja", ".jinja2", ".js", ".json", ".md", ".svg"}
SUFFIXES |= {".txt", ".webmanifest", ".xhtml", ".xml"}


class Missing(NamedTuple):
    """A file that a template names.

    Attributes:
        template: path of the template.
        line: of the template, counted from 1.
        name: of the file, as `static` takes it.
        is_third_party: whether the template belongs to an installed package.
    """

    template: Path
    line: int
    name: str
    is_third_party: bool


def missing() -> Iterator[Missing]:
    """Yield the files that the templates of all engines name, and that the storage does not have."""
    packages = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    for engine in engines.all():
        named = in_django if isinstance(engine, DjangoTemplates) else in_jinja2
        for name, path in sorted(templates(engine).items()):
            third_party = any(path.resolve().is_relative_to(one) for one in packages)
            if b"static" in path.read_bytes():
                for line, file in named(engine, name):
                    if not exists(file):
                        yield Missing(path, line, file, third_party)


def templates(engine: Any) -> dict[str, Path]:
    """Return the templates of an engine by name; of those with the same name, the one that it loads."""
    found: dict[str, Path] = {}
    for folder in engine.template_dirs:
        for path in Path(folder).rglob("*"):
            if path.suffix in SUFFIXES and path.is_file():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def in_django(engine: Any, name: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each file that a template of Django's engine names literally."""
    try:
        template = engine.engine.get_template(name)
    except (TemplateDoesNotExist, TemplateSyntaxError, UnicodeDecodeError):
        return  # a page that uses it fails in development, too
    for node in template.nodelist.get_nodes_by_type(StaticNode):
        path = node.path.var
        if isinstance(path, str) and not node.path.filters:  # otherwise the context decides
            yield node.token.lineno, path


def in_jinja2(engine: Any, name: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each file that a Jinja2 template names literally."""
    from jinja2 import TemplateError, nodes

    try:
        source, _, _ = engine.env.loader.get_source(engine.env, name)
        tree = engine.env.parse(source, name)
    except (TemplateError, UnicodeDecodeError):
        return
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "static" and call.args:
            (first, *_) = call.args
            if isinstance(first, nodes.Const) and isinstance(first.value, str):
                yield call.lineno, first.value


def exists(name: str) -> bool:
    """Return whether the storage has a file."""
    try:
        staticfiles_storage.url(name)
    except ValueError:  # of a storage with a manifest
        return False
    return True
