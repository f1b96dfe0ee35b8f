"""Whitespace collapsed in template source, once, when a template is loaded: smaller pages at no cost.

A browser shows a run of whitespace as one space. So a run in the text of an HTML template becomes one
newline if it held one, else one space. Left alone are tags with their attributes, comments, the elements
`KEPT`, the text of every block but `BLOCKS`, and a block that lies in one of these in a parent template.
A template that holds no HTML (mail), that speaks of preformatted text, or in which it is not certain
what is open where, stays as it is from end to end.
"""

import logging
import re
from collections.abc import Iterable
from itertools import count
from typing import Any, NamedTuple

from django.template import Template
from django.template.base import DebugLexer, Lexer, Parser, TokenType
from django.template.loader_tags import construct_relative_path
from django.template.loaders import base, cached

from speed import Finding

logger = logging.getLogger(__name__)

# Blocks, of Django's language and of Jinja2's, that render their text where it stands. In any other
# whitespace may be data: translated, filtered, verbatim, Markdown, part of the key of a bundle. Add
# blocks of your own that only lay out a page.
BLOCKS = {
    "autoescape",
    "block",
    "cache",
    "cache_each",
    "for",
    "if",
    "ifchanged",
    "language",
    "localize",
    "localtime",
    "partialdef",
    "spaceless",
    "timezone",
    "with",
}
# Elements in which a browser sees no tags, and those with tags, too, whose text is left alone.
RAW = {"iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"}
FOREIGN = {"math", "svg"}  # in which even those are elements like others
KEPT = RAW | FOREIGN | {"listing", "noscript", "pre"}

SPACE = r"[ \t\n\f\r]"  # HTML's own: a no-break space is none
NAME = rf"(?P<name>/?[a-zA-Z][\w.-]*)(?={SPACE}|[/>]|\Z)"
# CSS that keeps whitespace, or a class of Tailwind that does.
PREFORMATTED = re.compile(r"white-?space(-collapse)?\s*[:-]\s*(pre|break)", re.IGNORECASE)
FIRST = re.compile(
    "[^>]*?<[a-zA-Z!/]"
)  # a text that begins inside a tag has a > before the first <
END = re.compile("</[a-zA-Z]")
LITERAL = re.compile("([\"'])([^\"']*)\\1")
# What comes next in text, and in whatever else is open. An `end` ends it, `odd` is not understood.
TEXT = re.compile(
    rf"(?P<run>{SPACE}+)|(?P<comment><!--(?!-?>))|(?P<doctype><!(?i:doctype)\b)|<{NAME}"
    r"|(?P<odd><[a-zA-Z!/?]|<\Z|-->)"
)
OPEN = {
    "tag": re.compile(
        rf"(?P<end>>)|(?:\A|[^ \t\n\f\r\"'<>/=]){SPACE}*={SPACE}*(?P<quote>[\"']?)|(?P<odd>[<\"'=])"
    ),
    "value": re.compile(rf"(?P<end>{SPACE}|(?=>))|(?P<odd>[<\"'])"),  # without quotes
    '"': re.compile('(?P<end>")'),
    "'": re.compile("(?P<end>')"),
    "comment": re.compile("(?P<end>-->)|(?P<odd>--!>)"),
    "doctype": re.compile("(?P<end>>)"),
    **{name: re.compile(rf"<(?P<name>/(?i:{name}))(?={SPACE}|[/>])") for name in RAW},
    "script": re.compile(rf"<(?P<name>/(?i:script))(?={SPACE}|[/>])|(?P<odd><!--)"),
}


class Block(NamedTuple):
    """A block of the template language that is open."""

    name: str
    number: int  # in the order of the template: no two are equal
    kept: bool


