"""Defaults about templates."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from djfast.rows.base import Finding, Overrides, Row, Settings, State

LOADERS = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]


def django_engines() -> list[Any]:
    """Return the template engines of Django's template language."""
    from django.template import engines
    from django.template.backends.django import DjangoTemplates

    return [engine.engine for engine in engines.all() if isinstance(engine, DjangoTemplates)]


def jinja2_environments() -> list[Any]:
    """Return the environments of the Jinja2 engines; needs no Jinja2 where there are none."""
    from django.template import engines

    return [engine.env for engine in engines.all() if hasattr(engine, "env")]


def changed(settings: Settings, change: Callable[[str, dict[str, Any]], None]) -> Overrides:
    """Return `TEMPLATES` after a call of `change` with the class name and configuration of each."""
    engines = deepcopy(settings["TEMPLATES"])
    for engine in engines:
        engine.setdefault("OPTIONS", {})
        change(engine["BACKEND"].rpartition(".")[2], engine)
    return {"TEMPLATES": engines}


def uncached(engine: Any) -> list[str]:
    """Return the class names of an engine's loaders that read a template again for each use."""
    from django.template.loaders.cached import Loader

    return [type(one).__name__ for one in engine.template_loaders if not isinstance(one, Loader)]


class CachedTemplateLoader(Row):
    name = "cached template loader"
    setting = "TEMPLATES: APP_DIRS, no loaders"
    django = "the same; setting loaders without cached.Loader turns it off"
    benefit = "A template is read and parsed once per process."
    scenario = "the sign-in page of the admin"
    group = "settings"

    def applies(self) -> bool:
        return bool(django_engines())

    def finding(self) -> Finding:
        loaders = [name for engine in django_engines() for name in uncached(engine)]
        if loaders:
            text = f"not cached: {', '.join(loaders)}"
            return Finding(State.REVERTED, lambda: text)
        return Finding(State.ON, self.evidence)

    def evidence(self) -> str:
        """Return how many templates this process has cached."""
        loaders = [loader for engine in django_engines() for loader in engine.template_loaders]
        return f"{sum(len(one.get_template_cache) for one in loaders)} templates cached"

    def revert(self, settings: Settings) -> Overrides:
        def set_loaders(backend: str, engine: dict[str, Any]) -> None:
            if backend == "DjangoTemplates":
                engine.pop("APP_DIRS", None)
                engine["OPTIONS"]["loaders"] = LOADERS

        return changed(settings, set_loaders)


class Jinja2(Row):
    name = "jinja2"
    setting = "TEMPLATES: Jinja2, with the environment in config/jinja2.py"
    django = "Django's template language"
    benefit = "A page is rendered by compiled Python instead of a tree of nodes."
    scenario = "a list page of 50 rows"
    group = "settings"

    def applies(self) -> bool:
        return bool(jinja2_environments())

    def finding(self) -> Finding:
        return Finding(State.ON, self.evidence)

    def evidence(self) -> str:
        """Return how many templates this process has loaded."""
        return f"{len(jinja2_environments()[0].cache or ())} templates loaded"

    def revert(self, settings: Settings) -> Overrides:
        """Leave Jinja2 out; this project then is one with Django's templates."""
        engines = settings["TEMPLATES"]
        return {"TEMPLATES": [e for e in engines if not e["BACKEND"].endswith(".Jinja2")]}
