"""The Jinja2 environment of the project's own pages; the admin keeps Django's engine."""

from typing import Any

from compressor.contrib.jinja2ext import CompressorExtension
from django.template.defaultfilters import date
from django.templatetags.static import static
from django.urls import reverse
from jinja2 import Environment, FileSystemBytecodeCache


def environment(**options: Any) -> Environment:
    """Build the environment that `TEMPLATES` names.

    Args:
        options: Django's own choices (loader, autoescape on, auto_reload with DEBUG), kept.
    """
    environment = Environment(
        **options,
        # A new process loads compiled templates instead of compiling them again.
        bytecode_cache=FileSystemBytecodeCache(),
        extensions=[CompressorExtension],
    )
    environment.filters["date"] = date
    environment.globals.update(static=static, url=url)
    return environment


def url(name: str, *args: Any, **kwargs: Any) -> str:
    """Like Django's `url` tag: `url("item", 3)`, `url("item", pk=3)`."""
    return reverse(name, args=args, kwargs=kwargs)
