"""Cached list rows: a list queries and renders only the rows that have changed.

`{% cache_each 600 "row" item in items by "updated" %}<li>…</li>{% endcache_each %}`

One slim query reads the primary keys and versions of `items`, and one round trip to the cache reads the
HTML of all rows. Missing rows are fetched in one query, with what `items` selects and prefetches, and
rendered. The version is part of the cache key, so nothing has to be invalidated.

For a whole list, use Django's own `cache` tag: a queryset that is only evaluated inside the tag causes
no query while the fragment is cached. So the view must not evaluate it, for example to count it.
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

from djfast.cache.release import build

ALIAS = "template_fragments"  # which Django's `cache` tag uses, too

register = Library()


def fragment_cache() -> BaseCache:
    """Return the cache that Django's `cache` tag uses."""
    try:
        return caches[ALIAS]
    except InvalidCacheBackendError:
        return caches["default"]


def serializable(part: Any) -> Any:
    """Return a part of a key as JSON can encode it: the label and primary key of a model object."""
    return [part._meta.label, part.pk] if isinstance(part, Model) else str(part)


encode = json.JSONEncoder(default=serializable).encode


def digest(parts: Iterable[Any]) -> Any:
    """Return a hash object over `parts` and the global state that HTML depends on."""
    language = get_language() if settings.USE_I18N else None
    urls = str(get_urlconf()), get_script_prefix(), get_current_timezone_name()
    return blake2b(encode([build(), language, urls, *parts]).encode(), digest_size=20)


def key(*parts: Any) -> str:
    """Return the cache key of a fragment that depends on `parts`; "1" and 1 give different keys."""
    return f"djfast.fragment.{digest(parts).hexdigest()}"


def each(
    items: Any, seconds: float | None, version: str, parts: Iterable[Any], row: Callable[[Any], str]
) -> list[str]:
    """Return the HTML of each of `items`, in their order.

    Args:
        items: a queryset or a page of one, preferably not evaluated yet; or model objects; or None.
        seconds: the timeout of a cached row; None: no timeout.
        version: the field that changes whenever a row does; or several: "updated, category__updated".
        parts: what else the rows depend on: a name, the template source of a row, the user's group.
        row: renders an object.

    Raises:
        ValueError: the items are not model objects, or have no such field.
        FieldError: the model of the queryset has no such field.
    """
    cache, fields = fragment_cache(), version.replace(",", " ").split()
    if not fields:
        raise ValueError('Write the field that changes with a row, in quotes: by "updated".')
    if items is None:
        return []
    items = items.object_list if isinstance(items, Page) else items
    if isinstance(items, QuerySet) and getattr(items, "_fields", None) is not None:
        raise ValueError("Rows are cached by the keys of objects: leave out values().")
    lazy = isinstance(items, QuerySet) and separable(items)
    items = items if lazy else list(items)
    slim, origins = slim_rows(items, fields, lazy)
    if isinstance(cache, DummyCache):  # after the checks above, so that development reports errors
        return [row(item) for item in items]
    names = row_keys(slim, origins, parts)
    if len(names.keys() - {None}) < len(slim):  # primary keys that are missing, or not unique
        return [row(item) for item in items]
    html: dict[str, str] = cache.get_many(names.values())
    missing = [pk for pk, name in names.items() if name not in html]
    objects = fetch(items, missing) if lazy else {item.pk: item for item in items}
    rendered = {names[pk]: str.__str__(row(objects[pk])) for pk in missing if pk in objects}
    if rendered:
        cache.set_many(rendered, seconds)
        html |= rendered
    # A row without HTML was deleted between the two queries.
    return [html[name] for name in names.values() if name in html]


def separable(items: QuerySet[Any]) -> bool:
    """Return whether a row is the same fetched alone as in the list, and the list is not evaluated."""
    query: Any = items.query
    windows = any(getattr(one, "contains_over_clause", 0) for one in query.annotations.values())
    return items._result_cache is None and not query.combinator and not windows


def field(item: Any, path: str) -> Any:
    """Return the value of a field, or of a field of a related object: `category__updated`."""
    for name in path.split("__"):
        try:
            item = getattr(item, name)
        except ObjectDoesNotExist:  # the reverse side of a one-to-one field
            return None
        except AttributeError:
            if item is None:
                return None
            raise ValueError(f"{type(item).__name__} has no field {name!r}: fix `by`.") from None
    return item


