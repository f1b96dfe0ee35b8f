"""URL reversing that compiles each name once, where Django searches and interprets on every call.

In the `builtins` of Django's template engine this module replaces the `url` tag of all templates; `url`
is for the globals of Jinja2, `reverse` for Python code. URLs and errors are those of Django's `reverse`.
What is compiled depends on the URLconf alone: arguments are never stored.

`compiled`, `reverse` and `URLNode` are adapted from django.urls.base, django.urls.resolvers and
django.template.defaulttags.
Copyright (c) Django Software Foundation and individual contributors, BSD-3-Clause: see LICENSE.
"""

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, NamedTuple
from urllib.parse import quote

from django.template import Context, Library, Node, defaulttags
from django.template.base import FilterExpression, Parser, Token
from django.urls import NoReverseMatch, get_resolver, get_script_prefix, get_urlconf
from django.urls import reverse as django_reverse
from django.urls.converters import (
    IntConverter,
    PathConverter,
    SlugConverter,
    StringConverter,
    UUIDConverter,
)
from django.urls.resolvers import (
    RegexPattern,
    RoutePattern,
    URLPattern,
    URLResolver,
    get_ns_resolver,
)
from django.utils.http import RFC3986_SUBDELIMS, escape_leading_slashes
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from djfast import engine

REPLACES = {
    "django.template.defaulttags.URLNode.__init__": "6d2120e48e2b",
    "django.template.defaulttags.URLNode.render": "cc43749b9f6b",
    "django.template.defaulttags.url": "2651bcbaaeb4",
    "django.urls.base.reverse": "e83750a3b0d3",
    "django.urls.reverse": "e83750a3b0d3",  # what the tag imports
    "django.urls.converters.IntConverter.to_url": "fc1e65a0f9cf",
    "django.urls.converters.StringConverter.to_url": "a9e54b863714",
    "django.urls.converters.UUIDConverter.to_url": "fc1e65a0f9cf",
    "django.urls.resolvers.LocaleRegexDescriptor.__get__": "9c5aed7a82fe",
    "django.urls.resolvers.LocaleRegexRouteDescriptor.__get__": "155e339e9863",
    "django.urls.resolvers.URLResolver._populate": "b7944b459f23",
    "django.urls.resolvers.URLResolver._reverse_with_prefix": "143b033b7c43",
    "django.urls.resolvers.URLResolver.app_dict": "05e5eeca7ab0",
    "django.urls.resolvers.URLResolver.namespace_dict": "581c9b938ae0",
    "django.urls.resolvers.URLResolver.reverse_dict": "c980089a3040",
    "django.urls.resolvers._get_cached_resolver": "6ea098cc6cc5",
    "django.urls.resolvers.get_ns_resolver": "b0fb78885d7f",
    "django.utils.html.conditional_escape": "c523b71e2b07",
    "django.utils.html.escape": "ec132a1d83b8",
}
LIMIT = 4096  # forms per URLconf: names, times current applications, script prefixes and languages
# The types of a literal in a template; a string of another class may compare unlike str.
NAMES = {str, SafeString}
# Their `to_url` is str().
PLAIN = {IntConverter, PathConverter, SlugConverter, StringConverter, UUIDConverter}
SAFE = RFC3986_SUBDELIMS + "/~:@"  # what Django leaves unquoted, beside letters, digits and "_.-"
UNSET = object()

must_quote = re.compile(f"[^A-Za-z0-9_.{re.escape(SAFE)}-]").search
register = Library()


class Form(NamedTuple):
    """One way to write the URL of a name.

    Attributes:
        params: the names of the arguments, in order.
        names: the same as a set.
        converts: one function per argument, or none if `str` does for all of them.
        optional: the names of arguments that have a default.
        text: the URL with %s for each argument.
        matches: whether a URL made from `text` leads back to the view.
    """

    params: list[str]
    names: frozenset[str]
    converts: list[Callable[[Any], Any]]
    optional: frozenset[str]
    text: str
    matches: Callable[[str], object]


class Forms(dict[tuple[Any, ...], tuple[Form, ...]]):
    """The names of one URLconf, each compiled when it is first used.

    An attribute of the resolver that Django caches for the URLconf, so that both are discarded together.
    Two threads may compile the same name at the same time; the results are equal.
    """

    def __init__(self, resolver: URLResolver) -> None:
        super().__init__()
        self.resolver = resolver
        self.translated = translated(resolver)

    def __missing__(self, key: tuple[Any, ...]) -> tuple[Form, ...]:
        name, current_app, prefix, _ = key
        forms = tuple(compiled(self.resolver, name, current_app, prefix))
        if forms:  # there is no limit to the names that do not exist
            if len(self) >= LIMIT:
                self.clear()
            self[key] = forms
        return forms


def translated(resolver: URLResolver) -> bool:
    """Return whether URLs may depend on the language; with classes that are not Django's, they may."""
    todo, seen = [resolver], {resolver}
    while todo:
        for node in todo.pop().url_patterns:
            route = getattr(node.pattern, "_route", getattr(node.pattern, "_regex", None))
            if (
                type(node) not in (URLPattern, URLResolver)
                or type(node.pattern) not in (RegexPattern, RoutePattern)
                or not isinstance(route, str)  # a lazy translation
            ):
                return True
            if isinstance(node, URLResolver) and node not in seen:
                seen.add(node)
                todo.append(node)
    return False


