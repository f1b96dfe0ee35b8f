"""Loops whose body is compiled to Python once, where Django interprets it anew for each row.

Among the `builtins` of Django's engine this module is the `for` tag of all its templates. Text, `if`,
variables with their filters and the `url` of this package become lines of one function; any other tag
renders itself. What is shown, or raised, is Django's own, and the page of an error names the line of the
template. Where `string_if_invalid` is set, Django's own loop runs.
"""

import logging
from collections.abc import Callable
from copy import copy
from functools import cached_property
from html import escape
from inspect import signature
from keyword import iskeyword
from typing import Any, ClassVar

from django.conf import settings
from django.template import Context, Library, RequestContext, VariableDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
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
from django.template.defaulttags import ForNode, IfNode, TemplateLiteral, do_for
from django.utils.safestring import SafeData, SafeString, mark_safe
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]

from speed import Finding

DEEPEST = 20  # levels of indentation; Python compiles no more than 100
CONTEXTS = {Context, RequestContext}  # another class may look variables up in its own way

logger = logging.getLogger("django.template")
register = Library()


def looked_up(current: Any, bit: str) -> Any:
    """Look up one part of a variable as Django does: a key, an attribute, an index.

    Raises:
        VariableDoesNotExist: there is none.
    """
    if hasattr(type(current), "__getitem__"):
        try:
            return current[bit]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            pass
    try:
        if isinstance(current, BaseContext) and getattr(type(current), bit):
            raise AttributeError
        return getattr(current, bit)
    except (AttributeError, TypeError) as error:
        return indexed(current, bit, error)


def indexed(current: Any, bit: str, error: Exception) -> Any:
    """Look up an index, where an attribute ended with this error.

    Raises:
        VariableDoesNotExist: there is none.
    """
    if not isinstance(current, BaseContext) and bit in dir(current):
        raise error  # of a property
    try:
        return current[int(bit)]
    except (IndexError, KeyError, TypeError, ValueError):
        raise VariableDoesNotExist("Failed lookup for key [%s] in %r", (bit, current)) from None


def called(current: Any) -> Any:
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


def failed(error: Exception, context: Context, bit: str) -> str:
    """Return what a variable is whose lookup has ended with this error, or raise it again."""
    logger.debug(
        "Exception while resolving variable '%s' in template '%s'.",
        bit,
        getattr(context, "template_name", None) or "unknown",
        exc_info=error,
    )
    if getattr(error, "silent_variable_failure", False):
        return ""
    raise error


def annotated(error: Exception, node: Node, context: Context) -> None:
    """Raise it again, with what Django notes down for the page of an error in development."""

    def fail(context: Context) -> str:
        raise error

    failing: Any = copy(node)
    failing.render = fail
    failing.render_annotated(context)


