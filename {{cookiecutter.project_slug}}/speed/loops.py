"""Loops whose body is compiled to Python, where Django interprets it anew for each row.

Among the `builtins` of Django's engine this module is the `for` tag of all its templates. Text, `if`,
variables with their filters and the `url` of this package become lines of one function; any other tag
renders itself. What is shown, or raised, is Django's own, and the page of an error names the line of the
template. A loop is compiled when it has shown `ENOUGH` rows; before, compiling would cost more than it
saves. Where `string_if_invalid` is set, Django's own loop runs.
"""

import logging
from collections.abc import Callable
from functools import cached_property
from html import escape
from inspect import signature
from keyword import iskeyword
from typing import Any, ClassVar

from django.conf import settings
from django.template import Context, Library, RequestContext, VariableDoesNotExist
from django.template.base import (
    FilterExpression,
    Node,
    NodeList,
    Parser,
    TextNode,
    Token,
    VariableNode,
    render_value_in_context,
)
from django.template.context import BaseContext
from django.template.defaulttags import ForNode, IfNode, TemplateLiteral, URLNode, do_for
from django.utils.safestring import SafeData, SafeString, mark_safe
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]

from speed import Finding, in_templates

ENOUGH = 100  # rows: about as many as save what it costs to compile a loop
DEEPEST = 20  # levels; an `if` below renders itself, as Python indents no deeper than 100
CONTEXTS = {Context, RequestContext}  # another class may look variables up in its own way

logger = logging.getLogger("django.template")
register = Library()


def look_up(current: Any, bit: str) -> Any:
    """Look up one part of a variable, in what has keys, as Django does: a key, an attribute, an index.

    Raises:
        VariableDoesNotExist: there is none.
    """
    try:
        return current[bit]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        pass
    try:
        if isinstance(current, BaseContext) and getattr(type(current), bit):
            raise AttributeError
        return getattr(current, bit)
    except (AttributeError, TypeError) as error:
        return index(current, bit, error)


def index(current: Any, bit: str, error: Exception) -> Any:
    """Look up an index, where the attribute ended with this error.

    Raises:
        VariableDoesNotExist: there is none.
    """
    if not isinstance(current, BaseContext) and bit in dir(current):
        raise error  # of a property
    try:
        return current[int(bit)]
    except (IndexError, KeyError, TypeError, ValueError):
        raise VariableDoesNotExist("Failed lookup for key [%s] in %r", (bit, current))  # noqa: B904


def call(current: Any) -> Any:
    """Call what was looked up, if a template may call it and it needs no argument."""
    if getattr(current, "do_not_call_in_templates", False):
        return current
    if getattr(current, "alters_data", False):
        return ""
    try:
        return current()
    except TypeError:
        try:
            arguments = signature(current)
        except ValueError:
            return ""
        try:
            arguments.bind()
        except TypeError:
            return ""
        raise


def is_silent(error: Exception, context: Context, bit: str) -> bool:
    """Log the error that a lookup ended with; say whether a template shows nothing instead."""
    logger.debug(
        "Exception while resolving variable '%s' in template '%s'.",
        bit,
        getattr(context, "template_name", None) or "unknown",
        exc_info=error,
    )
    return bool(getattr(error, "silent_variable_failure", False))


def annotate(error: Any, node: Node, context: Context) -> None:
    """Note down where an error arose, for the page that shows it in development, as Django does."""
    template: Any = context.template
    if template.engine.debug:
        if not hasattr(error, "_culprit_node"):
            error._culprit_node = node
        culprit = error._culprit_node
        current: Any = context.render_context.template
        if not hasattr(error, "template_debug") and current.origin == culprit.origin:
            error.template_debug = current.get_exception_info(error, culprit.token)


def show(value: Any, context: Context) -> str:
    """Return what a template shows of a value; the most frequent types first."""
    kind = type(value)
    if kind is str:
        return escape(value) if context.autoescape else str(value)
    if kind is SafeString:
        return str(value)
    if kind is int and not settings.USE_THOUSAND_SEPARATOR:
        return str(value)
    return render_value_in_context(value, context)


