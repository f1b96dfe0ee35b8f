"""Rows cached one by one: a list asks the database for what has changed, and for no more.

`{% cache_each 600 "row" item in items by "updated" %}<li>…</li>{% endcache_each %}`

One slim query reads the keys and versions of `items`, one round trip the HTML of all rows; those that
are not there are fetched in one query, with whatever `items` selects and prefetches, and rendered. A row
whose version changes is another row, so nothing needs to be deleted.

A whole list needs nothing but Django's own `cache` tag: a queryset that is only read inside of it costs
no query while the fragment is kept. What a view counts or indexes is read by the view: pass it on unread.
"""

import json
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import repeat
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, InvalidCacheBackendError, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.exceptions import ObjectDoesNotExist
from django.core.paginator import Page
from django.db.models import Model, QuerySet
from django.template import Context, Library, Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token
from django.template.defaulttags import CsrfTokenNode, CycleNode
from django.urls import get_script_prefix, get_urlconf
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from speed import Finding
from speed.release import build

ALIAS = "template_fragments"  # of Django's `cache` tag, too

register = Library()


def store() -> BaseCache:
    """Return the cache that Django's `cache` tag would take."""
    try:
        return caches[ALIAS]
    except InvalidCacheBackendError:
        return caches["default"]


def plain(part: Any) -> Any:
    """Return what stands for a part of a key that JSON has nothing for: for an object, not its name."""
    return [part._meta.label, part.pk] if isinstance(part, Model) else str(part)


encode = json.JSONEncoder(default=plain).encode


def digest(parts: Iterable[Any]) -> Any:
    """Return a hash of `parts`, and of what else HTML depends on: the release, and what is active."""
    language = get_language() if settings.USE_I18N else None
    places = str(get_urlconf()), get_script_prefix(), get_current_timezone_name()
    return blake2b(encode([build(), language, places, *parts]).encode(), digest_size=20)


def key(*parts: Any) -> str:
    """Return the key of a fragment that depends on `parts`; a string is never taken for a number."""
    return f"fragment.{digest(parts).hexdigest()}"


def each(
    items: Any, seconds: float | None, version: str, parts: Iterable[Any], row: Callable[[Any], str]
) -> list[str]:
    """Return the HTML of each of `items`, in their order.

    Args:
        items: a queryset or a page of one, best not read yet; or model objects; or None.
        seconds: that a row is kept; None: for ever.
        version: the field that changes whenever a row does; or several, as in "updated, category__updated".
        parts: what else the rows depend on: a name, the source of a row, the visitor's group.
        row: makes the HTML of an object.

    Raises:
        ValueError: rows are no model objects, or have no such field.
        FieldError: nor has the model.
    """
    cache, fields = store(), version.replace(",", " ").split()
    if not fields:
        raise ValueError("Name, in quotes, the field by which a row is known to have changed.")
    if items is None:
        return []
    items = items.object_list if isinstance(items, Page) else items
    if isinstance(items, QuerySet) and getattr(items, "_fields", None) is not None:
        raise ValueError("Rows are cached by the keys of objects: leave out values().")
    if lazy := isinstance(items, QuerySet) and separable(items):
        slim: Any = items.values_list("pk", *fields)
        origins: Iterable[Any] = repeat([items.model._meta.label, items.db])
    else:
        items = list(items)
        slim = [[field(item, name) for name in ("pk", *fields)] for item in items]
        origins = [[item._meta.label, item._state.db] for item in items]
    if isinstance(cache, DummyCache):  # development: what is wrong is told, and nothing is kept
        return [row(item) for item in items]
    common, names = digest(parts), {}
    for found, origin in zip(slim, origins, strict=False):
        own = common.copy()
        own.update(encode([*origin, *found]).encode())
        names[found[0]] = f"fragment.{own.hexdigest()}"
    if len(names.keys() - {None}) < len(slim):  # a key that stands for several rows, or for none
        return [row(item) for item in items]
    html: dict[str, str] = cache.get_many(names.values())
    missing = [pk for pk, name in names.items() if name not in html]
    objects = {} if lazy else {item.pk: item for item in items}
    if lazy and missing:
        whole = items.all()
        whole.query.clear_limits()  # Django filters no slice, and these keys are of the slice
        whole.query.clear_ordering(force=True)
        objects = {item.pk: item for item in whole.filter(pk__in=missing)}
    made = {names[pk]: str.__str__(row(objects[pk])) for pk in missing if pk in objects}
    if made:
        cache.set_many(made, seconds)
        html |= made
    return [html[name] for name in names.values() if name in html]  # else it was deleted since


