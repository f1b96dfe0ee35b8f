"""The same for Jinja2: `{% cache 600, "list", page.number %}…{% endcache %}`, and the rows of a list:

`{% cache_each 600, "row", item in items by "updated" %}<li>…</li>{% endcache_each %}`
"""

from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import nodes, pass_eval_context
from jinja2.ext import Extension
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from markupsafe import Markup

from speed.fragments import each, key, store

PERSONAL = {"csrf_input", "csrf_token"}


class Fragments(Extension):
    """Brings the tag `cache`, as Django's, and `cache_each` of `speed.fragments`."""

    tags = {"cache", "cache_each"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse either tag.

        Raises:
            TemplateSyntaxError: it is written otherwise than above, or holds what cannot be kept.
        """
        tag = next(parser.stream)
        given = [parser.parse_expression()]
        parser.stream.expect("comma")
        given.append(parser.parse_expression())
        target: list[nodes.Name] = []
        if tag.value == "cache_each":
            parser.stream.expect("comma")
            target.append(parser.parse_assign_target(name_only=True))
            target[0].set_ctx("param")
            parser.stream.expect("name:in")
            given.append(parser.parse_expression())
            parser.stream.expect("name:by")
            given.append(parser.parse_expression())
        while parser.stream.skip_if("comma"):
            given.append(parser.parse_expression())
        body = parser.parse_statements((f"name:end{tag.value}",), drop_needle=True)
        used = {name.name for name in nodes.Template(body).find_all(nodes.Name)}
        if used & PERSONAL:
            parser.fail(f"{tag.value} keeps this for all visitors: no csrf token here", tag.lineno)
        if target and "loop" in outside_loops(nodes.Template(body)):
            parser.fail("A row is kept for any place in the list: it has no loop", tag.lineno)
        given.insert(0, nodes.Const(repr(body)))
        call = self.call_method(f"_{tag.value}", given)
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
        cache, name = store(), key(body, modes.autoescape, *vary)
        made = cache.get(name)
        if made is None:
            made = str(caller())
            cache.set(name, made, seconds)
        return Markup(made)

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


def outside_loops(node: nodes.Node) -> Iterator[str]:
    """Give the names that are used outside of any loop."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Name):
            yield child.name
        if not isinstance(child, nodes.For):
            yield from outside_loops(child)
