"""Template nodes as the source of a Python function: what `loops` compiles, and what the result calls.

Text, `if`, variables with their filters, and nodes that follow the protocol of `Evaluated` become lines
of the function; any other node renders itself.

Adapted from django.template.base and django.template.defaulttags.
Copyright (c) Django Software Foundation and individual contributors, BSD-3-Clause: see LICENSE.
"""

import logging
from collections.abc import Callable
from html import escape
from inspect import signature
from keyword import iskeyword
from typing import Any, Protocol

from django.conf import settings
from django.template import Context, VariableDoesNotExist
from django.template.base import (
    FilterExpression,
    Node,
    NodeList,
    TextNode,
    VariableNode,
    render_value_in_context,
)
from django.template.context import BaseContext
from django.template.defaulttags import IfNode, TemplateLiteral
from django.utils.safestring import SafeData, SafeString, mark_safe
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]

DEEPEST = 20  # levels: an `if` below renders itself, because Python indents no deeper than 100

logger = logging.getLogger("django.template")


class Evaluated(Protocol):
    """A node whose arguments a compiled function evaluates; its class itself defines both methods."""

    def djfast_expressions(self) -> list[tuple[str, FilterExpression]]:
        """Return the arguments of `djfast_render` in the order of evaluation, each with its keyword.

        The keyword of a positional argument is "".
        """

    def djfast_render(self, context: Context, /, *args: Any, **kwargs: Any) -> str:
        """Return what `render` returns, given the values; that of a missing variable is ""."""


def look_up(current: Any, bit: str) -> Any:
    """Look up one part of a variable in what has `__getitem__`: a key, an attribute or an index.

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
    """Look up an index, after the look-up of an attribute has raised `error`.

    Raises:
        VariableDoesNotExist: there is none.
    """
    if not isinstance(current, BaseContext) and bit in dir(current):
        raise error  # by a property
    try:
        return current[int(bit)]
    except (IndexError, KeyError, TypeError, ValueError):
        raise VariableDoesNotExist("Failed lookup for key [%s] in %r", (bit, current))  # noqa: B904


def call(current: Any) -> Any:
    """Call a value that was looked up, if a template may call it and it needs no argument."""
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
    """Log the error that a look-up raised, and return whether the template shows nothing instead."""
    logger.debug(
        "Exception while resolving variable '%s' in template '%s'.",
        bit,
        getattr(context, "template_name", None) or "unknown",
        exc_info=error,
    )
    return bool(getattr(error, "silent_variable_failure", False))


def annotate(error: Any, node: Node, context: Context) -> None:
    """Store the place of an error for the technical 500 page, as `Node.render_annotated` does."""
    template: Any = context.template
    if template.engine.debug:
        if not hasattr(error, "_culprit_node"):
            error._culprit_node = node
        culprit = error._culprit_node
        current: Any = context.render_context.template
        if not hasattr(error, "template_debug") and current.origin == culprit.origin:
            error.template_debug = current.get_exception_info(error, culprit.token)


def show(value: Any, context: Context) -> str:
    """Return what `render_value_in_context` returns; the most frequent types first."""
    kind = type(value)
    if kind is str:
        return escape(value) if context.autoescape else str(value)
    if kind is SafeString:
        return str(value)
    if kind is int and not settings.USE_THOUSAND_SEPARATOR:
        return str(value)
    return render_value_in_context(value, context)


RUNTIME = {
    one.__name__: one
    for one in (
        *(SafeData, VariableDoesNotExist, annotate, call, index, is_silent, look_up, mark_safe),
        *(show, template_localtime),
    )
}


class Writer:
    """Writes a function of the context. For `row.name` between `<b>` and `</b>` it writes, in short:

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
        arguments: of the function, as source; `put` is called with each piece of the output.

    Attributes:
        lines: the source of the function.
        names: the globals of the function.
    """

    def __init__(self, arguments: str) -> None:
        self.lines = [f"def function({arguments}):", " top = context.dicts[-1]"]
        self.names: dict[str, Any] = dict(RUNTIME)

    def compiled(self, node: Node) -> Callable[..., Any]:
        """Compile what was written; a traceback names the template of `node`."""
        place = getattr(getattr(node, "origin", None), "name", "a template")
        exec(compile("\n".join(self.lines), f"<loop in {place}>", "exec"), self.names)
        function: Callable[..., Any] = self.names.pop("function")
        return function

    def add(self, depth: int, line: str) -> None:
        """Write one line."""
        self.lines.append(" " * depth + line)

    def name(self, value: Any) -> str:
        """Return a new name for a value."""
        name = f"x{len(self.names)}"
        self.names[name] = value
        return name

    def body(self, nodes: NodeList) -> None:
        """Write code that renders nodes, and that annotates an error with the node that raised it."""
        self.add(1, "try:")
        self.nodes(2, nodes)
        self.add(1, "except Exception as error:")
        self.add(2, "annotate(error, node, context)")
        self.add(2, "raise")

    def nodes(self, depth: int, nodes: NodeList) -> None:
        """Write code that renders nodes."""
        node: Any
        for node in nodes:
            if type(node) is TextNode:
                self.add(depth, f"put({node.s!r})")
                continue
            self.add(depth, f"node = {self.name(node)}")
            if type(node) is VariableNode:
                self.shown(depth, node.filter_expression)
            elif type(node) is IfNode and depth + len(node.conditions_nodelists) < DEEPEST:
                self.branches(depth, node.conditions_nodelists)
            elif {"djfast_expressions", "djfast_render"} <= vars(type(node)).keys():
                self.evaluated(depth, node)
            else:
                self.add(depth, "put(node.render_annotated(context))")
                self.add(depth, "top = context.dicts[-1]")  # it may push what it does not pop
        self.add(depth, "pass")  # an empty branch needs a line

    def shown(self, depth: int, expression: FilterExpression) -> None:
        """Write code that shows an expression."""
        self.add(depth, "try:")
        self.expression(depth + 1, "v", expression, "''")
        self.add(depth, "except UnicodeDecodeError:")
        self.add(depth + 1, "pass")
        self.add(depth, "else:")
        self.add(depth + 1, "put(show(v, context))")

    def branches(self, depth: int, branches: list[tuple[Any, NodeList]]) -> None:
        """Write an `if` with the branches that follow it."""
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

    def evaluated(self, depth: int, node: Evaluated) -> None:
        """Write code that evaluates the expressions of a node and passes it the values."""
        args, kwargs = ["context"], []
        for number, (keyword, expression) in enumerate(node.djfast_expressions()):
            value = f"a{number}"
            self.expression(depth, value, expression, "''")
            if keyword:
                kwargs.append(f"{keyword!r}: {value}")
            else:
                args.append(value)
        named = f", **{{{', '.join(kwargs)}}}" if kwargs else ""
        self.add(depth, f"put(node.djfast_render({', '.join(args)}{named}))")

    def expression(
        self, depth: int, target: str, expression: FilterExpression, missing: str
    ) -> None:
        """Write the evaluation of a variable or constant with its filters.

        Args:
            target: the name to which the value is assigned.
            missing: source of the value of a variable that does not exist.
        """
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
        """Write the look-ups of a variable; the caller handles VariableDoesNotExist."""
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
