"""The filter `date` is Django's, for every value, format, time zone and language.

Run in a generated project with `--with hypothesis`.
"""

from datetime import UTC, timedelta
from datetime import timezone as offset
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.template import Context, Engine
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import under
from speed.jinja import date

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
PAGE = Engine().from_string("{% autoescape off %}{{ value|date:form }}{% endautoescape %}")

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
    shown = outcome(lambda: PAGE.render(Context({"value": value, "form": form})))
    assert outcome(lambda: date(value, form)) == shown


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
            assert date(datetime(2026, 3, 1), form) == shown
