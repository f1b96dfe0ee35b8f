"""Dates and prices come out as Django's filters write them, and no format is taken apart twice."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from django.template import defaultfilters, engines
from django.template.backends.django import DjangoTemplates
from django.utils import dateformat, timezone
from pytest_django import Settings

from speed import formats

DJANGO = DjangoTemplates({"NAME": "plain", "APP_DIRS": False, "DIRS": [], "OPTIONS": {}})
every_engine = pytest.mark.parametrize("engine", engines.all(), ids=lambda engine: engine.name)


def shown(engine: Any, value: object, form: str) -> str:
    """Let a template show a date."""
    django = isinstance(engine, DjangoTemplates)
    source = "{{ value|date:form }}" if django else "{{ value|date(form) }}"
    return str(engine.from_string(source).render({"value": value, "form": form}))


@every_engine
@pytest.mark.parametrize("form", ["j F Y", "DATE_FORMAT", "c", r"jS \of F, H:i e", "", "-"])
@pytest.mark.parametrize(
    "value", [datetime(2026, 3, 1, 23, 30, tzinfo=UTC), datetime(2026, 3, 1), time(7), None, "", 7]
)
def test_a_date_is_shown_as_by_django(engine: Any, value: object, form: str) -> None:
    with timezone.override("Asia/Tokyo"):
        assert shown(engine, value, form) == shown(DJANGO, value, form)


@every_engine
def test_a_time_of_day_in_the_format_of_a_date_is_refused_as_by_django(engine: Any) -> None:
    with pytest.raises(TypeError, match="time-related"):
        shown(engine, date(2026, 3, 1), "e")


@every_engine
def test_a_format_is_taken_apart_once(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(engine, date(2026, 3, 1), "j. n. Y")
    for module in (formats, dateformat):
        monkeypatch.setattr(module, "re_formatchars", None)
    assert shown(engine, date(2026, 3, 2), "j. n. Y") == "2. 3. 2026"


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("places", ["2", "-2", "0", "11", '"2"', '"2g"'])
@pytest.mark.parametrize(
    "value",
    [
        Decimal("1234.565"),
        Decimal("-0.001"),
        Decimal("1E+5"),
        Decimal("NaN"),
        1e300,
        0.5,
        7,
        "2.5",
        None,
    ],
    ids=repr,
)
def test_a_number_is_shown_as_by_django(
    settings: Settings, value: object, places: str, grouped: bool
) -> None:
    settings.USE_THOUSAND_SEPARATOR = grouped
    source = f"{{{{ value|floatformat:{places} }}}}"
    ours = engines["django"].from_string(source)
    assert ours.render({"value": value}) == DJANGO.from_string(source).render({"value": value})


def test_a_price_asks_none_of_djangos_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaultfilters, "floatformat", None)
    template = engines["django"].from_string("{{ price|floatformat:2 }}")
    assert template.render({"price": Decimal("9.995")}) == "10.00"
