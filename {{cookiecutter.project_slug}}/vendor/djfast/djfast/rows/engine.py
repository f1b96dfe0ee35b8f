"""Defaults that replace Django's own code, and the N+1 guard."""

from importlib import import_module
from typing import Any, ClassVar

from djfast.rows.base import Finding, Overrides, Row, Settings, State
from djfast.rows.database import is_asgi, is_postgresql
from djfast.rows.templates import django_engines, jinja2_environments


def in_templates(module: str, functions: list[Any]) -> bool:
    """Return whether templates use a module, in each language that the project has.

    One engine of a language is enough: another may be for mail, or belong to a package.

    Args:
        module: in `builtins` of Django's engines.
        functions: what Jinja2's environments have in its place.
    """
    used = [getattr(function, "__module__", "") == module for function in functions]
    return any(module in engine.builtins for engine in django_engines()) and (not used or any(used))


class EngineRow(Row):
    """A module of `djfast.engine`.

    Attributes:
        module: its name there.
    """

    group = "engine"
    replaces_internals = True
    module: ClassVar[str]

    def wired(self) -> bool:
        """Return whether the project uses the module."""
        raise NotImplementedError

    def silencers(self) -> set[str]:
        from djfast import engine

        return super().silencers() | (set() if engine.chosen() else {"speed.engine"})

    def finding(self) -> Finding:
        from djfast import engine

        if self.module not in engine.chosen():
            return Finding(State.INACTIVE, lambda: "turned off by DJFAST_ENGINE")
        if changed := engine.changed(self.module):
            text = f"not tested with {', '.join(changed)} of this Django, so Django's code runs"
            return Finding(State.INACTIVE, lambda: text)
        if not self.wired():
            return Finding(State.REVERTED, lambda: f"nothing uses djfast.engine.{self.module}")
        return Finding(State.ON, import_module(f"djfast.engine.{self.module}").evidence)

    def revert(self, settings: Settings) -> Overrides:
        from djfast.engine import MODULES

        chosen = settings.get("DJFAST_ENGINE", True)
        modules = MODULES if chosen is True else chosen or ()
        return {"DJFAST_ENGINE": [name for name in modules if name != self.module]}


class CompiledUrls(EngineRow):
    name = "compiled urls"
    setting = "TEMPLATES: djfast.engine.urls in builtins"
    django = "each link is looked up and formatted step by step"
    benefit = "A link is a dictionary look-up, a format, and a match."
    scenario = "a list page of 50 rows"
    module = "urls"

    def applies(self) -> bool:
        return bool(django_engines() or jinja2_environments())

    def wired(self) -> bool:
        return in_templates(
            "djfast.engine.urls", [e.globals.get("url") for e in jinja2_environments()]
        )


class CompiledLoops(EngineRow):
    name = "compiled loops"
    setting = "TEMPLATES: djfast.engine.loops in builtins"
    django = "the body of a loop is rendered node by node for each row"
    benefit = "The body of a loop is compiled to one Python function."
    scenario = "a list page of 50 rows"
    module = "loops"

    def applies(self) -> bool:
        return bool(django_engines()) and not jinja2_environments()

    def wired(self) -> bool:
        return in_templates("djfast.engine.loops", [])


class PreparedFormats(EngineRow):
    name = "prepared formats"
    setting = "TEMPLATES: djfast.engine.formats in builtins"
    django = "the format of each date and number is parsed for each value"
    benefit = "The format of a date or number is parsed once per process."
    scenario = "a list page of 50 rows"
    module = "formats"

    def applies(self) -> bool:
        return bool(django_engines() or jinja2_environments())

    def wired(self) -> bool:
        filters = [environment.filters.get("date") for environment in jinja2_environments()]
        return in_templates("djfast.engine.formats", filters)


class ModelInstances(EngineRow):
    name = "model instances"
    setting = "core/models.py: djfast.models.Model"
    django = (
        "Model.__init__ for each row, and a new look-up of fields for each many-to-many manager"
    )
    benefit = "A row becomes an object by setting its values, without the constructor of models."
    scenario = "a list page of 50 rows"
    module = "instances"

    def wired(self) -> bool:
        from djfast.engine import instances

        return bool(instances.deriving())


class HealthCheck(EngineRow):
    name = "health check"
    setting = "DJFAST_ENGINE: connections"
    django = "CONN_HEALTH_CHECKS sends a query before the first query of each request"
    benefit = "A connection that was used a moment ago is checked without a query."
    scenario = "a page with one query"
    module = "connections"

    def applies(self) -> bool:
        """Return whether connections are persistent and checked; a pool has a check of its own."""
        from django.db import connection

        given = connection.settings_dict
        persistent = given["CONN_MAX_AGE"] != 0 and given["CONN_HEALTH_CHECKS"]
        return bool(persistent) and is_postgresql() and not is_asgi()

    def wired(self) -> bool:
        return True


class ContextSwitches(EngineRow):
    name = "context switches"
    setting = "config/asgi.py: get_asgi_application of djfast.engine.handler"
    django = "a thread switch for the view, and for each middleware before and after it"
    benefit = "A synchronous view and its middleware share one thread switch."
    scenario = "a page without a query"
    module = "handler"

    def applies(self) -> bool:
        return is_asgi()

    def wired(self) -> bool:
        from djfast.engine import handler

        return handler.loaded()


class NPlusOneGuard(Row):
    name = "N+1 guard"
    setting = "core/models.py: djfast.models.Model"
    django = "a query for each row whose foreign key was not selected"
    benefit = "A foreign key that a query omitted is fetched for all of its rows at once."
    scenario = "a list of 50 rows whose view omits select_related"
    group = "engine"
    claim = "queries"

    def finding(self) -> Finding:
        from django.apps import apps

        from djfast.models import Model
        from djfast.peers import Manager

        models: list[Any] = [model for model in apps.get_models() if issubclass(model, Model)]
        lost = [
            model._meta.label
            for model in models
            # Not its queryset: a manager may need a request or a tenant to make one.
            if not isinstance(model._default_manager, Manager)
        ]
        if lost:
            return Finding(State.REVERTED, lambda: f"not in the manager of {', '.join(lost)}")
        if not models:
            return Finding(State.REVERTED, lambda: "no model derives from djfast.models.Model")
        labels = ", ".join(model._meta.label for model in models)
        return Finding(State.ON, lambda: f"on {labels}")