def shown(value: Any, context: Context) -> str:
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
    """Writes a function of the context.

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
            "annotated": annotated,
            "called": called,
            "failed": failed,
            "indexed": indexed,
            "looked_up": looked_up,
            "mark_safe": mark_safe,
            "shown": shown,
            "template_localtime": template_localtime,
        }

    def function(self, place: str) -> Callable[..., Any]:
        """Compile what is written; a traceback names this place."""
        code = compile("\n".join(self.lines), f"<loop in {place}>", "exec")
        exec(code, self.names)
        function: Callable[..., Any] = self.names["function"]
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
        """Write a function that shows these nodes."""
        self.add(1, "try:")
        self.nodes(2, nodes)
        self.add(1, "except Exception as error:")
        self.add(2, "annotated(error, node, context)")

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
                self.add(depth + 1, "put(shown(v, context))")
            elif type(node) is IfNode and depth + len(node.conditions_nodelists) < DEEPEST:
                self.branches(depth, node.conditions_nodelists)
            elif type(node) is Loop:
                self.add(depth, "put(node.render(context))")
            elif "render_url" in vars(type(node)):  # speed.urls
                self.url(depth, node)
            else:
                self.add(depth, "put(node.render_annotated(context))")
                self.add(depth, "top = context.dicts[-1]")
        self.add(depth, "pass")

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
        for given in [node.view_name, *node.args, *node.kwargs.values()]:
            targets.append(f"a{len(targets)}")
            self.expression(depth, targets[-1], given, "''")
        name, args, values = targets[0], targets[1 : count + 1], targets[count + 1 :]
        kwargs = [f"{key!r}: {value}" for key, value in zip(node.kwargs, values, strict=True)]
        listed = f"{name}, [{', '.join(args)}], " + "{" + ", ".join(kwargs) + "}"
        self.add(depth, f"put(node.render_url(context, {listed}))")

    def expression(
        self, depth: int, target: str, expression: FilterExpression, missing: str
    ) -> None:
        """Write a variable or constant with its filters; `missing` stands for one that is not there."""
        if not expression.is_var:
            self.add(depth, f"{target} = {self.name(expression.var)}")
        elif expression.var.lookups:
            self.add(depth, "try:")
            self.variable(depth + 1, target, expression.var)
            self.add(depth, "except VariableDoesNotExist:")
            self.add(depth + 1, f"{target} = {missing}")
        else:
            self.add(depth, f"{target} = {self.name(expression.var)}.resolve(context)")
        for function, arguments in expression.filters:
            given = [target]
            for is_variable, argument in arguments:
                if not is_variable:
                    given.append(self.name(mark_safe(argument)))
                elif argument.lookups:
                    given.append(f"{target}_{len(given)}")
                    self.variable(depth, given[-1], argument)
                else:
                    given.append(f"{self.name(argument)}.resolve(context)")
            if getattr(function, "expects_localtime", False):
                self.add(depth, f"{target} = template_localtime({target}, context.use_tz)")
            if getattr(function, "needs_autoescape", False):
                given.append("autoescape=context.autoescape")
            call = f"{self.name(function)}({', '.join(given)})"
            if getattr(function, "is_safe", False):
                call = f"mark_safe({call}) if isinstance({target}, SafeData) else {call}"
            self.add(depth, f"{target} = {call}")

    def variable(self, depth: int, target: str, variable: Any) -> None:
        """Write the lookup of a variable, part by part; VariableDoesNotExist is left to others."""
        first, *others = variable.lookups
        self.add(depth, "try:")
        self.add(depth + 1, f"bit = {first!r}")
        self.add(depth + 1, f"{target} = top[bit] if bit in top else looked_up(context, bit)")
        self.add(depth + 1, f"if callable({target}): {target} = called({target})")
        for bit in others:
            simple = bit.isascii() and bit.isidentifier() and not iskeyword(bit)
            attribute = f"{target}.{bit}" if simple else f"getattr({target}, bit)"
            self.add(depth + 1, f"bit = {bit!r}")
            self.add(depth + 1, f"if hasattr(type({target}), '__getitem__'):")
            self.add(depth + 2, f"{target} = looked_up({target}, bit)")
            self.add(depth + 1, "else:")
            self.add(depth + 2, f"try: {target} = {attribute}")
            self.add(
                depth + 2,
                f"except (AttributeError, TypeError) as e: {target} = indexed({target}, bit, e)",
            )
            self.add(depth + 1, f"if callable({target}): {target} = called({target})")
        self.add(depth, "except Exception as error:")
        self.add(depth + 1, f"{target} = failed(error, context, bit)")


class Loop(ForNode):
    """Django's node, with a body that is compiled when it is first needed.

    Attributes:
        compiled: how many were, in this process.
    """

    compiled: ClassVar[int] = 0

    loopvars: list[str]
    nodelist_loop: NodeList
    nodelist_empty: NodeList
    sequence: FilterExpression

    @cached_property
    def values(self) -> Callable[..., Any]:
        """What there is a row for, as a function of the context."""
        writer = Writer("context")
        writer.expression(1, "v", self.sequence, "None")
        writer.add(1, "return v")
        return writer.function(self.origin.name)

    @cached_property
    def body(self) -> Callable[..., None]:
        """One row, as a function of the context and of what takes its pieces."""
        Loop.compiled += 1
        writer = Writer("context, put")
        writer.body(self.nodelist_loop)
        return writer.function(self.origin.name)

    def render(self, context: Context) -> str:
        """Do what Django's node does."""
        if is_interpreted(context):
            return super().render(context)
        outer = context.get("forloop", {})
        names, body = self.loopvars, self.body
        pieces: list[str] = []
        with context.push() as top:
            values = self.values(context)
            if values is None:
                values = []
            if not hasattr(values, "__len__"):
                values = list(values)
            length = len(values)
            if length < 1:
                return self.nodelist_empty.render(context)
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
                    body(context, pieces.append)
                else:
                    context.update(unpacked(names, value))
                    body(context, pieces.append)
                    context.pop()
        return SafeString("".join(pieces))


def is_interpreted(context: Context) -> bool:
    """Say whether Django has to do it."""
    engine = getattr(context.template, "engine", None)
    return engine is None or bool(engine.string_if_invalid) or type(context) not in CONTEXTS


def unpacked(names: list[str], value: Any) -> dict[str, Any]:
    """Return the variables of a row of several values.

    Raises:
        ValueError: there are more or fewer values than names.
    """
    try:
        given = len(value)
    except TypeError:  # it cannot be iterated over
        given = 1
    if given != len(names):
        raise ValueError(f"Need {len(names)} values to unpack in for loop; got {given}. ")
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
    used = []
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates):
            found = [library.tags.get("for") for library in engine.engine.template_builtins]
            used.append([one for one in found if one][-1] is tag)
    return all(used), lambda: f"{Loop.compiled} loops compiled in this process"
