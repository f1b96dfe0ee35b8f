"""Dates and prices by prepared formats: Django takes a format apart anew for each value.

Among the `builtins` of Django's engine this module has the filters `date` and `floatformat` of all its
templates; `local_date` is for the filters of Jinja2. What is shown, or raised, is Django's own.
"""

import re
from collections.abc import Callable
from datetime import date as Date
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from django.conf import settings
from django.template import Library, defaultfilters, engines
from django.utils.dateformat import DateFormat, TimeFormat, re_escaped, re_formatchars
from django.utils.formats import get_format
from django.utils.safestring import SafeString
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]

from speed import Finding, in_templates

# Of a format: a text, or the method of a character. The second part: whether one needs a time.
Piece = tuple[str, Callable[[DateFormat], object] | None]
Prepared = tuple[list[Piece], bool]

# Short enough for any rounding to be exact in 40 digits; no exponent, no infinity.
ordinary = re.compile(r"-?\d{1,15}(\.\d{1,20})?").fullmatch
PLACES = {places: Decimal(1).scaleb(-places) for places in range(1, 11)}
EXACT = Context(prec=40)

register = Library()


@register.filter(expects_localtime=True, is_safe=False)
def date(value: Any, arg: str | None = None) -> str:
    """Do what Django's filter `date` does."""
    if value in (None, ""):
        return ""
    wanted = str(arg or "DATE_FORMAT")
    if wanted.isidentifier():  # a name in the settings or in FORMAT_MODULE_PATH, perhaps
        wanted = str(get_format(wanted))
    pieces, needs_time = prepared(wanted)
    try:
        if not (needs_time and type(value) is Date):  # else Django says what is wrong
            parts = DateFormat(value)
            return "".join([text if make is None else str(make(parts)) for text, make in pieces])
    except AttributeError:  # no date
        pass
    return defaultfilters.date(value, arg)


def local_date(value: Any, form: str | None = None) -> str:
    """Do the same in Jinja2, in the time zone in which Django's templates show a time."""
    return date(template_localtime(value), form)


@lru_cache(maxsize=256)
def prepared(wanted: str) -> Prepared:
    """Take a format apart as Django does: text, character, text, and so on."""
    split = re_formatchars.split(wanted)
    pieces: list[Piece] = []
    for text, name in zip_longest(split[::2], split[1::2]):
        pieces.append((re_escaped.sub(r"\1", text), None))
        if name:
            pieces.append((name, getattr(DateFormat, name)))
    return pieces, any(hasattr(TimeFormat, name) for name in split[1::2])


@register.filter(is_safe=True)
def floatformat(text: Any, arg: Any = -1) -> str:
    """Do what Django's filter does; at once for an ordinary number with a fixed number of places."""
    if (
        type(text) in (Decimal, float)
        and type(arg) is int
        and arg in PLACES
        and ordinary(written := str(text))
        and not settings.USE_THOUSAND_SEPARATOR
    ):
        rounded = Decimal(written).quantize(PLACES[arg], ROUND_HALF_UP, EXACT)
        shown = f"{rounded or abs(rounded):f}"  # no minus before a zero
        separator = get_format("DECIMAL_SEPARATOR")
        return SafeString(shown if separator == "." else shown.replace(".", separator))
    return defaultfilters.floatformat(text, arg)


def finding() -> Finding:
    """Look at the filters that templates get, in either language."""
    used = [one is date for one in in_templates("filters", "date")]
    environments: list[Any] = [engine.env for engine in engines.all() if hasattr(engine, "env")]
    used += [environment.filters.get("date") is local_date for environment in environments]
    return all(used), lambda: f"{prepared.cache_info().currsize} formats prepared in this process"
