"""Bundles: the plain scripts or stylesheets of a compress block as one file, made by the build.

    COMPRESSORS = {"css": "djfast.bundles.Stylesheets", "js": "djfast.bundles.Scripts"}

The tags are those of django-compressor, with two differences. Its filters are not used, because
they change what some scripts do. A block that the build did not render is served as the hashed
single files that it names, where django-compressor raises an exception, in production only.

A bundle behaves as its sources do. A file that would behave differently in a bundle stays a single
file, as does a tag with an attribute other than its URL, `type` and `media`: see `djfast.sources`.
https://django-compressor.readthedocs.io/
"""

import logging
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

from compressor.cache import get_offline_hexdigest, write_offline_manifest
from compressor.conf import settings
from compressor.css import CssCompressor
from compressor.exceptions import OfflineGenerationError, UncompressableFileError
from compressor.js import JsCompressor
from compressor.offline.django import DjangoParser
from compressor.templatetags.compress import CompressorMixin
from django.core.files.base import ContentFile
from django.template import Context, engines
from django.template.backends.django import DjangoTemplates
from django.utils.html import escape

from djfast import sources

MINIFIED = re.compile(r"[.-]min\.")
SEPARATORS = {
    "js": b";\n",
    "css": b"",
}  # ends a statement without a semicolon; sources end with a line break

logger = logging.getLogger(__name__)


@dataclass
class Element:
    """A piece of a compress block.

    Attributes:
        html: as it stands in the block.
        name: of its tag: "link", "script", "style"; "" for everything between them.
        attributes: of its tag.
        text: in a script or style.
    """

    html: str
    name: str = ""
    attributes: dict[str, str | None] = field(default_factory=dict)
    text: str = ""


