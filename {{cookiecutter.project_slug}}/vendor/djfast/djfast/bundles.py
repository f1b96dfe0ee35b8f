"""Bundles: the plain scripts or stylesheets of a compress block as one file, made by the build.

    COMPRESSORS = {"css": "djfast.bundles.Stylesheets", "js": "djfast.bundles.Scripts"}

The tags and settings are those of django-compressor, with two differences. Its default filters, which
change what some scripts do, have no place in COMPRESS_FILTERS. A block that the build did not render
is served as the hashed single files that it names, where django-compressor raises an exception, in
production only.

A bundle behaves as its sources do. A file that would behave differently in a bundle stays a single
file, as does a tag with an attribute other than its URL, `type` and `media`: see `djfast.sources`.
https://django-compressor.readthedocs.io/
"""

import logging
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

from compressor.base import Compressor
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
from django.template.base import TokenType, VariableNode
from django.template.defaulttags import ForNode, IfNode
from django.utils.module_loading import import_string
from django.utils.safestring import mark_safe

from djfast import sources, static_links

MINIFIED = re.compile(r"[.-]min\.")

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
        # Of all line breaks, getpos() counts only these.
        self.lines = [0, *(match.end() for match in re.finditer("\n", html))]
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
        media: of a stylesheet.
        folder: where the bundle must be, because of relative URLs; None for a file without them.
    """

    html: str
    url: str
    source: sources.Source
    media: str = ""
    folder: str | None = None


class Bundle(Compressor):
    """The output of a compress block, instead of that of django-compressor."""

    types: ClassVar[set[str | None]]  # plain ones, which no precompiler has to translate

    def output(self, mode: str = "file", forced: bool = False, basename: str | None = None) -> str:
        """Return the HTML of the block, and write the files that it names.

        Args:
            mode: "file", "inline" or "preload", the second argument of the tag.
            forced: whether to make bundles though they are off.
            basename: begins the name of a bundle.
        """
        if not (forced or settings.COMPRESS_ENABLED):  # development: precompilers only
            result: str = super().output(mode, forced, basename)
            return result
        found: list[str] = []
        waiting: list[Part] = []
        declared: set[str] = set()
        for element in Block(self.content).elements():
            part = self.part(element)
            if part is not None:
                if part.source.names & declared:  # an error in this script, and in no other
                    alone = replace(part.source, alone="it declares a name again")
                    part = replace(part, source=alone)
                declared |= part.source.names
            if part is None and not element.html.strip():
                continue
            if waiting and (part is None or mode == "inline" or not fits(waiting, part)):
                found.append(self.written(waiting, mode, basename))
                waiting = []
            if part is not None:
                waiting.append(part)
            elif mode != "preload":  # which is a hint: the element itself is elsewhere
                found.append(element.html.strip())
        if waiting:
            found.append(self.written(waiting, mode, basename))
        return "\n".join(found)

    def part(self, element: Element) -> Part | None:
        """Return what an element contains; None for one that stays as it is."""
        url = self.url(element)
        if url is None:
            return None
        text, path = element.text.encode(), ""
        try:
            if url:
                path = self.get_basename(url)
                text = Path(self.get_filename(path)).read_bytes()
            is_made = bool(self.filters) or element.attributes.get("type") not in self.types
            if is_made:  # by filters or a precompiler, as django-compressor makes it
                (made,) = Compressor.hunks(self.copy(content=element.html), forced=True)
                text = made.encode(self.charset)
        except (OSError, UncompressableFileError):  # of another site
            return None
        is_minified = bool(MINIFIED.search(posixpath.basename(path)))
        source = sources.read(text, self.resource_kind, minified=is_minified)
        is_of_page = not url and source.is_relative  # paths in a style are relative to the page
        if not is_made and (source.alone in sources.AS_IT_IS or is_of_page):
            return None
        folder = posixpath.dirname(path) if source.is_relative else None
        media = element.attributes.get("media") or ""
        return Part("" if is_made else element.html, url, source, media, folder)

    def url(self, element: Element) -> str | None:
        """Return the URL of an element that may be bundled, "" for a text; None for any other."""
        raise NotImplementedError

    def is_known(self, element: Element, *attributes: str) -> bool:
        """Return whether an element has no other attributes, and a type that can be bundled."""
        kind = element.attributes.get("type")
        return not {*element.attributes} - {"type", *attributes} and (
            kind in self.types or kind in self.precompiler_mimetypes
        )

    def written(self, parts: list[Part], mode: str, basename: str | None) -> str:
        """Write a bundle.

        Returns:
            The HTML that links or contains it, or that of its parts where they stay as they are.
        """
        first, kind = parts[0], self.resource_kind
        unchanged = "\n".join(part.html for part in parts if mode != "preload")
        text = sources.joined([part.source for part in parts], kind)
        if self.filters:
            text = self.filter_output(text.decode(self.charset)).encode(self.charset)
        if len(parts) > 1 and sources.read(text, kind).alone:
            return "\n".join(self.written([part], mode, basename) for part in parts)
        self.extra_context = {"media": first.media or None}
        if mode == "inline":
            is_closed = re.search(rb"</(script|style)|<!--", text, re.IGNORECASE)
            if first.html and (first.source.is_relative or is_closed):
                return unchanged
            html: str = self.render_output(mode, {"content": text.decode(self.charset)})
            return html
        if len(parts) == 1 and first.html and first.url:
            path = self.get_basename(first.url)
            if Path(self.get_filename(path)).read_bytes() == text:
                return unchanged or self.link(mode, path)
        path = self.get_filepath(text, basename=basename or "output")
        folder = next((part.folder for part in parts if part.folder is not None), None)
        if folder is not None:
            path = posixpath.join(folder, posixpath.basename(path))
        if not self.storage.exists(path):
            self.storage.save(path, ContentFile(text))
        return self.link(mode, path)

    def link(self, mode: str, path: str) -> str:
        """Return the HTML that links a file."""
        html: str = self.render_output(mode, {"url": mark_safe(self.storage.url(path))})
        return html


def fits(parts: list[Part], part: Part) -> bool:
    """Return whether a part can share a file with those before it."""
    folders = {one.folder for one in [*parts, part]} - {None}
    return (
        part.media == parts[0].media
        and len(folders) <= 1
        and not part.source.alone
        and not parts[0].source.alone
        # A script that uses a name, or asks whether it exists, must run before a later one declares it.
        and not any(part.source.names & one.source.words for one in parts)
    )


class Scripts(Bundle, JsCompressor):
    """Bundles the scripts of a block."""

    types: ClassVar[set[str | None]] = {None, "", "text/javascript", "application/javascript"}

    def url(self, element: Element) -> str | None:
        if element.name != "script" or not self.is_known(element, "src"):
            return None
        return (element.attributes["src"] or None) if "src" in element.attributes else ""


class Stylesheets(Bundle, CssCompressor):
    """Bundles the stylesheets of a block."""

    types: ClassVar[set[str | None]] = {None, "", "text/css"}

    def url(self, element: Element) -> str | None:
        if element.name == "style" and self.is_known(element, "media"):
            return ""
        is_stylesheet = (element.attributes.get("rel") or "").lower() == "stylesheet"
        if element.name != "link" or not is_stylesheet:
            return None
        return (
            element.attributes.get("href")
            if self.is_known(element, "rel", "href", "media")
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
            logger.warning(text, " ".join(block.split()))


single_files = SingleFiles()


def make(root: Path) -> tuple[int, list[str]]:
    """Make the bundles of all templates, and the manifest that names them.

    Args:
        root: the folder of the build.

    Returns:
        The number of files, and a line for each template with a block that cannot be rendered.
    """
    manifest: dict[str, str] = {}
    skipped: dict[str, list[str]] = {}
    before = {*root.rglob("*.*")}
    for engine in engines.all():
        parser, names = parser_of(engine)
        for name, source in sorted(names.items()):
            try:
                depends = bundle(parser, source, manifest)
            except Exception as error:  # of any kind, raised by the tags of a template
                depends = [" ".join(str(error).split()) or repr(error)]
            for why in depends:
                skipped.setdefault(why, []).append(name)
    made = {*root.rglob("*.*")} - before
    write_offline_manifest(manifest)
    # Templates inherit blocks: one line for all.
    others = {
        why: f" and {len(names) - 1} more" * (len(names) > 1) for why, names in skipped.items()
    }
    return len(made), [f"{names[0]}{others[why]}: {why}" for why, names in skipped.items()]


def parser_of(engine: Any) -> tuple[Any, dict[str, str]]:
    """Return django-compressor's parser for an engine, and what it takes for each template's name."""
    paths = static_links.templates(engine)
    names = {name: str(path) for name, path in paths.items() if has_block(path)}
    if isinstance(engine, DjangoTemplates):
        return DjangoParser(charset="utf-8"), {name: name for name in names}
    from compressor.offline.jinja2 import Jinja2Parser

    return Jinja2Parser(charset="utf-8", env=engine.env), names


def has_block(path: Path) -> bool:
    """Return whether a template may have a compress block, or inherit one."""
    text = path.read_bytes()
    return b"compress" in text or b"extends" in text


def bundle(parser: Any, source: str, manifest: dict[str, str]) -> list[str]:
    """Make the bundles of one template.

    Args:
        parser: of django-compressor, for the engine.
        source: name or path of the template, as the parser takes it.
        manifest: gets the HTML of each block, by the hash of what it is in the template.

    Returns:
        What its blocks depend on, for people.
    """
    template = parser.parse(source)
    depends: list[str] = []
    for values in offline_contexts():
        context = Context(parser.get_init_context(values))
        for node in list(parser.walk_nodes(template, context=context)):
            context.push()
            parser.process_template(template, context)
            parser.process_node(template, context, node)
            key = get_offline_hexdigest(parser.render_nodelist(template, context, node))
            made = parser.render_node(template, context, node)
            manifest[key] = made.replace(settings.COMPRESS_URL, settings.COMPRESS_URL_PLACEHOLDER)
            context.pop()
            depends += [what for what in dependencies(parser, node, values) if what not in depends]
    return depends


def offline_contexts() -> list[dict[str, Any]]:
    """Return the contexts of COMPRESS_OFFLINE_CONTEXT: one, several, or the path of a function."""
    contexts: Any = settings.COMPRESS_OFFLINE_CONTEXT
    if isinstance(contexts, str):
        contexts = import_string(contexts)()
    return [contexts] if isinstance(contexts, dict) else list(contexts)


def dependencies(parser: Any, node: Any, values: dict[str, Any]) -> Iterator[str]:
    """Yield what a block depends on that the build does not know.

    Args:
        parser: of django-compressor, for the engine.
        node: of the block.
        values: the context of the build.
    """
    if {*values} - {"STATIC_URL"}:  # the project lists its contexts
        return
    if isinstance(parser, DjangoParser):
        for one in node.nodelist.get_nodes_by_type((IfNode, ForNode, VariableNode)):
            is_tag = one.token.token_type is TokenType.BLOCK
            tag = f"{{% {one.token.contents} %}}" if is_tag else f"{{{{ {one.token.contents} }}}}"
            yield f"a block depends on {tag}, line {one.token.lineno}"
        return
    from jinja2 import nodes

    for name in node.find_all(nodes.Name):
        if name.ctx == "load" and name.name not in parser.env.globals:
            yield f"a block depends on {name.name!r}, line {name.lineno}"