def separable(items: QuerySet[Any]) -> bool:
    """Say whether a row that is fetched alone is the same as in the list, and the list was not read."""
    query: Any = items.query
    windows = any(getattr(one, "contains_over_clause", 0) for one in query.annotations.values())
    return items._result_cache is None and not query.combinator and not windows


def field(item: Any, path: str) -> Any:
    """Return the value of a field, or of one of a related object: `category__updated`."""
    for name in path.split("__"):
        try:
            item = getattr(item, name)
        except ObjectDoesNotExist:  # the other side of a one-to-one field
            return None
        except AttributeError:
            if item is None:
                return None
            raise ValueError(f"{type(item).__name__} has no {name!r} to know a row by.") from None
    return item


class Placeless:
    """The `forloop` of a row that is kept for any place."""

    def refuse(self, name: Any = "") -> Any:
        raise TemplateSyntaxError(
            "A row in cache_each is kept for any place in the list: it has no forloop, and no"
            " ifchanged. Number rows with CSS, or use for."
        )

    __contains__ = __getattr__ = __getitem__ = __str__ = refuse


class EachNode(Node):
    """The rows of a list."""

    child_nodelists = ("nodelist", "empty")

    def __init__(
        self,
        nodelist: NodeList,
        empty: NodeList,
        written: list[Any],
        variable: str,
        items: FilterExpression,
        arguments: list[FilterExpression],
    ) -> None:
        self.nodelist = nodelist
        self.empty = empty
        self.written = written
        self.variable = variable
        self.items = items
        self.arguments = arguments

    def render(self, context: Context) -> str:
        """Render the rows that are not kept."""
        seconds, version, *vary = (given.resolve(context) for given in self.arguments)
        if not isinstance(seconds, int | float | None) or not isinstance(version, str):
            raise TemplateSyntaxError(
                f"cache_each takes seconds, or None, and the name of a field: {seconds!r}, {version!r}"
            )
        items = self.items.resolve(context, ignore_failures=True)
        modes = context.autoescape, context.use_l10n, context.use_tz
        parts = [*self.written, modes, *vary]
        with context.push(forloop=Placeless()):

            def row(item: Any) -> str:
                context[self.variable] = item
                return self.nodelist.render(context)

            rows = each(items, seconds, version, parts, row)
        return "".join(rows) if rows else self.empty.render(context)


@register.tag
def cache_each(parser: Parser, token: Token) -> EachNode:
    """Parse `cache_each SECONDS NAME VARIABLE in ITEMS by VERSION [what else a row depends on …]`.

    A row sees all of the context, but must depend on nothing else than the object, what is named after
    the version, and what all visitors share. As in a loop, rows may be followed by `empty`.

    Raises:
        TemplateSyntaxError: it is written otherwise, or a row holds what cannot be kept.
    """
    tag, *bits = token.split_contents()
    if len(bits) < 7 or bits[3] != "in" or bits[5] != "by" or not bits[2].isidentifier():
        raise TemplateSyntaxError(
            f'{tag!r} is written as: {tag} 600 "row" item in items by "updated" what_else'
        )
    seconds, name, variable, _, items, _, *rest = bits
    tokens: Any = parser.tokens
    before = [*tokens]
    nodelist = parser.parse(("empty", f"end{tag}"))
    inside = before[len(tokens) :]  # what comes next stands last
    written = [name.strip("\"'"), [(part.token_type.value, part.contents) for part in inside]]
    empty = NodeList()
    if parser.next_token().contents == "empty":
        empty = parser.parse((f"end{tag}",))
        parser.delete_first_token()
    for node in nodelist.get_nodes_by_type((CsrfTokenNode, CycleNode)):  # type: ignore[arg-type]
        raise TemplateSyntaxError(
            f"{node.token.contents!r} cannot stand in {tag}: a row is kept for any visitor and place."  # type: ignore[union-attr]
        )
    arguments = [parser.compile_filter(bit) for bit in (seconds, *rest)]
    return EachNode(nodelist, empty, written, variable, parser.compile_filter(items), arguments)


def finding() -> Finding:
    """Say whether templates have the tag, and where rows are kept."""
    from django.template import engines

    django: Any = engines["django"].engine  # type: ignore[attr-defined]
    known = any("cache_each" in library.tags for library in django.template_builtins)
    for engine in engines.all():
        environment: Any = getattr(engine, "env", None)  # of Jinja2
        if environment and f"{__name__}_jinja2.Fragments" not in environment.extensions:
            known = False
    if known and isinstance(store(), DummyCache):
        return None, lambda: "development keeps no rows"
    return known, lambda: f"rows are kept by {type(store()).__name__}"
