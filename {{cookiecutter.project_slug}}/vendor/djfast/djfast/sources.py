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
LINE_BREAK = re.compile("[\r\n\u2028\u2029]".encode())
WORDS = re.compile(r"[\w$]+")
# A script that looks for its own element, or a path that is relative to its own URL.
OWN_ELEMENT = re.compile(
    rb"""currentScript|\bimport\s*\(|document\.scripts|"""
    rb"""(getElementsByTagName|querySelector|querySelectorAll)\s*\(\s*['"`]script"""
)
# What a stylesheet refers to by a path that is relative to its own URL.
RELATIVE = re.compile(
    rb"""(\burl|\bsrc|\bimage-set)\(\s*(?!['"]?(/|data:|https?:))|@import|sourceMappingURL""",
    re.IGNORECASE,
)
SOURCE_MAP = re.compile(rb"(//[#@] *sourceMappingURL=\S*|/\*[#@] *sourceMappingURL=\S*\s*\*/)\s*$")
# Nodes whose text is a value, or whose white space may be one.
VALUES = {
    "js": {"string", "template_string", "regex", "hash_bang_line", "jsx_element"},
    "css": {"string_value", "plain_value"},
}
HASH_BANG = "it begins with #!"
HTML_COMMENT = "it may have an HTML comment"
MODULE = "it is a module"
NO_PARSER = "tree-sitter is not installed"
NOT_PARSED = "it does not parse"
OWN_URL = "it depends on its own URL"
# Why a file stays unchanged.
AS_IT_IS = {HASH_BANG, HTML_COMMENT, MODULE, NO_PARSER, NOT_PARSED, OWN_URL}
# Names that these declare are known in the whole script...
HOISTED = {"function_declaration", "generator_function_declaration", "variable_declaration"}
# ...those only if they are not in a block...
UNHOISTED = {"class_declaration", "lexical_declaration"}
# ...and none of them outside of these.
SCOPES = {
    "arrow_function",
    "class",
    "class_declaration",
    "function_declaration",
    "function_expression",
    "generator_function",
    "generator_function_declaration",
    "method_definition",
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
        words: of a script: all names that it may use, in strings too.
        is_relative: whether a stylesheet refers to something by a path that is relative to its URL.
    """

    text: bytes
    alone: str
    names: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    is_relative: bool = False


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
        return Source(text, NO_PARSER)
    is_relative = kind == "css" and RELATIVE.search(text) is not None
    if root.has_error:
        return Source(text, NOT_PARSED, is_relative=is_relative)
    if kind == "css":
        compacted = text if minified or has_escape(root) else compact(root, text, kind)
        return Source(compacted, css_alone(root), is_relative=is_relative)
    alone = js_alone(root, text)
    compacted = text if minified or alone in AS_IT_IS else compact(root, text, kind)
    words = frozenset(WORDS.findall(text.decode("utf-8", "replace")))
    return Source(compacted, alone, frozenset(declared(root)), words)


def joined(sources: list[Source], kind: str) -> bytes:
    """Return the text of one file that is the same program as these files in a row."""
    if len(sources) == 1:
        return sources[0].text
    texts = [SOURCE_MAP.sub(b"", source.text).rstrip(b"\r\n") for source in sources]
    # A semicolon ends a statement that has none. It is on a line of its own, because the line before may
    # end in a comment.
    return (b"\n;\n" if kind == "js" else b"\n").join(texts) + b"\n"


def js_alone(root: Any, text: bytes) -> str:
    """Return why a script must not share a file with others; "" if it may."""
    first = next((node for node in root.named_children if node.type != "comment"), None)
    if first is not None and first.type == "hash_bang_line":
        return HASH_BANG
    for node in walk(root):
        if node.type in ("import_statement", "export_statement", "meta_property"):
            return MODULE
    if b"<!--" in text or b"-->" in text:  # a comment at the beginning of a line only
        return HTML_COMMENT
    if OWN_ELEMENT.search(text):
        return OWN_URL
    if (
        first is not None
        and first.type == "expression_statement"
        and first.named_child(0).type == "string"
    ):
        return "it begins with a directive, such as 'use strict'"
    if any(node.type == "identifier" and b"\\" in node.text for node in walk(root)):
        return "it has a name that is written with an escape"
    return ""


def css_alone(root: Any) -> str:
    """Return why a stylesheet must not share a file with others; "" if it may."""
    for node in root.named_children:
        if node.type in FIRST_ONLY:
            return f"it has a rule @{node.type.removesuffix('_statement')}"
    return ""


def declared(root: Any) -> Iterator[str]:
    """Yield the names that a script declares outside of functions."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type in HOISTED or (node.type in UNHOISTED and node.parent == root):
            yield from names(node)
        elif node.type == "for_in_statement" and node.children[2].type == "var":
            yield from identifiers(node.child_by_field_name("left"))
        if node.type not in SCOPES:
            stack += node.named_children


def names(declaration: Any) -> Iterator[str]:
    """Yield the names of a declaration."""
    for one in [declaration, *declaration.named_children]:
        if (name := one.child_by_field_name("name")) is not None:
            yield from identifiers(name)


def identifiers(pattern: Any) -> Iterator[str]:
    """Yield the names of a pattern, such as `a` and `b` in `{a, c: [b]}`."""
    for node in walk(pattern):
        if node.type in ("identifier", "shorthand_property_identifier_pattern"):
            yield node.text.decode()


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


def has_escape(root: Any) -> bool:
    """Return whether a stylesheet has names with escapes, which end in a space: `.a\\  b`."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type not in ("string_value", "comment", "js_comment"):
            if not node.children and b"\\" in node.text:
                return True
            stack += node.children
    return False


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
        return b"\n" if LINE_BREAK.search(comment.text) else b" "
    around = text[comment.start_byte - 1 : comment.start_byte] + text[comment.end_byte :][:1]
    # Between two CSS tokens a space can be a combinator, and no separator would merge them.
    return b"" if len(around) < 2 or around.strip() != around else b"/**/"


def squeezed(text: bytes) -> bytes:
    """Return code with one line break or space instead of several."""
    return SPACES.sub(b" ", LINES.sub(b"\n", text))