class Writer:
    """Writes a function of the context. Of `row.name` between `<b>` and `</b>` it makes, in short:

        put("<b>")
        node = x10
        try:
            bit = "row"
            v = top[bit] if bit in top else look_up(context, bit)
            if callable(v): v = call(v)
            bit = "name"
            if hasattr(type(v), "__getitem__"):
                v = look_up(v, bit)
            else:
                try: v = v.name
                except (AttributeError, TypeError) as e: v = index(v, bit, e)
            if callable(v): v = call(v)
        except Exception as error:
            if not is_silent(error, context, bit): raise
            v = ""
        put(show(v, context))
        put("</b>")

    Args:
        arguments: of the function; `put` takes what is shown.

    Attributes:
        lines: of the function.
        names: what its names stand for.
    """

    def __init__(self, arguments: str) -> None:
        self.lines = [f"def function({arguments}):", " top = context.dicts[-1]"]
        self.names: dict[str, Any] = {
            "SafeData": SafeData,
            "VariableDoesNotExist": VariableDoesNotExist,
            "annotate": annotate,
            "call": call,
            "index": index,
            "is_silent": is_silent,
            "look_up": look_up,
            "mark_safe": mark_safe,
            "show": show,
            "template_localtime": template_localtime,
        }

    def compiled(self, node: Node) -> Callable[..., Any]:
        """Compile what is written; a traceback names the template of this node."""
        place = getattr(getattr(node, "origin", None), "name", "a template")
        exec(compile("\n".join(self.lines), f"<loop in {place}>", "exec"), self.names)
        function: Callable[..., Any] = self.names.pop("function")
        return function

    def add(self, depth: int, line: str) -> None:
        """Write one line."""
        self.lines.append(" " * depth + line)

    def name(self, thing: Any) -> str:
        """Return a new name for a thing."""
        name = f"x{len(self.names)}"
        self.names[name] = thing
        return name

    def body(self, nodes: NodeList) -> None:
        """Write what shows these nodes, and notes down in which one an error arose."""
        self.add(1, "try:")
        self.nodes(2, nodes)
        self.add(1, "except Exception as error:")
        self.add(2, "annotate(error, node, context)")
        self.add(2, "raise")

    def nodes(self, depth: int, nodes: NodeList) -> None:
        """Write what shows these nodes."""
        node: Any
        for node in nodes:
            if type(node) is TextNode:
                self.add(depth, f"put({node.s!r})")
                continue
            self.add(depth, f"node = {self.name(node)}")
            if type(node) is VariableNode:
                self.add(depth, "try:")
                self.expression(depth + 1, "v", node.filter_expression, "''")
                self.add(depth, "except UnicodeDecodeError:")
                self.add(depth + 1, "pass")
                self.add(depth, "else:")
                self.add(depth + 1, "put(show(v, context))")
            elif type(node) is IfNode and depth + len(node.conditions_nodelists) < DEEPEST:
                self.branches(depth, node.conditions_nodelists)
            elif isinstance(node, URLNode) and "render_url" in vars(type(node)):  # speed.urls
                self.url(depth, node)
            else:
                self.add(depth, "put(node.render_annotated(context))")
                self.add(depth, "top = context.dicts[-1]")  # it may have pushed what it did not pop
        self.add(depth, "pass")  # an empty branch needs a line

    def branches(self, depth: int, branches: list[tuple[Any, NodeList]]) -> None:
        """Write an `if` with what follows it."""
        (condition, nodes), *others = branches
        if condition is None:
            self.nodes(depth, nodes)
            return
        self.add(depth, "try:")
        if type(condition) is TemplateLiteral:
            value: Any = condition.value
            self.expression(depth + 1, "v", value, "None")
        else:
            self.add(depth + 1, f"v = {self.name(condition)}.eval(context)")
        self.add(depth, "except VariableDoesNotExist:")
        self.add(depth + 1, "v = None")
        self.add(depth, "if v:")
        self.nodes(depth + 1, nodes)
        if others:
            self.add(depth, "else:")
            self.branches(depth + 1, others)

    def url(self, depth: int, node: Any) -> None:
        """Write a `url`: its arguments, and what the node makes of them."""
        count = len(node.args)
        targets: list[str] = []
        for given in [*node.args, *node.kwargs.values(), node.view_name]:
            targets.append(f"a{len(targets)}")
            self.expression(depth, targets[-1], given, "''")
        args, values, name = targets[:count], targets[count:-1], targets[-1]
        kwargs = [f"{key!r}: {value}" for key, value in zip(node.kwargs, values, strict=True)]
        listed = f"{name}, [{', '.join(args)}], " + "{" + ", ".join(kwargs) + "}"
        self.add(depth, f"put(node.render_url(context, {listed}))")

    def expression(
        self, depth: int, target: str, expression: FilterExpression, missing: str
    ) -> None:
        """Write a variable or constant with its filters; `missing` stands for one that is not there."""
        if expression.is_var:
            self.add(depth, "try:")
            self.variable(depth + 1, target, expression.var)
            self.add(depth, "except VariableDoesNotExist:")
            self.add(depth + 1, f"{target} = {missing}")
        else:
            self.add(depth, f"{target} = {self.name(expression.var)}")
        for function, arguments in expression.filters:
            given = [target]
            for is_variable, argument in arguments:
                if is_variable:
                    given.append(f"{target}_{len(given)}")
                    self.variable(depth, given[-1], argument)
                else:
                    given.append(self.name(mark_safe(argument)))
            if getattr(function, "expects_localtime", False):
                self.add(depth, f"{target} = template_localtime({target}, context.use_tz)")
            if getattr(function, "needs_autoescape", False):
                given.append("autoescape=context.autoescape")
            result = f"{self.name(function)}({', '.join(given)})"
            if getattr(function, "is_safe", False):
                result = f"mark_safe({result}) if isinstance({target}, SafeData) else {result}"
            self.add(depth, f"{target} = {result}")

    def variable(self, depth: int, target: str, variable: Any) -> None:
        """Write a lookup, part by part; VariableDoesNotExist is left to others."""
        if not variable.lookups:  # a number
            self.add(depth, f"{target} = {self.name(variable)}.resolve(context)")
            return
        first, *others = variable.lookups
        self.add(depth, "try:")
        self.add(depth + 1, f"bit = {first!r}")
        self.add(depth + 1, f"{target} = top[bit] if bit in top else look_up(context, bit)")
        self.add(depth + 1, f"if callable({target}): {target} = call({target})")
        for bit in others:
            simple = bit.isascii() and bit.isidentifier() and not iskeyword(bit)
            attribute = f"{target}.{bit}" if simple else f"getattr({target}, bit)"
            error = "(AttributeError, TypeError) as e"
            self.add(depth + 1, f"bit = {bit!r}")
            self.add(depth + 1, f"if hasattr(type({target}), '__getitem__'):")
            self.add(depth + 2, f"{target} = look_up({target}, bit)")
            self.add(depth + 1, "else:")
            self.add(depth + 2, f"try: {target} = {attribute}")
            self.add(depth + 2, f"except {error}: {target} = index({target}, bit, e)")
            self.add(depth + 1, f"if callable({target}): {target} = call({target})")
        self.add(depth, "except Exception as error:")
        self.add(depth + 1, "if not is_silent(error, context, bit): raise")
        self.add(depth + 1, f"{target} = ''")


