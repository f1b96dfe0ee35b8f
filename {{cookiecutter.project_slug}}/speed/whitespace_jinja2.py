"""The same for Jinja2: `speed.whitespace` as an extension of the environment."""

import re
from collections.abc import Callable, Iterator
from itertools import takewhile

from jinja2 import BaseLoader, Environment
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from speed.whitespace import Scanner, is_html

KEPT = "?whitespace=kept"  # after the name of a template that is included where whitespace is data
# Tokens of a tag that names a template, a list of them, or one of two; others may be anything.
NAMED = re.compile(r"(s|\[(s,?)+\]|si[^ie]*es)w*")
LETTERS = {"string": "s", "comma": ",", "lbracket": "[", "rbracket": "]"}
WORDS = {"if": "i", "else": "e", "ignore": "w", "missing": "w"}
WORDS |= {"with": "w", "without": "w", "context": "w"}


class Whitespace(Extension):
    """Collapses the text of each HTML template when it is compiled."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        loader = environment.loader
        if loader and loader.has_source_access and not isinstance(loader, Loader):
            environment.loader = Loader(loader)

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Yield the tokens, those that are text collapsed; all keep their line numbers."""
        tokens = list(stream)
        scanned, kept = self.scan(tokens, stream.name)
        texts = (token.value for token in tokens if token.type == "data")
        html = (stream.name or "").endswith(".html") and is_html(texts)
        yield from scanned if html and kept is not None else tokens

    def scan(self, tokens: list[Token], name: str | None) -> tuple[list[Token], set[str] | None]:
        """Return the tokens collapsed, and the blocks in which whitespace is data; None: in all.

        In `tokens`, what is included where whitespace is data gets its name with `KEPT`.
        """
        tags = {
            i: [*(str(word.value) for word in tokens[i + 1 : i + 3]), ""][:2]
            for i, token in enumerate(tokens)
            if token.type == "block_begin"
        }
        apart = (name or "").endswith(KEPT)
        kept: set[str] | None = None if apart else set()
        for i, (tag, _) in tags.items():
            if tag == "extends" and not apart:
                kept = self.inherited(tokens[i + 2 : i + 4], name)
        scanner = Scanner((tag for tag, _ in tags.values()), kept)
        scanned = []
        included: list[int] = []  # tokens that name what is included; among them...
        marked: list[int] = []  # ...those where whitespace is data
        for i, token in enumerate(tokens):
            value = token.value
            if i in tags:
                scanner.tag(*tags[i])
                if tags[i][0] in ({"include", "extends"} if apart else {"include"}):
                    found = names(tokens, i + 2)
                    included += found
                    marked += found if scanner.keeps() else []
            elif token.type == "data":
                value = scanner.text(value)
                if self.environment.variable_start_string in value:
                    value = token.value  # from a raw block, for another template language
            scanned.append(Token(token.lineno, token.type, value))
        scanner.end()
        if not isinstance(self.environment.loader, Loader):
            return scanned, scanner.kept
        for i in included if scanner.doubt else marked:
            scanned[i] = tokens[i] = Token(tokens[i].lineno, "string", tokens[i].value + KEPT)
        return scanned, scanner.kept

    def inherited(self, words: list[Token], name: str | None) -> set[str] | None:
        """Return the blocks in which whitespace is data for a parent; None: in all."""
        environment = self.environment
        if [word.type for word in words] != ["string", "block_end"] or not environment.loader:
            return None
        try:
            parent = environment.join_path(words[0].value, name or "")
            source, path, _ = environment.loader.get_source(environment, parent)
            source = environment.preprocess(source, parent, path)
            tokens = list(environment.lexer.tokenize(source, parent, path))
        except Exception:  # Jinja2 reports it when the page is made, if that parent is asked for
            return None
        return self.scan(tokens, parent)[1]


def names(tokens: list[Token], start: int) -> list[int]:
    """Return which tokens of a tag, from its argument on, are the whole name of a template."""
    letters = ""
    for token in takewhile(lambda token: token.type != "block_end", tokens[start:]):
        known, key = (WORDS, token.value) if token.type == "name" else (LETTERS, token.type)
        letters += known.get(key, "x")
    if not NAMED.fullmatch(letters):
        return []
    strings = [start + i for i, letter in enumerate(letters) if letter == "s"]
    return [strings[0], strings[-1]] if "i" in letters else strings  # between them a condition


class Loader(BaseLoader):
    """Finds a template under its name with `KEPT`, too: Jinja2 compiles it again, as it is written."""

    def __init__(self, loader: BaseLoader) -> None:
        self.loader = loader

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        return self.loader.get_source(environment, template.removesuffix(KEPT))

    def list_templates(self) -> list[str]:
        return self.loader.list_templates()
