"""URL reversing that compiles each name once, where Django searches and interprets on every call.

Among the `builtins` of Django's engine this module is the `url` tag of all its templates; `url` is for
the globals of Jinja2, `reverse` for Python code. Addresses and errors are those of Django's `reverse`.
What is compiled depends on the URLconf alone: arguments are never remembered.
"""

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Any
from urllib.parse import quote

from django.template import Context, Library, defaulttags, engines
from django.template.base import Parser, Token
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

from speed import Finding, in_templates

LIMIT = 4096  # per URLconf: names, times current applications, script prefixes and languages
NAMES = {str, SafeString}  # what a literal in a template is; another class may compare unlike str
# Their `to_url` is str().
PLAIN = {IntConverter, PathConverter, SlugConverter, StringConverter, UUIDConverter}
SAFE = RFC3986_SUBDELIMS + "/~:@"  # what Django leaves unquoted, beside letters, digits and "_.-"
UNSET = object()

must_quote = re.compile(f"[^A-Za-z0-9_.{re.escape(SAFE)}-]").search
register = Library()

# One way to write an address: the names of its arguments; the same as a set; what converts them, empty
# where str() does; names with a default; the address with %s for each argument; what tells whether it
# leads back to the view when they are filled in.
Form = tuple[
    list[str],
    frozenset[str],
    list[Callable[[Any], Any]],
    frozenset[str],
    str,
    Callable[[str], object],
]


class Forms(dict[tuple[Any, ...], tuple[Form, ...]]):
    """The names of one URLconf, each compiled when it is first asked for.

    An attribute of the resolver that Django keeps for the URLconf: Django forgets both together. Two
    threads may compile the same name at the same time; the results are equal.
    """

    def __init__(self, resolver: URLResolver) -> None:
        super().__init__()
        self.resolver = resolver
        self.translated = translated(resolver)

    def __missing__(self, key: tuple[Any, ...]) -> tuple[Form, ...]:
        name, current_app, prefix, _ = key
        forms = tuple(compiled(self.resolver, name, current_app, prefix))
        if forms:  # names that do not exist are without number
            if len(self) >= LIMIT:
                self.clear()
            self[key] = forms
        return forms


def translated(resolver: URLResolver) -> bool:
    """Tell whether addresses may depend on the language; with classes not Django's own, they may."""
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
    """Compile what a name stands for, in the order in which Django tries it.

    Namespaces are looked up as in `django.urls.reverse`, the rest is `URLResolver`'s.

    Raises:
        LookupError, ValueError, re.error: Django has to say what is wrong.
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
            yield params, names, converts, frozenset(defaults), text, matches


def reverse(
    viewname: Any,
    urlconf: Any = None,
    args: Any = None,
    kwargs: Any = None,
    current_app: str | None = None,
    **extra: Any,
) -> str:
    """Do what `django.urls.reverse` does with the same arguments.

    Raises:
        NoReverseMatch: no pattern of that name takes the arguments.
    """
    try:
        given: Any = args or ()
        named: Any = kwargs or {}
        if type(viewname) in NAMES and type(named) is dict and not (given and named) and not extra:
            resolver: Any = get_resolver(get_urlconf() if urlconf is None else urlconf)
            try:
                kept = resolver.speed_forms
            except AttributeError:
                kept = resolver.speed_forms = Forms(resolver)
            language = get_language() if kept.translated else None
            forms = kept[viewname, current_app, get_script_prefix(), language]
            for params, names, converts, optional, text, matches in forms:
                if given:
                    if len(given) != len(params):
                        continue
                    values = given
                elif named.keys() == names:
                    values = [named[param] for param in params]
                elif (named.keys() ^ names) - optional:
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
    return django_reverse(viewname, urlconf, args, kwargs, current_app, **extra)


def url(name: Any, /, *args: Any, **kwargs: Any) -> str:
    """Like Django's `url` tag, for Jinja2: `url("item", 3)`, `url("item", pk=3)`."""
    return reverse(name, None, args, kwargs)


class URLNode(defaulttags.URLNode):
    """Django's node, with the `reverse` of this module."""

    def render(self, context: Context) -> str:
        """Return the address, or put it into the variable that `as` names."""
        args = [arg.resolve(context) for arg in self.args]
        kwargs = {name: value.resolve(context) for name, value in self.kwargs.items()}
        return self.render_url(context, self.view_name.resolve(context), args, kwargs)

    def render_url(
        self, context: Context, name: Any, args: list[Any], kwargs: dict[str, Any]
    ) -> str:
        """Do the same with what the name and the arguments stand for."""
        request = getattr(context, "request", None)
        current_app: Any = getattr(request, "current_app", UNSET)
        if current_app is UNSET:
            current_app = getattr(getattr(request, "resolver_match", None), "namespace", None)
        path = ""
        try:
            path = reverse(name, None, args, kwargs, current_app)
        except NoReverseMatch:
            if self.asvar is None:
                raise
        if self.asvar:
            context[self.asvar] = path
            return ""
        return SafeString(escape(path)) if context.autoescape else path


@register.tag("url")
def tag(parser: Parser, token: Token) -> URLNode:
    """Parse as Django does."""
    node: Any = defaulttags.url(parser, token)
    return URLNode(node.view_name, node.args, node.kwargs, node.asvar)


def finding() -> Finding:
    """Look at the tag that templates get, and at the function of a Jinja2 environment."""
    used = [one is tag for one in in_templates("tags", "url")]
    environments: list[Any] = [engine.env for engine in engines.all() if hasattr(engine, "env")]
    used += [environment.globals.get("url") is url for environment in environments]
    kept = getattr(get_resolver(), "speed_forms", ())
    return all(used), lambda: f"{len(kept)} names compiled in this process"
