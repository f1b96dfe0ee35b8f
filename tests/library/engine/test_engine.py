"""The engine's switch and fingerprints: inactive modules behave as Django, active ones have its output."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import django.urls
import page
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.template import Engine, defaulttags, engines
from django.test import override_settings
from djfast import engine
from djfast.engine import formats, loops, urls
from djfast.engine.__main__ import report

BOTH = "{% for x in 'a' %}{% url 'item' x %}{% endfor %}"


@pytest.fixture(autouse=True)
def _urlconf() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=page, DJFAST_ENGINE=True):
        yield
    engine.install()  # without what a test has patched


def nodes(source: str = BOTH) -> list[type]:
    """Return the types of the nodes of a template that uses all modules."""
    template = Engine(builtins=page.BUILTINS).from_string(source)
    (loop,) = template.nodelist
    return [type(loop), *map(type, loop.nodelist_loop)]  # type: ignore[attr-defined]


def replaces(module: str) -> dict[str, str]:
    """Return the stored fingerprints of a module."""
    found: dict[str, str] = import_module(f"djfast.engine.{module}").REPLACES
    return found


def active() -> set[str]:
    """Return the names of the active modules."""
    return {module for module in engine.MODULES if engine.active(module)}


@pytest.mark.parametrize("module", engine.MODULES)
def test_the_installed_django_has_the_stored_fingerprints(module: str) -> None:
    assert engine.changed(module) == []


def test_all_modules_are_active_by_default(settings: Any) -> None:
    del settings.DJFAST_ENGINE
    assert active() == set(engine.MODULES)
    assert nodes() == [loops.Loop, urls.URLNode]


def test_false_turns_everything_off(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = page.rendered([])
    with override_settings(DJFAST_ENGINE=False):
        assert active() == set()
        assert nodes() == [defaulttags.ForNode, defaulttags.URLNode]
        for module, names in {urls: "compiled_reverse", formats: "prepared get_format"}.items():
            for name in names.split():
                monkeypatch.setattr(module, name, None)
        assert page.rendered() == expected
        page.rendered_by_jinja2()
        assert urls.reverse("item", args=["x"]) == "/items/x/"
        assert formats.floatformat(1.25, 1) == "1.3"


@pytest.mark.parametrize("kind", [set, frozenset, list, tuple])
def test_a_collection_of_names_turns_on_just_these(kind: Callable[..., Any]) -> None:
    with override_settings(DJFAST_ENGINE=kind(["urls", "formats"])):
        assert engine.chosen() == active() == {"urls", "formats"}
        assert nodes() == [defaulttags.ForNode, urls.URLNode]
    with override_settings(DJFAST_ENGINE=kind()):
        assert active() == set()


WRONG = [["url"], {"urls", "loop"}, "urls", None, 1, {"urls": True}, ["urls", ["loops"]], b""]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_wrong_value_is_one_sentence_that_names_the_valid_names(value: object) -> None:
    with pytest.raises(ImproperlyConfigured) as error, override_settings(DJFAST_ENGINE=value):
        pass
    assert re.fullmatch(r"DJFAST_ENGINE is .*: set it to True, .* [\w, ]+\.", str(error.value))
    assert all(module in str(error.value) for module in engine.MODULES)
    assert active() == set(engine.MODULES)  # the former value is in effect again


def test_a_wrong_value_stops_the_start_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    monkeypatch.setattr(settings, "DJFAST_ENGINE", ["all"])
    with pytest.raises(ImproperlyConfigured, match="DJFAST_ENGINE"):
        engine.install()


def test_a_change_of_the_setting_discards_parsed_templates() -> None:
    def parsed() -> Any:
        project: Any = engines["django"]
        return project.engine.get_template("admin/base.html")

    first = parsed()
    assert parsed() is first
    with override_settings(DJFAST_ENGINE=False):
        second = parsed()
        assert second is not first
    assert parsed() is not second


def test_install_can_run_any_number_of_times() -> None:
    before = len(setting_changed.receivers)
    engine.install()
    engine.install()
    assert len(setting_changed.receivers) == before
    assert active() == set(engine.MODULES)


@pytest.mark.parametrize("chosen", [True, False, *([module] for module in engine.MODULES)], ids=str)
def test_pages_are_the_same_whatever_is_chosen(chosen: Any) -> None:
    expected = page.rendered([])
    with override_settings(DJFAST_ENGINE=False):
        jinja2 = page.rendered_by_jinja2()
    with override_settings(DJFAST_ENGINE=chosen):
        assert page.rendered() == expected
        assert page.rendered_by_jinja2() == jinja2


def wrapped(function: Any) -> Any:
    """Return a wrapper with the name and attributes of a function, as packages make one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


