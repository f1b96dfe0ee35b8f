"""Compare the filters with Django's, for all kinds of values, formats, time zones and languages."""

import importlib
from datetime import UTC, date, datetime, time, timedelta
from datetime import timezone as offset
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from config.jinja2 import environment
from django.template import Context, Engine, defaultfilters
from django.utils import dateformat, timezone
from django.utils.safestring import SafeString
from djfast import engine
from djfast.engine import formats
from djfast.engine.formats import floatformat, local_date
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import under

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
STOCK, FAST = Engine(), Engine(builtins=["djfast.engine.formats"])
THEIRS, OURS = STOCK.from_string(DATE), FAST.from_string(DATE)
JINJA2 = environment(autoescape=False).from_string("{{ value|date(form) }}")

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
    """Return the output, or the type and text of the error."""
    try:
        return render()
    except Exception as error:
        return type(error), str(error)


def assert_same(value: object, form: str | None) -> None:
    """Compare both engines with Django's."""
    given = {"value": value, "form": form}
    expected = outcome(lambda: THEIRS.render(Context(given)))
    assert outcome(lambda: OURS.render(Context(given))) == expected
    assert outcome(lambda: JINJA2.render(given)) == expected


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
def test_every_date_is_rendered_as_in_djangos_templates(
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
        assert_same(value, form)


@given(st.datetimes(timezones=zones, allow_imaginary=True) | st.dates() | st.times())
@settings(max_examples=300, deadline=None)
def test_every_character_of_a_format_means_the_same(value: object) -> None:
    for character in CHARACTERS:
        assert_same(value, character)
        assert_same(value, f"x {character}")


def test_a_format_of_the_project_is_found(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own" / "en").mkdir(parents=True)
    (tmp_path / "own" / "en" / "formats.py").write_text("MY_FORMAT = 'Y/m'\nY = 'y'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with under(FORMAT_MODULE_PATH="own", LANGUAGE_CODE="en"):
        for form, expected in {"MY_FORMAT": "2026/03", "Y": "26", "Y ": "2026 "}.items():
            assert_same(datetime(2026, 3, 1), form)
            assert local_date(datetime(2026, 3, 1), form) == expected


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
def test_every_number_is_rendered_as_in_djangos_templates(
    value: object, places: object, language: str, grouped: bool, use_i18n: bool
) -> None:
    with under(None, language, USE_THOUSAND_SEPARATOR=grouped, USE_I18N=use_i18n):
        theirs = outcome(lambda: defaultfilters.floatformat(value, places))
        ours = outcome(lambda: floatformat(value, places))
        assert (type(ours), ours) == (type(theirs), theirs)


def test_the_decimal_precision_of_a_thread_does_not_matter() -> None:
    with localcontext(prec=3):
        assert floatformat(Decimal("1234.565"), 2) == "1234.57"


@pytest.mark.parametrize("form", ["j F Y", "DATE_FORMAT", "c", r"jS \of F, H:i e", "", "-"])
@pytest.mark.parametrize(
    "value", [datetime(2026, 3, 1, 23, 30, tzinfo=UTC), datetime(2026, 3, 1), time(7), None, "", 7]
)
def test_a_date_is_rendered_in_the_current_time_zone(value: object, form: str) -> None:
    with timezone.override("Asia/Tokyo"):
        assert_same(value, form)


@pytest.mark.parametrize("template", [OURS, JINJA2], ids=["django", "jinja2"])
def test_a_date_with_the_format_of_a_time_is_the_error_of_django(template: Any) -> None:
    values: dict[str, Any] = {"value": date(2026, 3, 1), "form": "e"}
    with pytest.raises(TypeError, match="time-related"):
        template.render(Context(values) if template is OURS else values)


@pytest.mark.parametrize("template", [OURS, JINJA2], ids=["django", "jinja2"])
def test_a_format_is_split_once(template: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def rendered(day: int) -> str:
        values = {"value": date(2026, 3, day), "form": "j. n. Y"}
        return str(template.render(Context(values) if template is OURS else values))

    rendered(1)
    for module in (formats, dateformat):
        monkeypatch.setattr(module, "re_formatchars", None)
    assert rendered(2) == "2. 3. 2026"


NUMBERS = [
    *(Decimal("1234.565"), Decimal("-0.001"), Decimal("1E+5"), Decimal("NaN")),
    *(1e300, 0.5, 7, "2.5", None),
]


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("places", ["2", "-2", "0", "11", '"2"', '"2g"'])
def test_a_template_renders_numbers_as_django_does(places: str, grouped: bool) -> None:
    source = f"{{% for value in values %}}{{{{ value|floatformat:{places} }}}} {{% endfor %}}"
    with under(USE_THOUSAND_SEPARATOR=grouped):
        ours, theirs = (
            engine.from_string(source).render(Context({"values": NUMBERS}))
            for engine in (FAST, STOCK)
        )
    assert ours == theirs


def test_a_price_needs_none_of_djangos_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaultfilters, "floatformat", None)
    template = FAST.from_string("{{ price|floatformat:2 }}")
    assert template.render(Context({"price": Decimal("9.995")})) == "10.00"


def test_the_flags_of_the_filters_are_those_of_the_installed_django(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = SafeString("<b>")
    stock = defaultfilters.floatformat

    def floatformat(text: Any, arg: Any = -1) -> Any:
        return "".join([text]) if text is value else stock(text, arg)

    floatformat.is_safe = False  # type: ignore[attr-defined]
    monkeypatch.setattr(defaultfilters, "floatformat", floatformat)
    try:
        engine.install()
        importlib.reload(formats)
        assert not engine.active("formats")
        page = Engine(builtins=["djfast.engine.formats"]).from_string("{{ value|floatformat }}")
        assert page.render(Context({"value": value})) == "&lt;b&gt;"
    finally:
        monkeypatch.undo()
        importlib.reload(formats)
        engine.install()


def test_the_evidence_counts_prepared_formats() -> None:
    formats.prepared.cache_clear()
    local_date(date(2026, 3, 1), "j F Y")
    assert formats.evidence() == "1 formats prepared in this process"
