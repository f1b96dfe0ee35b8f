"""Loops whose body is compiled to Python, where Django interprets it for each row.

In the `builtins` of Django's template engine this module replaces the `for` tag of all templates. Output
and errors are Django's, and the technical 500 page names the line of the template. A loop is compiled
when it has shown `ENOUGH` rows; before, compiling would cost more than it saves. Where
`string_if_invalid` is set, or the context is of a custom class, Django's loop runs.

`Loop` is adapted from django.template.defaulttags.ForNode.
Copyright (c) Django Software Foundation and individual contributors, BSD-3-Clause: see LICENSE.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from django.template import Context, Library, RequestContext
from django.template.base import FilterExpression, Node, NodeList, Parser, Token
from django.template.defaulttags import ForNode, do_for
from django.utils.safestring import SafeString

from djfast import engine
from djfast.engine.writer import Writer

REPLACES = {
    "django.template.base.FilterExpression.__init__": "d7d05802774f",
    "django.template.base.FilterExpression.resolve": "3db630eb4c23",
    "django.template.base.Node.render_annotated": "59ecbbbbbceb",
    "django.template.base.NodeList.render": "3a45c5d81b06",
    "django.template.base.TextNode.render": "6b66503fd72a",
    "django.template.base.TextNode.render_annotated": "30eb10dfe01a",
    "django.template.base.Variable.__init__": "36d84302f457",
    "django.template.base.Variable._resolve_lookup": "961e1c7a327f",
    "django.template.base.Variable.resolve": "37d60fa9f680",
    "django.template.base.VariableNode.render": "91d7f834f169",
    "django.template.base.render_value_in_context": "91ac09cc182b",
    "django.template.context.BaseContext.__getitem__": "7fad52a44b43",
    "django.template.context.BaseContext.__setitem__": "85ac847d6dc5",
    "django.template.context.BaseContext.get": "d90eeaa16b6d",
    "django.template.context.BaseContext.push": "9941ab7cbc24",
    "django.template.defaulttags.ForNode.__init__": "47f58ec73521",
    "django.template.defaulttags.ForNode.render": "75993e51c843",
    "django.template.defaulttags.IfNode.__init__": "7ca448599668",
    "django.template.defaulttags.IfNode.render": "92adb2464b22",
    "django.template.defaulttags.TemplateLiteral.__init__": "d290dfe8ea54",
    "django.template.defaulttags.TemplateLiteral.eval": "b51f117864fc",
    "django.template.defaulttags.do_for": "acb4d4405a8f",
    "django.utils.formats.localize": "d492715f6073",
    "django.utils.formats.number_format": "a039a895a2b4",
    "django.utils.html.conditional_escape": "c523b71e2b07",
    "django.utils.html.escape": "ec132a1d83b8",
    "django.utils.numberformat.format": "1d08030996f2",
}
ENOUGH = 100  # rows: about as many as save what it costs to compile a loop
CONTEXTS = {Context, RequestContext}  # another class may look up variables in its own way

register = Library()


class Loop(ForNode):
    """Django's node, with a body that is compiled.

    Attributes:
        compiled: the number of loops that were compiled in this process.
        rows: the number of rows that this loop has shown.
    """

    compiled: ClassVar[int] = 0
    rows = 0

    # What Django's __init__ sets.
    loopvars: list[str]
    nodelist_loop: NodeList
    nodelist_empty: NodeList
    sequence: FilterExpression

    @cached_property
    def evaluate(self) -> Callable[..., Any]:
        """The sequence, as a function of the context."""
        writer = Writer("context")
        writer.expression(1, "v", self.sequence, "None")
        writer.add(1, "return v")
        return writer.compiled(self)

    @cached_property
    def render_row(self) -> Callable[..., None]:
        """One row, as a function of the context and of `put`, which takes the pieces of the output."""
        Loop.compiled += 1
        writer = Writer("context, put")
        writer.body(self.nodelist_loop)
        return writer.compiled(self)

    def interpret_row(self, context: Context, put: Callable[[Any], None]) -> None:
        """Render one row as Django does."""
        for node in self.nodelist_loop:
            put(node.render_annotated(context))

    def render(self, context: Context) -> str:
        """Return what Django's node returns."""
        if is_left_to_django(context):
            return super().render(context)
        enough = self.rows >= ENOUGH
        outer = context.get("forloop", {})
        pieces: list[str] = []
        with context.push():
            if enough:
                values = self.evaluate(context)
            else:
                values = self.sequence.resolve(context, ignore_failures=True)
            if values is None:
                values = []
            if not hasattr(values, "__len__"):
                values = list(values)
            if len(values) < 1:
                return self.nodelist_empty.render(context)
            self.rows += len(values)
            render_row = self.render_row if enough else self.interpret_row
            self.render_rows(context, values, outer, render_row, pieces.append)
        return SafeString("".join(pieces))

    def render_rows(
        self, context: Context, values: Any, outer: object, render_row: Any, put: Any
    ) -> None:
        """Render each row, with its variables and those of `forloop` in the context.

        Args:
            outer: the `forloop` of the loop around this one.
            render_row: is called with the context and `put` for each row.
        """
        names, length = self.loopvars, len(values)
        loop = context["forloop"] = {"parentloop": outer, "length": length}
        for number, value in enumerate(reversed(values) if self.is_reversed else values):
            loop["counter0"] = number
            loop["counter"] = number + 1
            loop["revcounter"] = length - number
            loop["revcounter0"] = length - number - 1
            loop["first"] = number == 0
            loop["last"] = number == length - 1
            if len(names) == 1:
                context[names[0]] = value
                render_row(context, put)
            else:
                context.update(unpacked(names, value))
                render_row(context, put)
                context.pop()


def is_left_to_django(context: Context) -> bool:
    """Return whether Django's loop has to run."""
    of = getattr(context.template, "engine", None)
    return of is None or of.string_if_invalid != "" or type(context) not in CONTEXTS


def unpacked(names: list[str], value: Any) -> dict[str, Any]:
    """Return the variables of a row of several values.

    Raises:
        ValueError: the numbers of names and values differ.
    """
    try:
        count = len(value)
    except TypeError:  # it cannot be iterated over
        count = 1
    if count != len(names):
        raise ValueError(f"Need {len(names)} values to unpack in for loop; got {count}. ")
    return dict(zip(names, value, strict=False))


@register.tag("for")
def tag(parser: Parser, token: Token) -> Node:
    """Parse as Django does."""
    parsed: Any = do_for(parser, token)
    node: Node = parsed
    if engine.active("loops"):
        parts = (parsed.loopvars, parsed.sequence, parsed.is_reversed)
        node = Loop(*parts, parsed.nodelist_loop, parsed.nodelist_empty)
    return node


def evidence() -> str:
    """Return what this module did in this process."""
    return f"{Loop.compiled} loops compiled in this process"
