"""JavaScript and CSS for production: comments and indentation removed, and what a bundle must not contain.

Works on the syntax tree of tree-sitter. Strings, templates and regular expressions stay as they are, line
breaks stay line breaks, so the result has the syntax tree of its source. What does not parse stays unchanged.
https://tc39.es/ecma262/#sec-automatic-semicolon-insertion
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

LICENCE = re.compile(rb"^/[*/]!|@(license|licence|preserve|cc_on)")
LINES = re.compile(rb"[ \t\f]*[\r\n][ \t\f\r\n]*")
SPACES = re.compile(rb"[ \t\f]+")
# Nodes whose text is a value, or whose white space may be one.
VALUES = {
    "js": {"string", "template_string", "regex", "hash_bang_line", "jsx_element"},
    "css": {"string_value", "plain_value"},
}
HTML_COMMENT = "it may have an HTML comment"
DECLARATIONS = {
    "class_declaration",
    "function_declaration",
    "generator_function_declaration",
    "lexical_declaration",
    "variable_declaration",
}
# Statements of CSS that count only at the beginning of a file.
FIRST_ONLY = {"charset_statement", "import_statement", "namespace_statement"}


@dataclass(frozen=True)
class Source:
    """What is known about one file.

    Attributes:
        text: without comments and indentation; as it was if it does not parse.
        alone: why it must not share a file with others; "" if it may.
        names: that it declares for all scripts of the page.
    """

    text: bytes
    alone: str
    names: frozenset[str] = frozenset()


@cache
def parser(kind: str) -> Any:
    """Return the parser of "js" or "css"."""
    import tree_sitter
    import tree_sitter_css
    import tree_sitter_javascript

    language = {"js": tree_sitter_javascript, "css": tree_sitter_css}[kind].language()
    return tree_sitter.Parser(tree_sitter.Language(language))


def read(text: bytes, kind: str, *, minified: bool = False) -> Source:
    """Return what is known about a file.

    Args:
        text: of the file, in UTF-8.
        kind: "js" or "css".
        minified: whether to leave the text as it is.
    """
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        root = parser(kind).parse(text).root_node
    except ImportError:  # PyPy
        return Source(text, "tree-sitter is not installed")
    if root.has_error:
        return Source(text, "it does not parse")
    alone = js_alone(root, text) if kind == "js" else css_alone(root)
    minified = minified or alone == HTML_COMMENT
    names = frozenset(declared(root)) if kind == "js" else frozenset()
    return Source(text if minified else compact(root, text, kind), alone, names)


def js_alone(root: Any, text: bytes) -> str:
    """Return why a script must not share a file with others; "" if it may."""
    first = next((node for node in root.named_children if node.type != "comment"), None)
    if first is not None and first.type == "hash_bang_line":
        return "it begins with #!"
    if (
        first is not None
        and first.type == "expression_statement"
        and first.named_child(0).type == "string"
    ):
        return "it begins with a directive, such as 'use strict'"
    for node in walk(root):
        if node.type in ("import_statement", "export_statement", "meta_property"):
            return "it is a module"
    if b"<!--" in text or b"-->" in text:  # a comment at the beginning of a line only
        return HTML_COMMENT
    if b"currentScript" in text or re.search(rb"\bimport\s*\(", text):
        return "it depends on its own URL"
    return ""


def css_alone(root: Any) -> str:
    """Return why a stylesheet must not share a file with others; "" if it may."""
    for node in root.named_children:
        if node.type in FIRST_ONLY:
            return f"it has a rule @{node.type.removesuffix('_statement')}"
    return ""


def declared(root: Any) -> Iterator[str]:
    """Yield the names that a script declares outside of functions and blocks."""
    for node in root.named_children:
        if node.type not in DECLARATIONS:
            continue
        for one in [node, *node.named_children]:
            if (name := one.child_by_field_name("name")) is not None:
                yield from (
                    part.text.decode()
                    for part in walk(name)
                    if part.type in ("identifier", "shorthand_property_identifier_pattern")
                )


def walk(node: Any) -> Iterator[Any]:
    """Yield a node and all nodes below it, in the order of the text."""
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack += reversed(one.children)


def is_value(node: Any, kind: str) -> bool:
    """Return whether the text of a node must stay as it is, spaces included."""
    if node.type in VALUES[kind]:
        return True
    return kind == "css" and node.type == "declaration" and node.text.startswith(b"--")


def compact(root: Any, text: bytes, kind: str) -> bytes:
    """Return the text of a tree without comments, indentation and empty lines."""
    pieces: list[bytes] = []
    position = 0
    stack = [root]
    while stack:
        node = stack.pop()
        comment = node.type in ("comment", "js_comment")
        if not comment and not is_value(node, kind):
            stack += reversed(node.children)
            continue
        pieces.append(squeezed(text[position : node.start_byte]))
        if not comment or LICENCE.search(node.text):
            pieces.append(node.text)
        else:
            pieces.append(instead(node, text, kind))
        position = node.end_byte
    pieces.append(squeezed(text[position:]))
    return b"".join(pieces).strip(b" \t\f\r\n") + b"\n"


def instead(comment: Any, text: bytes, kind: str) -> bytes:
    """Return the replacement for a comment, which keeps the tokens around it separate."""
    if kind == "js":
        return b"\n" if re.search(rb"[\r\n]", comment.text) else b" "
    around = text[comment.start_byte - 1 : comment.start_byte] + text[comment.end_byte :][:1]
    # Between two CSS tokens a space can be a combinator, and no separator would merge them.
    return b"" if len(around) < 2 or around.strip() != around else b"/**/"


def squeezed(text: bytes) -> bytes:
    """Return code with one line break or space instead of several."""
    return SPACES.sub(b" ", LINES.sub(b"\n", text))