def slim_rows(items: Any, fields: list[str], lazy: bool) -> tuple[Any, Iterable[Any]]:
    """Return the primary key and the versions of each row, and the model and database of each.

    Args:
        items: a queryset, or objects.
        fields: names of the versions.
        lazy: whether `items` is an unevaluated queryset; a small query then reads the versions.
    """
    if lazy:
        return items.values_list("pk", *fields), repeat([items.model._meta.label, items.db])
    slim = [[field(item, name) for name in ("pk", *fields)] for item in items]
    return slim, [[item._meta.label, item._state.db] for item in items]


def row_keys(slim: Iterable[Any], origins: Iterable[Any], parts: Iterable[Any]) -> dict[Any, str]:
    """Return the cache key of each row by its primary key.

    Args:
        slim: of each row, its primary key and its versions.
        origins: of each row, its model and its database.
        parts: what all rows depend on.
    """
    common, names = digest(parts), {}
    for found, origin in zip(slim, origins, strict=False):
        own = common.copy()
        own.update(encode([*origin, *found]).encode())
        names[found[0]] = f"djfast.fragment.{own.hexdigest()}"
    return names


def fetch(items: QuerySet[Any], pks: list[Any]) -> dict[Any, Any]:
    """Return objects of a queryset by primary key, with what it selects and prefetches."""
    if not pks:
        return {}
    whole = items.all()
    whole.query.clear_limits()  # Django cannot filter a slice; these keys are of its rows
    whole.query.clear_ordering(force=True)
    return {item.pk: item for item in whole.filter(pk__in=pks)}


class NoForLoop:
    """The `forloop` of a cached row, which may be reused at any position of any list."""

    def refuse(self, name: Any = "") -> Any:
        """Raise the error that explains it."""
        raise TemplateSyntaxError(
            "A row in cache_each is cached for any position in the list: it has no forloop, and no"
            " ifchanged. Number rows with CSS, or use for."
        )

    __contains__ = __getattr__ = __getitem__ = __str__ = refuse


class EachNode(Node):
    """The node of `cache_each`."""

    child_nodelists = ("nodelist", "empty")

    def __init__(
        self,
        nodelist: NodeList,
        empty: NodeList,
        source: list[Any],
        variable: str,
        items: FilterExpression,
        arguments: list[FilterExpression],
    ) -> None:
        self.nodelist = nodelist
        self.empty = empty
        self.source = source
        self.variable = variable
        self.items = items
        self.arguments = arguments

    def render(self, context: Context) -> str:
        """Return the HTML of all rows, rendering those that are not cached."""
        seconds, version, *vary = (given.resolve(context) for given in self.arguments)
        if not isinstance(seconds, int | float | None) or not isinstance(version, str):
            raise TemplateSyntaxError(
                f"cache_each takes seconds, or None, and the name of a field: {seconds!r}, {version!r}"
            )
        items = self.items.resolve(context, ignore_failures=True)
        modes = context.autoescape, context.use_l10n, context.use_tz
        parts = [*self.source, modes, *vary]
        with context.push(forloop=NoForLoop()):

            def row(item: Any) -> str:
                context[self.variable] = item
                return self.nodelist.render(context)

            rows = each(items, seconds, version, parts, row)
        return "".join(rows) if rows else self.empty.render(context)


@register.tag
def cache_each(parser: Parser, token: Token) -> EachNode:
    """Parse `cache_each SECONDS NAME VARIABLE in ITEMS by VERSION [what else a row depends on …]`.

    A row can use the whole context, but must depend on nothing except the object, the values after the
    version, and what is the same for all users. As in `for`, an `empty` clause may follow the row.

    Raises:
        TemplateSyntaxError: the tag is malformed, or a row contains what cannot be cached.
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
    inside = before[len(tokens) :]  # the parser pops the next token from the end
    source = [name.strip("\"'"), [(part.token_type.value, part.contents) for part in inside]]
    empty = NodeList()
    if parser.next_token().contents == "empty":
        empty = parser.parse((f"end{tag}",))
        parser.delete_first_token()
    for node in nodelist.get_nodes_by_type((CsrfTokenNode, CycleNode)):  # type: ignore[arg-type]
        raise TemplateSyntaxError(
            f"{node.token.contents!r} cannot be used in {tag}: "  # type: ignore[union-attr]
            "a row is cached for any user and any position."
        )
    arguments = [parser.compile_filter(bit) for bit in (seconds, *rest)]
    return EachNode(nodelist, empty, source, variable, parser.compile_filter(items), arguments)