class Loop(ForNode):
    """Django's node, with a body that is compiled.

    Attributes:
        compiled: how many loops were, in this process.
        rows: how many this one has shown.
    """

    compiled: ClassVar[int] = 0
    rows = 0

    loopvars: list[str]
    nodelist_loop: NodeList
    nodelist_empty: NodeList
    sequence: FilterExpression

    @cached_property
    def evaluate(self) -> Callable[..., Any]:
        """What there is a row for, as a function of the context."""
        writer = Writer("context")
        writer.expression(1, "v", self.sequence, "None")
        writer.add(1, "return v")
        return writer.compiled(self)

    @cached_property
    def render_row(self) -> Callable[..., None]:
        """One row, as a function of the context and of what takes its pieces."""
        Loop.compiled += 1
        writer = Writer("context, put")
        writer.body(self.nodelist_loop)
        return writer.compiled(self)

    def interpret_row(self, context: Context, put: Callable[[Any], None]) -> None:
        """Show one row as Django does."""
        for node in self.nodelist_loop:
            put(node.render_annotated(context))

    def render(self, context: Context) -> str:
        """Do what Django's node does."""
        if is_left_to_django(context):
            return super().render(context)
        enough = self.rows >= ENOUGH
        outer = context.get("forloop", {})
        names = self.loopvars
        pieces: list[str] = []
        with context.push() as top:
            if enough:
                values = self.evaluate(context)
            else:
                values = self.sequence.resolve(context, ignore_failures=True)
            if values is None:
                values = []
            if not hasattr(values, "__len__"):
                values = list(values)
            length = len(values)
            if length < 1:
                return self.nodelist_empty.render(context)
            self.rows += length
            render_row = self.render_row if enough else self.interpret_row
            if self.is_reversed:
                values = reversed(values)
            loop = top["forloop"] = {"parentloop": outer, "length": length}
            for number, value in enumerate(values):
                loop["counter0"] = number
                loop["counter"] = number + 1
                loop["revcounter"] = length - number
                loop["revcounter0"] = length - number - 1
                loop["first"] = number == 0
                loop["last"] = number == length - 1
                if len(names) == 1:
                    context[names[0]] = value
                    render_row(context, pieces.append)
                else:
                    context.update(unpacked(names, value))
                    render_row(context, pieces.append)
                    context.pop()
        return SafeString("".join(pieces))


def is_left_to_django(context: Context) -> bool:
    """Say whether Django's loop has to run."""
    engine = getattr(context.template, "engine", None)
    return engine is None or engine.string_if_invalid != "" or type(context) not in CONTEXTS


def unpacked(names: list[str], value: Any) -> dict[str, Any]:
    """Return the variables of a row of several values.

    Raises:
        ValueError: there are more or fewer values than names.
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
    node: Any = do_for(parser, token)
    return Loop(
        node.loopvars, node.sequence, node.is_reversed, node.nodelist_loop, node.nodelist_empty
    )


def finding() -> Finding:
    """Look at the tag that templates get."""
    used = all(one is tag for one in in_templates("tags", "for"))
    return used, lambda: f"{Loop.compiled} loops compiled in this process"
