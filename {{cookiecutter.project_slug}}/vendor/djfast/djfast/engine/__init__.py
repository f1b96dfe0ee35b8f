"""Replacements for parts of Django: the switch, and the check that Django's code is unchanged.

`DJFAST_ENGINE` (default True) turns all modules off with False, or on by name with a collection of names.
A module is active if it is chosen and every Django function that it re-implements or relies on has the
source for which the module was tested. Otherwise Django's own code runs.

What a module of this package offers:

    REPLACES    dict: the dotted name of each such Django function, and its fingerprint
    evidence()  what the module did in this process, as text for the check and the toolbar
    switch(on)  instances, connections and pool only: put the module in place of Django's code, or Django's
                code back; `install` calls it, any number of times

`python -m djfast.engine` compares the installed Django with the stored fingerprints.
"""

import hashlib
import inspect
import tokenize
from collections.abc import Iterator
from importlib import import_module
from pkgutil import resolve_name
from textwrap import dedent
from types import CodeType
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.functional import cached_property

MODULES = ("urls", "loops", "formats", "instances", "handler", "connections", "pool")


class State:
    """The state of the engine in this process.

    Attributes:
        changed: by module, the Django functions that differ from its fingerprints.
        active: by module, whether it replaces Django's code.
    """

    def __init__(self) -> None:
        self.changed: dict[str, list[str]] = {}
        self.active: dict[str, bool] = {}

    def clear(self) -> None:
        """Discard both, so that the setting and Django's source are read again."""
        self.changed.clear()
        self.active.clear()


STATE = State()


def chosen() -> frozenset[str]:
    """Return the names of the modules that `DJFAST_ENGINE` turns on.

    Raises:
        ImproperlyConfigured: the setting has another type, or names a module that does not exist.
    """
    value: Any = getattr(settings, "DJFAST_ENGINE", True)
    if isinstance(value, bool):
        return frozenset(MODULES if value else ())
    collection = isinstance(value, set | frozenset | list | tuple)
    if not collection or any(name not in MODULES for name in value):
        raise ImproperlyConfigured(
            f"DJFAST_ENGINE is {value!r}: set it to True, to False, or to a collection of these names:"
            f" {', '.join(MODULES)}."
        )
    return frozenset(value)


def changed(module: str) -> list[str]:
    """Return the Django functions whose source differs from the fingerprints of a module.

    The answer is cached until `install` runs again.

    Args:
        module: one of `MODULES`.
    """
    if module not in STATE.changed:
        replaces: dict[str, str] = import_module(f"{__name__}.{module}").REPLACES
        STATE.changed[module] = [name for name in replaces if fingerprint(name) != replaces[name]]
    return STATE.changed[module]


def active(module: str) -> bool:
    """Return whether a module replaces Django's code: cheap enough for every call of a filter.

    Raises:
        ImproperlyConfigured: by `chosen`.
    """
    known = STATE.active.get(module)
    if known is None:
        known = STATE.active[module] = module in chosen() and not changed(module)
    return known


def fingerprint(name: str) -> str:
    """Return 12 hexadecimal digits that identify the source of what a dotted name refers to now.

    The fingerprint of what does not exist, or has no source file, is "".
    """
    try:
        text = "\n".join(sources(resolve_name(name)))
    except Exception:  # also whatever the import of a module raises
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sources(function: Any) -> Iterator[str]:
    """Yield the source of a function and of everything that it wraps, outermost first.

    A wrapper counts, so that a patch is seen whether or not it uses `functools.wraps`.
    """
    while function is not None:
        if isinstance(function, property):
            function = function.fget
        elif isinstance(function, cached_property):
            function = function.func
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)  # functools.cache has none, nor has a mock
        yield type(function).__qualname__ if code is None else source(code)
        function = getattr(function, "__wrapped__", None)


def source(code: CodeType) -> str:
    """Return the source of a code object, without the indentation of the class it stands in.

    As `inspect.getsource`, which is slower and leaves the whole file in memory.
    """
    with tokenize.open(code.co_filename) as file:
        lines = file.readlines()[code.co_firstlineno - 1 :]
    return dedent("".join(inspect.getblock(lines))).strip()


def install() -> None:
    """Read the setting and switch each module on or off; may run any number of times.

    Raises:
        ImproperlyConfigured: by `chosen`.
    """
    from djfast.engine import (  # the other modules ask `active` when they are used
        connections,
        instances,
        pool,
    )

    STATE.clear()
    instances.switch(active("instances"))
    # Not `active` yet: its fingerprints import psycopg, which a project on SQLite does not need.
    connections.switch("connections" in chosen())
    pool.switch(pool.is_configured() and active("pool"))
    setting_changed.connect(reinstall, dispatch_uid="djfast.engine")


def reinstall(*, setting: str, **change: Any) -> None:
    """Follow a change of `DJFAST_ENGINE` in a test; templates that were parsed before are discarded."""
    if setting == "DJFAST_ENGINE":
        from django.test.signals import reset_template_engines

        install()
        reset_template_engines(setting="TEMPLATES")
