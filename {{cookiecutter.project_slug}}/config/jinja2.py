"""The Jinja2 environment of the project's own pages; the admin uses Django's engine."""

from typing import Any

from django.templatetags.static import static
from djfast.engine.formats import local_date
from djfast.engine.urls import url
from jinja2 import Environment


def environment(**options: Any) -> Environment:
    """Return the environment that `TEMPLATES` names; add the project's filters and globals here.

    Args:
        options: those of `TEMPLATES`, and Django's own (loader, autoescape on, auto_reload with DEBUG).
    """
    environment = Environment(**options)
    environment.filters["date"] = local_date
    environment.globals.update(static=static, url=url)
    return environment
