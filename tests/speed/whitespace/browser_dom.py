"""What a browser makes of a document, as far as whitespace goes: a tree to compare."""

import re
from typing import Any

import html5lib

# Elements whose text a browser, a script or a form may take as it stands.
EXACT = {"iframe", "listing", "math", "noscript", "plaintext", "pre", "script", "style", "svg"}
EXACT |= {"textarea", "title", "xmp", "noembed", "noframes"}


def normal(text: str) -> str:
    """Return a text with each run of HTML's whitespace as a newline, if it held one, or a space."""
    return re.sub("[ \t\n\f\r]+", lambda run: "\n" if "\n" in run[0] else " ", text)


def dom(document: str) -> list[object]:
    """Parse a document; tags with attributes, comments and texts in their order."""
    found: list[object] = []
    walk(html5lib.parse(document, treebuilder="etree", namespaceHTMLElements=False), False, found)
    return found


def walk(element: Any, exact: bool, found: list[object]) -> None:
    if isinstance(element.tag, str):
        name = element.tag.rpartition("}")[2]
        found.append((name, sorted(element.attrib.items())))
        inside = exact or name in EXACT
        add(element.text, inside, found)
    else:
        found.append(("comment", element.text))
        inside = exact
    for child in element:
        walk(child, inside, found)
        add(child.tail, inside, found)
    found.append("end")


def add(text: str | None, exact: bool, found: list[object]) -> None:
    if text:
        found.append(text if exact else normal(text))
