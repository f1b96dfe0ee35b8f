"""A plain Jinja2 environment, so that advice can compare the engines in any project."""

from typing import Any

from django.template.defaultfilters import date
from django.templatetags.static import static
from django.urls import reverse
from jinja2 import Environment


def environment(**options: Any) -> Environment:
    """Build the environment that `TEMPLATES` names; `options` are Django's own."""
    environment = Environment(**options)
    environment.filters["date"] = date
    environment.globals.update(static=static, url=url)
    return environment


def url(name: str, /, *args: Any, **kwargs: Any) -> str:
    """Return the URL of a view, as Django's `url` tag does."""
    return reverse(name, args=args, kwargs=kwargs)
