"""The same for Jinja2: `{% cache 600, "list", page.number %}…{% endcache %}`, and the rows of a list:

`{% cache_each 600, "row", item in items by "updated" %}<li>…</li>{% endcache_each %}`
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast
from weakref import WeakKeyDictionary

from jinja2 import BaseLoader, Environment, Template, TemplateNotFound, nodes, pass_context
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from markupsafe import Markup

from speed.fragments import each, key, store

PERSONAL = {"csrf_input", "csrf_token"}
PARTS = (nodes.FromImport, nodes.Import, nodes.Include)


class Fragments(Extension):
    """Brings the tag `cache`, as Django's, and `cache_each` of `speed.fragments`."""

    tags = {"cache", "cache_each"}  # noqa: RUF012 - jinja2 declares it so

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.parts: WeakKeyDictionary[Template, list[str]] = WeakKeyDictionary()

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
        given[:0] = [nodes.Const(repr(body)), nodes.Const(parser.name)]  # edited, it is another one
        call = self.call_method(f"_{tag.value}", given)
        return nodes.CallBlock(call, target, [], body).set_lineno(tag.lineno)

    @pass_context
    def _cache(
        self,
        context: Context,
        body: str,
        template: str | None,
        seconds: float | None,
        *vary: Any,
        caller: Callable[[], str],
    ) -> Markup:
        cache, name = store(), key(*self.written(context, body, template), *vary)
        made = cache.get(name)
        if made is None:
            made = str(caller())
            cache.set(name, made, seconds)
        return Markup(made)

    @pass_context
    def _cache_each(
        self,
        context: Context,
        body: str,
        template: str | None,
        seconds: float | None,
        name: str,
        items: Any,
        version: str,
        *vary: Any,
        caller: Callable[[Any], str],
    ) -> Markup:
        parts = [*self.written(context, body, template), name, *vary]
        rows = each(items, seconds, version, parts, lambda item: str(caller(item)))
        return Markup("".join(rows))

    def written(self, context: Context, body: str, name: str | None) -> list[Any]:
        """Return the source of a fragment, whether it escapes, and the source of what it may call."""
        called, loader = [], self.environment.loader
        if name and loader and loader.has_source_access:
            template = self.environment.get_template(name)  # a new one, when it was edited
            if template not in self.parts:
                self.parts[template] = [*self.sources(name, {name})]
            called = self.parts[template]
        return [body, context.eval_ctx.autoescape, called]

    def sources(self, name: str, seen: set[str]) -> Iterator[str]:
        """Give the source of all that a template includes or imports by a fixed name, and so on."""
        environment, loader = self.environment, cast(BaseLoader, self.environment.loader)
        tree = environment.parse(loader.get_source(environment, name)[0], name)
        for part in tree.find_all(PARTS):
            given = part.template  # type: ignore[attr-defined]
            if isinstance(given, nodes.Const) and isinstance(given.value, str):
                other = environment.join_path(given.value, name)
                if other not in seen:
                    seen.add(other)
                    with suppress(TemplateNotFound):
                        yield loader.get_source(environment, other)[0]
                        yield from self.sources(other, seen)


def outside_loops(node: nodes.Node) -> Iterator[str]:
    """Give the names that are used outside of any loop."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Name):
            yield child.name
        if not isinstance(child, nodes.For):
            yield from outside_loops(child)
