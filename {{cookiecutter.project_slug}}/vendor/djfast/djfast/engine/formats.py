"""Dates and prices by prepared formats, where Django splits a format for each value.

In the `builtins` of Django's template engine this module replaces the filters `date` and `floatformat` of
all templates; `local_date` is for the filters of Jinja2. Output and errors are Django's.

`date` and `prepared` are adapted from django.utils.dateformat.Formatter.
Copyright (c) Django Software Foundation and individual contributors, BSD-3-Clause: see LICENSE.
"""

import re
from collections.abc import Callable
from datetime import date as Date
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from django.conf import settings
from django.template import Library, defaultfilters
from django.utils.dateformat import DateFormat, TimeFormat, re_escaped, re_formatchars
from django.utils.formats import get_format
from django.utils.safestring import SafeString
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]

from djfast import engine

REPLACES = {
    "django.template.defaultfilters.date": "9a49bc4fc89b",
    "django.template.defaultfilters.floatformat": "aef53957bd84",
    "django.utils.dateformat.Formatter.format": "820cb3342915",
    "django.utils.dateformat.TimeFormat.__init__": "b7ab9d66b556",
    "django.utils.dateformat.format": "a639a94ac277",
    "django.utils.formats.date_format": "fde3348b43ad",
    "django.utils.formats.get_format": "49f715b54e20",
    "django.utils.formats.number_format": "a039a895a2b4",
    "django.utils.numberformat.format": "1d08030996f2",
}
# A text, or the method of a format character.
Piece = tuple[str, Callable[[DateFormat], object] | None]
# The pieces of a format, and whether one of them needs a time.
Prepared = tuple[list[Piece], bool]

# Short enough for any rounding to be exact in 40 digits; no exponent, no infinity.
ordinary = re.compile(r"-?\d{1,15}(\.\d{1,20})?").fullmatch
PLACES = {places: Decimal(1).scaleb(-places) for places in range(1, 11)}
EXACT = Context(prec=40)

register = Library()


def flag(function: object, name: str) -> bool:
    """Return a flag of one of Django's filters, which may differ where this module is inactive."""
    return bool(getattr(function, name, False))


@register.filter(
    expects_localtime=flag(defaultfilters.date, "expects_localtime"),
    is_safe=flag(defaultfilters.date, "is_safe"),
)
def date(value: Any, arg: str | None = None) -> str:
    """Return what Django's filter `date` returns."""
    if value in (None, ""):
        return ""
    if engine.active("formats"):
        wanted = str(arg or "DATE_FORMAT")
        if wanted.isidentifier():  # it may be a name in the settings or in FORMAT_MODULE_PATH
            wanted = str(get_format(wanted))
        pieces, needs_time = prepared(wanted)
        try:
            if not (needs_time and type(value) is Date):  # else Django reports what is wrong
                made = DateFormat(value)
                return "".join([text if make is None else str(make(made)) for text, make in pieces])
        except AttributeError:  # no date
            pass
    return defaultfilters.date(value, arg)


def local_date(value: Any, form: str | None = None) -> str:
    """Return the same in Jinja2, in the time zone in which Django's templates show a time."""
    return date(template_localtime(value), form)


@lru_cache(maxsize=256)
def prepared(wanted: str) -> Prepared:
    """Split a format as Django does: text, character, text, and so on."""
    split = re_formatchars.split(wanted)
    pieces: list[Piece] = []
    for text, name in zip_longest(split[::2], split[1::2]):
        pieces.append((re_escaped.sub(r"\1", text), None))
        if name:
            pieces.append((name, getattr(DateFormat, name)))
    return pieces, any(hasattr(TimeFormat, name) for name in split[1::2])


@register.filter(
    expects_localtime=flag(defaultfilters.floatformat, "expects_localtime"),
    is_safe=flag(defaultfilters.floatformat, "is_safe"),
)
def floatformat(text: Any, arg: Any = -1) -> str:
    """Return what Django's filter returns; fast for an ordinary number with a fixed number of places."""
    if (
        type(text) in (Decimal, float)
        and type(arg) is int
        and arg in PLACES
        and ordinary(written := str(text))
        and not settings.USE_THOUSAND_SEPARATOR
        and engine.active("formats")
    ):
        rounded = Decimal(written).quantize(PLACES[arg], ROUND_HALF_UP, EXACT)
        shown = f"{rounded or abs(rounded):f}"  # no minus before a zero
        separator = get_format("DECIMAL_SEPARATOR")
        return SafeString(shown if separator == "." else shown.replace(".", separator))
    return defaultfilters.floatformat(text, arg)


def evidence() -> str:
    """Return what this module did in this process."""
    return f"{prepared.cache_info().currsize} formats prepared in this process"
