"""A piece of advice, and what its two variants are made of.

Advice is a generator function; its docstring is the advice in our words. It yields two variants, as
advised and as the guide warns of, which must give equal results.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.template import Context, Engine
from django.urls import path

from djfast_bench.responses import Response, shown
from djfast_bench.site import Site, count_queries
from djfast_bench.timing import Dimension, Measurement, Variant, WrongResponse, compare_variants

TOPICS = "https://docs.djangoproject.com/en/6.1/topics/"
ABOUT, NEW = "/catalogue/about/", "/catalogue/new/"  # a page of the workload, and a free URL
LOOP = "{{% for item in items %}}{}{{% endfor %}}"
VISITOR: ContextVar[str] = ContextVar("VISITOR", default="")  # value of the Cookie header

Run = Callable[[], object]
Changes = dict[str, Any]  # of settings


class Pair(NamedTuple):
    """The variants of a piece of advice.

    Attributes:
        advised: as the guide advises.
        other: as it warns of.
        note: a remark that a reader needs.
    """

    advised: Variant
    other: Variant
    note: str = ""


Pairs = Iterator[Pair]


def content(result: object) -> object:
    """Return the visible part of a result."""
    return shown(result) if isinstance(result, Response) else result


@dataclass
class Advice:
    """A piece of advice; as a decorator it adds itself to `ADVICE`.

    Attributes:
        page: URL of the documentation.
        anchor: the section that contains it.
        experiment: label of the advised variant.
        control: label of the other variant.
        on: what both are tested on.
        shows: the dimension that the advice is about.
        expected: the verdict in that dimension, if the guide is right.
        same: returns the part of a result that must be equal on both sides.
        variants: yields the pair; prepares before, cleans up after. Its docstring is the advice.
        name: the advice in a few words.
    """

    page: str
    anchor: str
    experiment: str
    control: str
    on: str
    shows: str = "time"
    expected: str = "less"
    same: Callable[[Any], object] = content
    variants: Callable[[], Pairs] = lambda: iter(())
    name: str = ""

    def __call__(self, variants: Callable[[], Pairs]) -> Callable[[], Pairs]:
        """Take the variants from a generator function."""
        self.variants, self.name = variants, f"{self.experiment} instead of {self.control}"
        ADVICE.append(self)
        return variants


ADVICE: list[Advice] = []

guide = partial(Advice, f"{TOPICS}performance/#")


def measure_advice(advice: Advice, cookie: str, limits: dict[str, Any]) -> Measurement:
    """Test a piece of advice; without figures if results differ or a module is missing.

    Args:
        advice: one of `ADVICE`.
        cookie: value of the Cookie header of the signed-in visitor.
        limits: `alpha`, `seconds` and `tick` of `compare_variants`.
    """
    found = Measurement(
        suite="advice",
        name=advice.name,
        scenario=advice.on,
        experiment=advice.experiment,
        control=advice.control,
        claim=advice.shows,
        benefit=str(getattr(advice.variants, "func", advice.variants).__doc__),
        source=advice.page + advice.anchor,
    )
    VISITOR.set(cookie)
    try:
        with contextmanager(advice.variants)() as pair:
            found.dimensions, found.note = dimensions(advice, pair, limits), pair.note
    except WrongResponse as error:
        found.error = f"Wrong response: {error}"
    except ModuleNotFoundError as error:
        found.error = f"not installed: {error.name}"
    except Exception as error:  # the other rows can still be measured
        found.error = f"{type(error).__name__}: {error}"
    else:
        holds = {advice.expected: "yes", "inconclusive": "inconclusive"}
        found.holds = holds.get(found.dimensions[advice.shows].verdict, "no")
    return found


def dimensions(advice: Advice, pair: Pair, limits: dict[str, Any]) -> dict[str, Dimension]:
    """Return the figures of a pair in all dimensions in which there are any."""
    variants = (pair.advised, pair.other)
    # Bytes that a build has made: returning them takes no time worth measuring.
    built = advice.shows == "bytes" and isinstance(result_of(pair.advised), bytes)
    seconds = {"seconds": 0.1} if built else {}
    found = compare_variants(*variants, same=advice.same, **limits | seconds)
    if built:
        found = {}
    counts = [(*count_queries(variant), size(result_of(variant))) for variant in variants]
    names, units = ("queries", "rows", "bytes"), ("", "", "B")
    for name, unit, new, old in zip(names, units, *counts, strict=True):
        if new or old:
            found[name] = Dimension.constant(unit, new, old)
    return found


def result_of(variant: Variant) -> Any:
    """Run a variant once."""
    with variant.context():
        return variant.run()


def size(result: object) -> int:
    """Return the bytes of a body, if the result is one."""
    body = result.body if isinstance(result, Response) else result
    return len(body) if isinstance(body, bytes) else 0


def pair(advised: Variant | Run, other: Variant | Run, *, note: str = "") -> Pair:
    """Make a pair; a function is a variant that needs no context."""
    new, old = (one if isinstance(one, Variant) else Variant(one) for one in (advised, other))
    return Pair(new, old, note)


def template(source: str, **others: str) -> Callable[..., str]:
    """Return a function that renders `source` with its arguments; `others` can be included."""
    sources = "django.template.loaders.locmem.Loader", {"page": source, **others}
    loader = "django.template.loaders.cached.Loader", [sources]
    page = Engine(loaders=[loader], builtins=["django.templatetags.cache"]).get_template("page")
    return lambda **context: page.render(Context(context))


def visit(url: str, changed: Changes | None = None, **headers: str) -> Variant:
    """Return a variant that requests a page with some settings changed."""
    site = Site(**(changed or {}))
    return Variant(partial(site.get, url, **headers), site.open)


def at_new(view: Callable[..., Any]) -> Changes:
    """Return the settings that add a view at the URL NEW."""
    others = import_module(settings.ROOT_URLCONF).urlpatterns
    return {"ROOT_URLCONF": (path(NEW[1:], view), *others)}


def middleware(*above: str, below: tuple[str, ...] = ()) -> Changes:
    """Return the settings that put middleware around the project's, without its compression."""
    removed = (
        ".GZipMiddleware",
        ".HttpCompressionMiddleware",
        *(f".{name.rpartition('.')[2]}" for name in above),
    )
    own = (name for name in settings.MIDDLEWARE if not name.endswith(removed))
    return {"MIDDLEWARE": [*above, *own, *below]}
