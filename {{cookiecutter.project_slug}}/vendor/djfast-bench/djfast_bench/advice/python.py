"""Advice about Python itself."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from django.utils.functional import cached_property, lazy
from django.utils.text import capfirst

from djfast_bench.advice.base import Pairs, Run, guide, pair, template
from djfast_bench.advice.database import names, page

lazily = partial(guide, "understanding-laziness", on="10,000 numbers")
NUMBERS = range(10_000)


@lazily("any() of a generator", "any() of a list")
def stopped() -> Pairs:
    """Compute values on demand, so that unneeded ones are never computed."""
    yield pair(lambda: any(n > 9 for n in NUMBERS), lambda: any([n > 9 for n in NUMBERS]))  # noqa: C419


@lazily("sum() of a generator", "sum() of a list")
@lazily("a generator in sum()", "a list in sum()", shows="memory")
def generator() -> Pairs:
    """Use a generator expression for values that are used once, so that no list is created."""
    yield pair(lambda: sum(n * n for n in NUMBERS), lambda: sum([n * n for n in NUMBERS]))


@guide("cached-property", "cached_property", "property", "a sum that is used three times")
def cached() -> Pairs:
    """Store the result of a method that is needed more than once."""

    def use(decorator: Callable[..., Any]) -> Run:
        basket = type("Basket", (), {"total": decorator(lambda self: sum(range(100)))})
        return lambda: [one.total for one in [basket()] * 3]

    yield pair(use(cached_property), use(property))


@guide("laziness-in-django", "keep_lazy()", "an eager function", "a text that is not shown")
def lazy_text() -> Pairs:
    """Let a function of a lazy text be lazy as well, since the text may never be needed."""
    render, text = template("{% if wanted %}{{ text }}{% endif %}"), lazy(names, str)
    kinds = capfirst, cast(Any, capfirst).__wrapped__  # Django decorates it with keep_lazy_text
    yield pair(*(partial(lambda f: render(text=f(text(page.all()))), kind) for kind in kinds))
