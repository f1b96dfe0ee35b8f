"""Jinja2 for a project that has chosen Django's templates: to measure what the other answer buys."""

from importlib import import_module
from typing import Any

from django.template.defaultfilters import date
from django.templatetags.static import static
from django.urls import reverse
from jinja2 import Environment


def environment(**options: Any) -> Environment:
    """Build the environment that `TEMPLATES` names; `options` are Django's own choices."""
    environment = Environment(**options)
    environment.filters["date"] = date
    environment.globals.update(static=static, url=url)
    return environment


def with_plain_urls(**options: Any) -> Environment:
    """Build the project's own environment, with Django's addresses."""
    built: Environment = import_module("config.jinja2").environment(**options)
    built.globals["url"] = url
    return built


def with_plain_dates(**options: Any) -> Environment:
    """Build the project's own environment, with Django's filter for dates."""
    built: Environment = import_module("config.jinja2").environment(**options)
    built.filters["date"] = date
    return built


def url(name: str, /, *args: Any, **kwargs: Any) -> str:
    """Like Django's `url` tag."""
    return reverse(name, args=args, kwargs=kwargs)