def compiled(resolver: Any, name: str, current_app: str | None, prefix: str) -> Iterator[Form]:
    """Compile the patterns of a name, in the order in which Django tries them.

    Namespaces are looked up as in `django.urls.reverse`, the rest as in `URLResolver`.

    Raises:
        LookupError, ValueError, re.error: Django has to report what is wrong.
    """
    *path, view = name.split(":")
    current = current_app.split(":")[::-1] if current_app else []
    outer, inherited = "", {}
    for namespace in path:
        wanted = current.pop() if current else None
        instances = resolver.app_dict.get(namespace)
        if instances and wanted and wanted in instances:
            namespace = wanted
        elif instances and namespace not in instances:
            namespace = instances[0]
        if namespace != wanted:
            current = []
        pattern, resolver = resolver.namespace_dict[namespace]
        outer += pattern
        inherited.update(resolver.pattern.converters)
    if outer:
        resolver = get_ns_resolver(outer, resolver, tuple(inherited.items()))

    for candidates, pattern, defaults, converters in resolver.reverse_dict.getlist(view):
        matches = re.compile(f"^{re.escape(prefix)}{pattern}").search
        for text, params in candidates:
            names = frozenset(params)
            if len(names) < len(params):
                raise ValueError("an argument stands in two places")
            converts = [converters[p].to_url if p in converters else str for p in params]
            if all(type(converters[p]) in PLAIN for p in names & converters.keys()):
                converts = []
            # To Django, %% stands for a percent sign. It still does when the names are gone.
            text = (prefix.replace("%", "%%") + text).replace("%%", "%%%%")
            text %= dict.fromkeys(params, "%s")
            yield Form(params, names, converts, frozenset(defaults), text, matches)


def reverse(
    viewname: Any,
    urlconf: Any = None,
    args: Any = None,
    kwargs: Any = None,
    current_app: str | None = None,
    **extra: Any,
) -> str:
    """Return what `django.urls.reverse` returns for the same arguments.

    Raises:
        NoReverseMatch: no pattern of that name takes the arguments.
    """
    if extra or not engine.active("urls"):
        return django_reverse(viewname, urlconf, args, kwargs, current_app, **extra)
    return compiled_reverse(viewname, urlconf, args, kwargs, current_app)


def compiled_reverse(
    viewname: Any, urlconf: Any, args: Any, kwargs: Any, current_app: str | None
) -> str:
    """Do what `reverse` does, whether or not this module is active."""
    try:
        args = args or ()
        kwargs = kwargs or {}
        if type(viewname) in NAMES and type(kwargs) is dict and not (args and kwargs):
            resolver: Any = get_resolver(get_urlconf() if urlconf is None else urlconf)
            try:
                known = resolver._djfast_forms
            except AttributeError:
                known = resolver._djfast_forms = Forms(resolver)
            language = get_language() if known.translated else None
            forms = known[viewname, current_app, get_script_prefix(), language]
            for params, names, converts, optional, text, matches in forms:
                if args:
                    if len(args) != len(params):
                        continue
                    values = args
                elif kwargs.keys() == names:
                    values = [kwargs[param] for param in params]
                elif (kwargs.keys() ^ names) - optional:
                    continue
                else:  # a default takes the place of an argument
                    break
                if converts:
                    values = [convert(v) for convert, v in zip(converts, values, strict=True)]
                path = text % tuple(values)
                if matches(path):
                    if must_quote(path):
                        path = quote(path, safe=SAFE)
                    return escape_leading_slashes(path)
    except (LookupError, TypeError, ValueError, re.error):
        pass  # whatever it is, Django has the right answer or the right error
    return django_reverse(viewname, urlconf, args, kwargs, current_app)


def url(name: Any, /, *args: Any, **kwargs: Any) -> str:
    """Return a URL in Jinja2, as Django's `url` tag does: `url("item", 3)`, `url("item", pk=3)`."""
    return reverse(name, None, args, kwargs)


class URLNode(defaulttags.URLNode):
    """Django's node with the `reverse` of this module; a compiled loop evaluates its arguments."""

    # What Django's __init__ sets.
    view_name: FilterExpression
    args: list[FilterExpression]
    kwargs: dict[str, FilterExpression]
    asvar: str | None

    def render(self, context: Context) -> str:
        """Return the URL, or store it in the variable that `as` names."""
        args = [arg.resolve(context) for arg in self.args]
        kwargs = {name: value.resolve(context) for name, value in self.kwargs.items()}
        return self.djfast_render(context, *args, self.view_name.resolve(context), **kwargs)

    def djfast_expressions(self) -> list[tuple[str, FilterExpression]]:
        """Return the arguments of `djfast_render`, in the order in which Django resolves them."""
        return [*(("", arg) for arg in self.args), *self.kwargs.items(), ("", self.view_name)]

    def djfast_render(self, context: Context, /, *args: Any, **kwargs: Any) -> str:
        """Return what `render` returns; the name of the pattern is the last positional argument."""
        request = getattr(context, "request", None)
        current_app: Any = getattr(request, "current_app", UNSET)
        if current_app is UNSET:
            current_app = getattr(getattr(request, "resolver_match", None), "namespace", None)
        path = ""
        try:
            path = compiled_reverse(args[-1], None, args[:-1], kwargs, current_app)
        except NoReverseMatch:
            if self.asvar is None:
                raise
        if self.asvar:
            context[self.asvar] = path
            return ""
        return SafeString(escape(path)) if context.autoescape else path


@register.tag("url")
def tag(parser: Parser, token: Token) -> Node:
    """Parse as Django does."""
    parsed: Any = defaulttags.url(parser, token)
    node: Node = parsed
    if engine.active("urls"):
        node = URLNode(parsed.view_name, parsed.args, parsed.kwargs, parsed.asvar)
    return node


def evidence() -> str:
    """Return what this module did in this process."""
    return f"{len(getattr(get_resolver(), '_djfast_forms', ()))} names compiled in this process"