class Block(HTMLParser):
    """Splits a compress block into elements."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.html = html
        self.lines = [0]
        for line in html.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.marks: list[tuple[str, int, int, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def place(self) -> int:
        """Return the position in the text."""
        line, column = self.getpos()
        return self.lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("link", "script", "style"):
            start = self.place()
            self.marks.append(
                (tag, start, start + len(self.get_starttag_text() or ""), dict(attrs))
            )

    def elements(self) -> Iterator[Element]:
        """Yield all elements, which together are the whole text."""
        position = 0
        for name, start, end, attributes in self.marks:
            if start < position:  # inside of a script
                continue
            text = ""
            if name != "link":
                closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(self.html, end)
                if closing is None:
                    break
                text, end = self.html[end : closing.start()], closing.end()
            yield Element(self.html[position:start])
            yield Element(self.html[start:end], name, attributes, text)
            position = end
        yield Element(self.html[position:])


@dataclass(frozen=True)
class Part:
    """A file or text that may be bundled.

    Attributes:
        html: of its element.
        url: of its file; "" for a text.
        source: its contents.
        group: what all parts of a bundle have in common.
    """

    html: str
    url: str
    source: sources.Source
    group: tuple[str, ...]


class Bundle:
    """The output of a compress block, instead of that of django-compressor."""

    kind: ClassVar[str]
    tag: ClassVar[str]
    content: Any
    storage: Any

    def output(self, mode: str = "file", forced: bool = False, basename: str | None = None) -> str:
        """Return the HTML of the block, and write the files that it names."""
        if mode != "file":
            result: str = super().output(mode, forced, basename)  # type: ignore[misc]
            return result
        found: list[str] = []
        waiting: list[Part] = []
        for element in Block(self.content).elements():
            part = self.part(element)
            if part is None and not element.html.strip():
                continue
            if waiting and (part is None or not self.fits(waiting, part)):
                found.append(self.written(waiting, basename))
                waiting = []
            if part is None:
                found.append(element.html.strip())
            else:
                waiting.append(part)
        if waiting:
            found.append(self.written(waiting, basename))
        return "\n".join(found)

    def part(self, element: Element) -> Part | None:
        """Return what an element contains; None for one that stays as it is."""
        url = self.url(element)
        if url is None:
            return None
        text, path = element.text.encode(), ""
        if url:
            try:
                path = self.get_basename(url)  # type: ignore[attr-defined]
                text = Path(self.get_filename(path)).read_bytes()  # type: ignore[attr-defined]
            except (OSError, UncompressableFileError):  # of another site
                return None
        minified = bool(MINIFIED.search(posixpath.basename(path)))
        source = sources.read(text, self.kind, minified=minified)
        media = element.attributes.get("media") or ""
        # In one folder, so that relative URLs of stylesheets stay right.
        return Part(element.html, url, source, (media, posixpath.dirname(path)))

    def url(self, element: Element) -> str | None:
        """Return the URL of an element that may be bundled, "" for a text; None for any other."""
        raise NotImplementedError

    def fits(self, parts: list[Part], part: Part) -> bool:
        """Return whether a part can share a file with others."""
        return (
            part.group == parts[0].group
            and not part.source.alone
            and not parts[0].source.alone
            and not any(part.source.names & other.source.names for other in parts)
        )

    def written(self, parts: list[Part], basename: str | None) -> str:
        """Write a bundle; return the HTML that links it, or that of the only part if it stays unchanged."""
        (first, *others) = parts
        text = SEPARATORS[self.kind].join(part.source.text for part in parts)
        if others and sources.read(text, self.kind).alone:
            return "\n".join(part.html for part in parts)
        media, folder = first.group
        if not others and first.url:
            name = posixpath.basename(self.get_basename(first.url))  # type: ignore[attr-defined]
            file = Path(self.get_filename(f"{folder}/{name}".lstrip("/")))  # type: ignore[attr-defined]
            if file.read_bytes() == text:
                return first.html
        path = self.get_filepath(text, basename=basename or "output")  # type: ignore[attr-defined]
        path = posixpath.join(folder, posixpath.basename(path))
        if not self.storage.exists(path):
            self.storage.save(path, ContentFile(text))
        attribute = f' media="{escape(media)}"' if media else ""
        return self.tag.format(url=escape(self.storage.url(path)), media=attribute)


class Scripts(Bundle, JsCompressor):
    """Bundles the scripts of a block."""

    kind = "js"
    tag = '<script src="{url}"></script>'
    PLAIN: ClassVar[set[str | None]] = {None, "", "text/javascript", "application/javascript"}

    def url(self, element: Element) -> str | None:
        attributes = element.attributes
        if element.name != "script" or {*attributes} - {"src", "type"}:
            return None
        return (attributes.get("src") or "") if attributes.get("type") in self.PLAIN else None


class Stylesheets(Bundle, CssCompressor):
    """Bundles the stylesheets of a block."""

    kind = "css"
    tag = '<link rel="stylesheet" href="{url}"{media}>'

    def url(self, element: Element) -> str | None:
        attributes = element.attributes
        if attributes.get("type") not in (None, "", "text/css"):
            return None
        if element.name == "style" and not {*attributes} - {"type", "media"}:
            return ""
        if element.name != "link" or {*attributes} - {"rel", "href", "type", "media"}:
            return None
        return (
            attributes.get("href")
            if (attributes.get("rel") or "").lower() == "stylesheet"
            else None
        )


class SingleFiles:
    """Serves a block as it is written, where the build has made no bundle of it.

    Attributes:
        logged: the blocks that were served like that, at most `MOST_LOGGED`.
    """

    MOST_LOGGED = 100

    def __init__(self) -> None:
        self.logged: set[str] = set()

    def install(self) -> None:
        """Replace the method of django-compressor that raises an exception; its tag has no hook for that."""
        render_offline = CompressorMixin.render_offline

        def render(tag: Any, context: Any) -> str:
            try:
                made: str = render_offline(tag, context)
            except OfflineGenerationError:
                made = tag.get_original_content(context)
                self.log(made)
            return made

        CompressorMixin.render_offline = render

    def log(self, block: str) -> None:
        """Log a block once."""
        if block not in self.logged and len(self.logged) < self.MOST_LOGGED:
            self.logged.add(block)
            text = "Served as single files, because the build did not render this block: %s"
            logger.info(text, " ".join(block.split()))


single_files = SingleFiles()


def make(root: Path) -> tuple[int, list[str]]:
    """Make the bundles of all templates, and the manifest that names them.

    Args:
        root: the folder of the build.

    Returns:
        The number of files, and a line for each template with a block that cannot be rendered.
    """
    manifest: dict[str, str] = {}
    skipped: list[str] = []
    before = {*root.rglob("*.*")}
    engine: Any
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates):
            parser: Any = DjangoParser(charset="utf-8")
            names = templates(engine)
        else:
            from compressor.offline.jinja2 import Jinja2Parser

            parser = Jinja2Parser(charset="utf-8", env=engine.env)
            loader = engine.env.loader
            names = {
                name: loader.get_source(engine.env, name)[1]
                for name in engine.env.list_templates(filter_func=is_page)
            }
        for name, source in sorted(names.items()):
            try:
                bundle(parser, source, manifest)
            except Exception as error:  # of any kind, raised by the tags of a template
                skipped.append(f"{name}: {' '.join(str(error).split()) or repr(error)}")
    made = {*root.rglob("*.*")} - before
    write_offline_manifest(manifest)
    return len(made), skipped


def is_page(name: str) -> bool:
    """Return whether a file is a template of pages."""
    return name.endswith((".html", ".htm", ".xhtml"))


def templates(engine: DjangoTemplates) -> dict[str, str]:
    """Return the page templates of an engine: each name, and the name that the parser takes."""
    found: dict[str, str] = {}
    for folder in engine.template_dirs:
        for path in Path(folder).rglob("*"):
            if path.is_file() and is_page(path.name):
                name = path.relative_to(folder).as_posix()
                found[name] = name
    return found


def bundle(parser: Any, source: str, manifest: dict[str, str]) -> None:
    """Make the bundles of one template.

    Args:
        parser: of django-compressor, for the engine.
        source: name or path of the template, as the parser takes it.
        manifest: gets the HTML of each block, by the hash of what it is in the template.
    """
    template = parser.parse(source)
    context = Context(parser.get_init_context(settings.COMPRESS_OFFLINE_CONTEXT))
    for node in list(parser.walk_nodes(template, context=context)):
        context.push()
        parser.process_template(template, context)
        parser.process_node(template, context, node)
        key = get_offline_hexdigest(parser.render_nodelist(template, context, node))
        made = parser.render_node(template, context, node)
        manifest[key] = made.replace(settings.COMPRESS_URL, settings.COMPRESS_URL_PLACEHOLDER)
        context.pop()