PATCHES: dict[str, Callable[[Any], Any]] = {
    "a wrapper": wrapped,
    "a property": lambda function: property(wrapped(function)),
    "another function": lambda function: lambda *args, **kwargs: "patched",
    "a partial": functools.partial,
    "nothing": lambda function: None,
}


def function_of(owner: Any, attribute: str) -> Any:
    """Return a function without its descriptor."""
    found = vars(owner).get(attribute) or getattr(owner, attribute)
    for name in ("fget", "func", "__func__"):
        found = getattr(found, name, found)
    return found


@pytest.mark.parametrize("patch", PATCHES)
def test_a_patched_function_has_another_fingerprint(
    monkeypatch: pytest.MonkeyPatch, patch: str
) -> None:
    unseen = []
    for module in engine.MODULES:
        for name, fingerprint in replaces(module).items():
            owner, _, attribute = name.rpartition(".")
            function = function_of(resolve_name(owner), attribute)
            with monkeypatch.context() as context:
                context.setattr(resolve_name(owner), attribute, PATCHES[patch](function))
                if engine.fingerprint(name) == fingerprint:
                    unseen.append(name)
    assert not unseen


@pytest.mark.parametrize("module", engine.MODULES)
def test_a_module_is_inactive_where_django_has_changed(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for name in replaces(module):
        with monkeypatch.context() as context:
            context.setitem(replaces(module), name, "0" * 12)  # of the Django it was tested on
            engine.STATE.clear()
            assert engine.changed(module) == [name]
            assert not engine.active(module)
    engine.STATE.clear()
    assert engine.active(module)


SHOWN = {  # by function, the module that has to be inactive for the patch to take effect
    "django.template.defaulttags.ForNode.render": "loops",
    "django.template.base.Variable._resolve_lookup": "loops",
    "django.template.base.VariableNode.render": "loops",
    "django.template.base.render_value_in_context": "loops",
    "django.template.defaulttags.URLNode.render": "urls",
    "django.urls.reverse": "urls",
    "django.urls.resolvers.URLResolver._reverse_with_prefix": "urls",
    "django.utils.dateformat.Formatter.format": "formats",
    "django.utils.dateformat.format": "formats",
    "django.utils.numberformat.format": "formats",
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_page_on_a_patched_django_is_that_of_the_patched_django(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    usual = page.rendered()
    owner, _, attribute = name.rpartition(".")
    monkeypatch.setattr(resolve_name(owner), attribute, lambda *args, **kwargs: "patched")
    engine.install()
    assert not engine.active(SHOWN[name])
    assert page.rendered() == page.rendered([]) != usual
    assert "patched" in page.rendered()


def test_a_patched_reverse_is_used_in_python_and_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    def reverse_with_prefix(resolver: Any, view: str, prefix: str, *args: Any) -> str:
        return f"/patched/{view}/"

    resolver = django.urls.URLResolver
    monkeypatch.setattr(resolver, "_reverse_with_prefix", reverse_with_prefix)
    engine.install()
    assert urls.reverse("item", args=["x"]) == urls.url("item", "x") == "/patched/item/"


def test_a_fingerprint_is_that_of_the_source() -> None:
    def fingerprint_of(function: Any) -> str:
        test_engine: Any = sys.modules[__name__]
        test_engine.probe = function
        return engine.fingerprint(f"{__name__}.probe")

    class Indented:
        def method(self) -> int:
            return 1

        def other(self) -> int:
            return 2

    class Same:
        def method(self) -> int:
            return 1

    assert re.fullmatch("[0-9a-f]{12}", fingerprint_of(Indented.method))
    assert (
        fingerprint_of(Indented.method)
        == fingerprint_of(Same.method)
        == fingerprint_of(Same().method)
    )
    assert fingerprint_of(property(Same.method)) == fingerprint_of(Same.method)
    assert fingerprint_of(Indented.other) != fingerprint_of(Indented.method)
    assert fingerprint_of(functools.cache(Same.method)) != fingerprint_of(Same.method)
    assert fingerprint_of(eval("lambda: 1")) == ""  # no source file
    assert engine.fingerprint(f"{__name__}.nothing") == engine.fingerprint("no.such.module.x") == ""


def test_the_command_reports_unchanged_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "djfast.engine"],
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[1:] == [f"{module}: unchanged" for module in engine.MODULES]


def test_the_command_prints_the_new_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loops.REPLACES, "django.template.defaulttags.do_for", "0" * 12)
    engine.STATE.clear()
    first, *lines = report("loops").splitlines()
    monkeypatch.undo()
    assert first == "loops: changed: django.template.defaulttags.do_for"
    printed: dict[str, Any] = {}
    exec("\n".join(lines), printed)
    assert printed["REPLACES"] == loops.REPLACES