class Scanner:
    """Walks through a template, piece by piece, and knows what is open.

    Args:
        tags: the tags of the template language that it will meet.
        kept: the blocks in which whitespace is data, as a parent says; None: it is so everywhere.

    Attributes:
        kept: those that a child of this template must know of; None, too, where it is not certain
            what is open. Complete at the end, as is what follows.
        doubt: why it is not.
        included: what is included where whitespace is data, or may be.
    """

    def __init__(self, tags: Iterable[str], kept: set[str] | None) -> None:
        self.ends = {tag for tag in tags if tag.startswith("end")}
        self.kept = None if kept is None else set(kept)
        self.doubt = ""
        self.included: set[str] = set()
        self.met: set[str] = set()  # all that is included
        self.blocks: list[Block] = []
        self.opened: list[tuple[str, list[Block]]] = []
        self.name = ""  # of the HTML tag that was opened last
        self.numbers = count()

    def tag(self, name: str, argument: str) -> None:
        """Take note of a tag of the template language."""
        if name.startswith("end") and any(name == f"end{block.name}" for block in self.blocks):
            while name != f"end{self.blocks.pop().name}":
                pass
        elif self.blocks and self.blocks[-1].name == "comment":
            pass
        elif f"end{name}" in self.ends:
            if name == "block" and self.kept is not None and self.keeps():
                self.kept.add(argument)
            inherited = name == "block" and self.kept is not None and argument in self.kept
            self.blocks.append(Block(name, next(self.numbers), name not in BLOCKS or inherited))
        elif name == "include":
            self.met.add(argument)
            if self.keeps():
                self.included.add(argument)
        elif name == "partial" and self.keeps():
            self.give_up("a partial where whitespace is data")  # it is collapsed where it stands

    def text(self, text: str) -> str:
        """Return a piece of text with its runs collapsed."""
        if self.blocks and self.blocks[-1].name == "comment":
            return text
        done, at = [], 0
        while found := self.pattern().search(text, at):
            done.append(text[at : found.start()])
            if found.lastgroup == "run" and not self.keeps():
                done.append("\n" if {"\n", "\r"} & set(found[0]) else " ")
            else:
                done.append(found[0])
                self.step(found)
            at = found.end()
        return "".join([*done, text[at:]])

    def end(self) -> None:
        """Take note of the end of the template."""
        if self.opened:
            self.give_up(f"{self.opened[-1][0]} is not closed")
        if self.doubt:  # which may be about what stands before
            self.included |= self.met

    def keeps(self) -> bool:
        """Say whether whitespace is data here."""
        return self.kept is None or bool(self.opened) or any(block.kept for block in self.blocks)

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the next thing of interest here."""
        *outer, inner = ["", *(name for name, _ in self.opened)]
        return TEXT if inner in RAW and FOREIGN & {*outer} else OPEN.get(inner, TEXT)

    def step(self, found: re.Match[str]) -> None:
        """Take note of what opens or ends here."""
        match found.lastgroup:
            case "odd":
                self.give_up(f"{found[0]} in {self.opened[-1][0] if self.opened else 'text'}")
            case "comment" | "doctype" as kind:
                self.open(kind)
            case "name":
                self.name = found["name"].lower()
                self.open("tag")
            case "quote":
                self.open(found["quote"] or "value")
            case "end" if self.close() == "tag":
                name = self.name.removeprefix("/")
                if name == "plaintext":
                    self.give_up("plaintext never ends")
                elif name in KEPT and name == self.name:
                    self.open(name)
                elif name in KEPT and (not self.opened or self.close() != name):
                    self.give_up(f"{name} is closed, but not open")

    def open(self, what: str) -> None:
        self.opened.append((what, self.blocks[:]))

    def close(self) -> str:
        what, blocks = self.opened.pop()
        if blocks != self.blocks:
            self.give_up(f"{what} is opened in one block and closed in another")
        return what

    def give_up(self, why: str) -> None:
        self.kept = None
        self.doubt = self.doubt or why


def is_html(texts: Iterable[str]) -> bool:
    """Say whether these texts of a template are HTML that may be collapsed."""
    text = "".join(texts)
    return bool(FIRST.match(text) and END.search(text) and not PREFORMATTED.search(text))


class Collapsing(base.Loader):
    """Collapses each template that it loads; to stand behind a cache."""

    get_template_cache: dict[str, Any]

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.kept: dict[str, set[str] | None] = {}  # by the path of a template: see Scanner
        self.included: set[str] = set()  # templates that are included where whitespace is data
        self.collapsed = 0  # templates, so far

    def get_template(self, template_name: str, skip: list[Any] | None = None) -> Template:
        """Load a template, which Django parses, and parse it again, collapsed.

        Its source stays as it is, so that the page of an error shows the lines of the file.
        """
        template = super().get_template(template_name, skip)
        tokens = (DebugLexer if self.engine.debug else Lexer)(template.source).tokenize()
        tags = [token.split_contents() for token in tokens if token.token_type is TokenType.BLOCK]
        scanner = Scanner((name for name, *_ in tags), self.inherited(template, tags, skip))
        if template.name in self.included:
            scanner.included |= {
                word for name, *words in tags if name == "extends" for word in words[:1]
            }
        before = [token.contents for token in tokens]
        for token in tokens:
            if token.token_type is TokenType.TEXT:
                token.contents = scanner.text(token.contents)
            elif token.token_type is TokenType.BLOCK:
                scanner.tag(*[*token.split_contents(), ""][:2])
        scanner.end()
        self.kept[template.origin.name] = scanner.kept
        texts = [token.contents for token in tokens if token.token_type is TokenType.TEXT]
        changed = before != [token.contents for token in tokens]
        if scanner.doubt:
            logger.debug("%s stays as it is: %s", template.origin, scanner.doubt)
        elif changed and template_name.endswith(".html") and is_html(texts):
            engine = self.engine
            libraries, builtins = engine.template_libraries, engine.template_builtins
            parser = Parser(tokens, libraries, builtins, template.origin)
            template.nodelist = parser.parse()
            template.extra_data = parser.extra_data
            self.collapsed += 1
        for word in scanner.included:
            name = literal(template, word).partition("#")[0]
            self.included.add(name)
            self.get_template_cache.pop(name, None)  # another page may have loaded it, collapsed
        return template

    def inherited(
        self, template: Template, tags: list[list[str]], skip: list[Any] | None
    ) -> set[str] | None:
        """Return the blocks in which whitespace is data for the parents; None: everywhere."""
        if template.name in self.included:
            return None
        parents = [arguments[0] for name, *arguments in tags if name == "extends"]
        if not parents:
            return set()
        name = literal(template, parents[0])
        try:
            parent = self.get_template(name, [*(skip or []), template.origin])
        except Exception:  # Django reports it when the page is made, if that parent is asked for
            return None
        return self.kept.get(parent.origin.name)


class Loader(cached.Loader, Collapsing):
    """Django's cached loader, which collapses what it has not loaded yet."""


def literal(template: Template, word: str) -> str:
    """Return the name in an argument of a tag, "" if it is known only when the page is made."""
    found = LITERAL.fullmatch(str(construct_relative_path(template.name, word)))
    return found[2] if found else ""


def finding() -> Finding:
    """Say whether the engines load their templates through this."""
    from django.template import engines

    django: Any = engines["django"]
    used = [loader for loader in django.engine.template_loaders if isinstance(loader, Loader)]
    environments: list[Any] = [engine.env for engine in engines.all() if hasattr(engine, "env")]
    extension = f"{__name__}_jinja2.Whitespace"
    everywhere = bool(used) and all(extension in one.extensions for one in environments)

    def show() -> str:
        if not everywhere:
            return "templates are loaded as they are written"
        return f"{used[0].collapsed} of {len(used[0].kept)} templates collapsed in this process"

    return everywhere, show
