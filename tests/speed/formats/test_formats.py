"""The filters are Django's, for every value, format, time zone and language.

Run in a generated project with `--with hypothesis`.
"""

from datetime import UTC, timedelta
from datetime import timezone as offset
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.template import Context, Engine, defaultfilters
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import under
from speed.formats import floatformat, local_date

CHARACTERS = "aAbcdDeEfFgGhHiIjlLmMnNoOPrsStTUuwWyYzZ"
NAMES = [
    "DATE_FORMAT",
    "DATETIME_FORMAT",
    "SHORT_DATE_FORMAT",
    "SHORT_DATETIME_FORMAT",
    "TIME_FORMAT",
    "MONTH_DAY_FORMAT",
    "YEAR_MONTH_FORMAT",
    "DATE_INPUT_FORMATS",
    "NUMBER_GROUPING",
    "__name__",
    "NO_SUCH_FORMAT",
]
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Africa/Monrovia"]
LANGUAGES = ["en-us", "en-gb", "de", "fr", "ar", "ja", "pt-br"]
DATE = "{% autoescape off %}{{ value|date:form }}{% endautoescape %}"
THEIRS, OURS = (Engine(builtins=names).from_string(DATE) for names in ([], ["speed.formats"]))

zones = st.sampled_from([None, UTC, *map(ZoneInfo, ZONES)]) | st.builds(
    lambda minutes: offset(timedelta(minutes=minutes)), st.integers(-1439, 1439)
)
values = st.one_of(
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.dates(),
    st.times(),
    st.times(timezones=st.just(UTC)),
    st.none(),
    st.text(max_size=3),
    st.integers() | st.booleans() | st.floats(),
    st.just(["no date"]),
)
forms = st.one_of(
    st.sampled_from([*NAMES, *CHARACTERS, None, ""]),
    st.text(st.sampled_from(CHARACTERS + "\\ ,-:é\n%<"), max_size=12),
    st.text(max_size=6),
)


def outcome(render: Any) -> object:
    """Return what is shown, or what went wrong."""
    try:
        return render()
    except Exception as error:
        return type(error), str(error)


def same(value: object, form: str | None) -> None:
    given = {"value": value, "form": form}
    shown = outcome(lambda: THEIRS.render(Context(given)))
    assert outcome(lambda: OURS.render(Context(given))) == shown
    assert outcome(lambda: local_date(value, form)) == shown


@given(
    values,
    forms,
    st.sampled_from([None, *ZONES]),
    st.sampled_from(LANGUAGES),
    st.sampled_from(LANGUAGES),
    st.sampled_from(ZONES),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=2000, deadline=None)
def test_every_value_is_shown_as_in_djangos_templates(
    value: object,
    form: str | None,
    zone: str | None,
    language: str,
    language_code: str,
    time_zone: str,
    use_tz: bool,
    use_i18n: bool,
) -> None:
    changes = {"USE_TZ": use_tz, "USE_I18N": use_i18n, "TIME_ZONE": time_zone}
    with under(zone, language, LANGUAGE_CODE=language_code, **changes):
        same(value, form)


@given(st.datetimes(timezones=zones, allow_imaginary=True) | st.dates() | st.times())
@settings(max_examples=300, deadline=None)
def test_every_character_of_a_format_means_the_same(value: object) -> None:
    for character in CHARACTERS:
        same(value, character)
        same(value, f"x {character}")


def test_a_format_of_the_projects_own_is_found(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "en").mkdir(parents=True)
    (tmp_path / "own" / "en" / "formats.py").write_text("MY_FORMAT = 'Y/m'\nY = 'y'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with under(FORMAT_MODULE_PATH="own", LANGUAGE_CODE="en"):
        from datetime import datetime

        for form, shown in {"MY_FORMAT": "2026/03", "Y": "26", "Y ": "2026 "}.items():
            same(datetime(2026, 3, 1), form)
            assert local_date(datetime(2026, 3, 1), form) == shown


@given(
    st.decimals() | st.decimals(places=3) | st.floats() | st.integers() | st.text(max_size=4),
    st.integers(-12, 12) | st.sampled_from(["2", "2g", "-1u", "", True, None, 2.0]),
    st.sampled_from(LANGUAGES),
    st.booleans(),
    st.booleans(),
)
@example(Decimal("0." + "1" * 250), 2, "de", False, True)
@example(Decimal("1" * 60 + ".125"), 2, "de", False, True)
@example(Decimal("-0.004"), 2, "de", False, True)
@example(Decimal(9) / 1000 + 999999999999999, 1, "fr", False, True)
@settings(max_examples=3000, deadline=None)
def test_every_number_is_shown_as_in_djangos_templates(
    value: object, places: object, language: str, grouped: bool, use_i18n: bool
) -> None:
    with under(None, language, USE_THOUSAND_SEPARATOR=grouped, USE_I18N=use_i18n):
        theirs = outcome(lambda: defaultfilters.floatformat(value, places))
        ours = outcome(lambda: floatformat(value, places))
        assert (type(ours), ours) == (type(theirs), theirs)


def test_the_precision_of_a_thread_does_not_matter() -> None:
    with localcontext(prec=3):
        assert floatformat(Decimal("1234.565"), 2) == "1234.57"
