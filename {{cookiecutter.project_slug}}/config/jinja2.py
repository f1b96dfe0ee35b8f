"""The Jinja2 environment of the project's own pages; the admin keeps Django's engine."""

from pathlib import Path
from typing import Any

from speed.formats import local_date
from speed.jinja import BytecodeCache, Environment, static
from speed.urls import url

# Beside this module's own bytecode: whoever may write there may change the code as well.
COMPILED = Path(__file__).with_name("__pycache__")


def environment(**options: Any) -> Environment:
    """Build the environment that `TEMPLATES` names.

    Args:
        options: those of `TEMPLATES`, and Django's own (loader, autoescape on, auto_reload with DEBUG).
    """
    # A new process loads compiled templates instead of compiling them again. Not in development,
    # where extensions and filters change under them.
    compiled = None if options["auto_reload"] else BytecodeCache(COMPILED)
    environment = Environment(**options, bytecode_cache=compiled)
    environment.filters["date"] = local_date
    environment.globals.update(static=static, url=url)
    return environment
