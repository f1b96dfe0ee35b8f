"""A kept connection is known to be alive without a query, and found lost when it is."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper as DjangosWrapper

from speed.postgresql import base

pytestmark = pytest.mark.django_db
CHECKS = ("SELECT 1", "")  # what Django sends on a connection, and on one from a pool
Visit = Callable[[], int]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the database is sent to see whether it answers."""
    found: list[str] = []
    execute: Any = psycopg.Cursor.execute

    def noted(self: Any, query: str, *args: Any, **options: Any) -> Any:
        found.extend({query}.intersection(CHECKS))
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return found


@pytest.fixture(params=[base.DatabaseWrapper])
def wrapper(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A connection beside that of the tests, under the same settings."""
    same = deepcopy(connections.settings["default"])
    # {% if cookiecutter.interface == "asgi" %}
    # Of one connection, which each request gets.
    same["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1}
    # {% endif %}
    made = request.param(same, "beside")
    yield made
    made.close()
    made.close_pool()


@pytest.fixture
def visit(wrapper: Any) -> Visit:
    """A request that makes one query; the process of the database that answers."""

    def one() -> int:
        # {% if cookiecutter.interface == "wsgi" %}
        wrapper.close_if_unusable_or_obsolete()  # as at the end of the last request
        # {% else %}
        wrapper.close()  # as at the end of the last request: gives it back to the pool
        # {% endif %}
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    return one


def end(pid: int) -> None:
    """Let the database end a connection, and wait until it has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(
    ("wrapper", "sent"),
    [(base.DatabaseWrapper, 0), (DjangosWrapper, 1)],
    ids=["ours", "Django's"],
    indirect=["wrapper"],
)
def test_a_connection_that_was_just_in_use_is_asked_nothing(
    visit: Visit, checks: list[str], sent: int
) -> None:
    first, second = visit(), visit()  # one makes it, the other does not know yet that it is in use
    checks.clear()
    assert visit() == first == second
    assert len(checks) == sent


def test_after_a_rest_it_is_asked(
    visit: Visit, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(), visit()
    monkeypatch.setattr(base, "RECENT", 0)
    checks.clear()
    visit()
    assert len(checks) == 1


@pytest.mark.parametrize("recent", [base.RECENT, 0])
def test_a_connection_that_the_database_has_ended_costs_no_request(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    visit()
    lost = visit()
    monkeypatch.setattr(base, "RECENT", recent)
    end(lost)
    assert visit() != lost


def test_nor_does_one_that_this_process_has_closed(visit: Visit, wrapper: Any) -> None:
    visit()
    closed = visit()
    wrapper.connection.close()
    assert visit() != closed


def unchecked(settings: dict[str, Any], alias: str) -> base.DatabaseWrapper:
    """Connect under settings without health checks."""
    return base.DatabaseWrapper(settings | {"CONN_HEALTH_CHECKS": False}, alias)


@pytest.mark.parametrize("wrapper", [unchecked], indirect=True)
def test_without_health_checks_there_is_none(
    visit: Visit, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "is_known_to_live", None)
    visit(), visit()
    assert checks == []
