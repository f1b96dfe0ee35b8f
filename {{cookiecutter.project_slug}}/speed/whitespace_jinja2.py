"""The same for Jinja2: `speed.whitespace` as an extension of the environment."""

from collections.abc import Iterator

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from speed.whitespace import Scanner, Untidy, is_html


class Whitespace(Extension):
    """Collapses the text of each HTML template when it is compiled."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Yield the tokens, those that are text collapsed; all keep their line numbers."""
        tokens = list(stream)
        scanned, kept = self.scan(tokens, stream.name)
        texts = (token.value for token in tokens if token.type == "data")
        html = (stream.name or "").endswith(".html") and is_html(texts)
        yield from scanned if html and kept is not None else tokens

    def scan(self, tokens: list[Token], name: str | None) -> tuple[list[Token], set[str] | None]:
        """Return the tokens collapsed, and the blocks in which whitespace is data; None: in all."""
        tags = {
            i: [*(str(word.value) for word in tokens[i + 1 : i + 3]), ""][:2]
            for i, token in enumerate(tokens)
            if token.type == "block_begin"
        }
        kept: set[str] | None = set()
        for i, (tag, _) in tags.items():
            if tag == "extends":
                kept = self.inherited(tokens[i + 2 : i + 4], name)
        scanner = Scanner((tag for tag, _ in tags.values()), kept)
        scanned = []
        try:
            for i, token in enumerate(tokens):
                value = token.value
                if i in tags:
                    scanner.tag(*tags[i])
                elif token.type == "data":
                    value = scanner.text(value)
                    if self.environment.variable_start_string in value:
                        value = token.value  # from a raw block, for another template language
                scanned.append(Token(token.lineno, token.type, value))
            scanner.end()
        except Untidy:
            return tokens, None
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
