"""Cached fragments and list rows in Jinja2, as an extension for the environment:

`{% cache 600, "list", page.number %}…{% endcache %}`
`{% cache_each 600, "row", item in items by "updated" %}<li>…</li>{% endcache_each %}`
"""

from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import nodes, pass_eval_context
from jinja2.ext import Extension
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from markupsafe import Markup

from djfast.cache.fragments import each, fragment_cache, key

PERSONAL = {"csrf_input", "csrf_token"}


class Fragments(Extension):
    """The tags `cache`, like Django's, and `cache_each`, like that of `djfast.cache.fragments`."""

    tags = {"cache", "cache_each"}  # noqa: RUF012 - Jinja2 declares it without ClassVar

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse either tag.

        Raises:
            TemplateSyntaxError: the tag is malformed, or contains what cannot be cached.
        """
        tag = next(parser.stream)
        arguments = [parser.parse_expression()]
        parser.stream.expect("comma")
        arguments.append(parser.parse_expression())
        target: list[nodes.Name] = []
        if tag.value == "cache_each":
            parser.stream.expect("comma")
            target.append(parser.parse_assign_target(name_only=True))
            target[0].set_ctx("param")
            parser.stream.expect("name:in")
            arguments.append(parser.parse_expression())
            parser.stream.expect("name:by")
            arguments.append(parser.parse_expression())
        while parser.stream.skip_if("comma"):
            arguments.append(parser.parse_expression())
        body = parser.parse_statements((f"name:end{tag.value}",), drop_needle=True)
        used = {name.name for name in nodes.Template(body).find_all(nodes.Name)}
        if used & PERSONAL:
            parser.fail(f"{tag.value} caches for all users: no CSRF token can be used", tag.lineno)
        if target and "loop" in names_outside_loops(nodes.Template(body)):
            parser.fail("A row is cached for any position in the list: it has no loop", tag.lineno)
        arguments.insert(0, nodes.Const(repr(body)))
        call = self.call_method(f"_{tag.value}", arguments)
        return nodes.CallBlock(call, target, [], body).set_lineno(tag.lineno)

    @pass_eval_context
    def _cache(
        self,
        modes: EvalContext,
        body: str,
        seconds: float | None,
        *vary: Any,
        caller: Callable[[], str],
    ) -> Markup:
        cache, name = fragment_cache(), key(body, modes.autoescape, *vary)
        html = cache.get(name)
        if html is None:
            html = str(caller())
            cache.set(name, html, seconds)
        return Markup(html)

    @pass_eval_context
    def _cache_each(
        self,
        modes: EvalContext,
        body: str,
        seconds: float | None,
        name: str,
        items: Any,
        version: str,
        *vary: Any,
        caller: Callable[[Any], str],
    ) -> Markup:
        parts = [body, modes.autoescape, name, *vary]
        rows = each(items, seconds, version, parts, lambda item: str(caller(item)))
        return Markup("".join(rows))


def names_outside_loops(node: nodes.Node) -> Iterator[str]:
    """Yield the names that a template uses outside of any loop."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Name):
            yield child.name
        if not isinstance(child, nodes.For):
            yield from names_outside_loops(child)
