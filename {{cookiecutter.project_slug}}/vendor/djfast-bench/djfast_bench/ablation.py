"""Each default of djfast.rows against Django's own choice, in the scenario that its row names."""

from functools import partial
from typing import TYPE_CHECKING

from djfast_bench import client
from djfast_bench.fixture import Fixture, Limits, Scenario
from djfast_bench.in_process import cached_value, same_page, second_visit
from djfast_bench.served import served_page, two_visits
from djfast_bench.timing import Measurement, WrongResponse

if TYPE_CHECKING:
    from djfast.rows import Row

# Concurrent visitors: enough to keep each process busy, since persistent connections are not spread
# evenly over processes.
VISITORS = 16
REVERTED = ("reverted", "inactive", "your choice")  # states in which a row has no effect to measure
LIST = "/catalogue/"
RUNSERVER = ("-m", "django", "runserver", "--noreload", "127.0.0.1:PORT")

# By the scenario that rows name.
SCENARIOS: dict[str, Scenario] = {
    "a page without a query": partial(served_page, path="/catalogue/hello/", visitors=VISITORS),
    "a page with one query": partial(served_page, path="/catalogue/count/"),
    "concurrent visitors": partial(
        served_page, path="/catalogue/count/", visitors=VISITORS, command=RUNSERVER
    ),
    "a value read from the cache": cached_value,
    "a page that shows the name of the signed-in user": partial(
        same_page, path="/catalogue/account/"
    ),
    "the sign-in page of the admin": partial(same_page, path="/admin/login/"),
    "a list page of 50 rows": partial(same_page, path=LIST),
    "a list page of 50 rows, sent to a browser": partial(
        same_page, path=LIST, accept_encoding=client.ACCEPT
    ),
    "a list page of 50 rows, cached as a fragment": partial(
        same_page, path="/catalogue/cached/fragment/"
    ),
    "a list page of 50 rows, none of them changed": partial(
        same_page, path="/catalogue/cached/rows/", other=LIST
    ),
    "a list page of 50 rows for anonymous visitors": partial(
        same_page,
        path="/catalogue/cached/page/",
        other="/catalogue/cached/django-page/",
        cookie="",
    ),
    "a list of 50 rows whose view omits select_related": partial(
        same_page, path="/catalogue/n-plus-one/guarded/", other="/catalogue/n-plus-one/forgotten/"
    ),
    "a second visit": partial(second_visit, path="/catalogue/about/"),
    "the sign-in page of the admin, and again a day later": partial(
        two_visits, path="/admin/login/"
    ),
    "the home page, and again a day later": partial(two_visits, path="/", bundled=False),
}


def measure_row(row: "Row", fixture: Fixture, limits: Limits) -> Measurement:
    """Measure one default; a wrong response leaves it without figures."""
    found = Measurement(
        suite="defaults",
        name=row.name,
        scenario=row.scenario,
        experiment="with the default",
        control=row.django,
        claim=row.claim,
        benefit=row.benefit,
    )
    try:
        state, evidence = row.finding()
        if state in REVERTED:
            found.note = (
                f"This project has reverted it, so no difference is expected: {evidence()}."
            )
        if row.scenario not in SCENARIOS:
            raise LookupError(f"this version of djfast-bench has no scenario {row.scenario!r}")
        found.dimensions = SCENARIOS[row.scenario](row, fixture, limits)
    except WrongResponse as error:
        found.error = f"Wrong response: {error}"
    except (Exception, SystemExit) as error:  # the other rows can still be measured
        found.error = f"{type(error).__name__}: {error}"
    return found
