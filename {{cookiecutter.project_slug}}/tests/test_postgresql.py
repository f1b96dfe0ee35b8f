"""A kept connection is known to be alive without a query, and found lost when it is lost."""

import select
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper as DjangosWrapper

import speed.postgresql
from speed.postgresql import base

pytestmark = pytest.mark.django_db
Visit = Callable[[], int]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries by which Django asks a connection whether it is alive."""
    found: list[str] = []
    execute: Any = psycopg.Cursor.execute

    def noted(self: Any, query: str, *args: Any, **options: Any) -> Any:
        found.extend({query}.intersection(["SELECT 1"]))
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return found


def ours(**changes: Any) -> Callable[[dict[str, Any]], base.DatabaseWrapper]:
    """Return what makes a connection under changed settings."""
    return lambda settings: base.DatabaseWrapper(settings | changes, "beside")


@pytest.fixture(params=[ours()])
def wrapper(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A kept connection beside that of the tests."""
    kept = {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
    made = request.param(deepcopy(connections.settings["default"]) | kept)
    yield made
    made.close()


@pytest.fixture
def visit(wrapper: Any) -> Visit:
    """A request that makes one query; the process of the database that answers."""

    def one() -> int:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            found = int(cursor.fetchone()[0])
        wrapper.close_if_unusable_or_obsolete()  # as Django does after a request
        return found

    return one


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The seconds that the health check sees, as `now`."""
    seconds = SimpleNamespace(now=0.0)
    monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=lambda: seconds.now))
    return seconds


def end(pid: int) -> None:
    """Let the database end a connection, and wait until it has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(
    ("wrapper", "sent"),
    [(ours(), 1), (lambda settings: DjangosWrapper(settings, "beside"), 4)],
    ids=["ours", "Django's"],
    indirect=["wrapper"],
)
def test_a_connection_in_use_is_asked_once_and_by_django_each_time(
    visit: Visit, checks: list[str], clock: SimpleNamespace, sent: int
) -> None:
    first, spared = visit(), base.checks["spared"]
    for _ in range(4):
        clock.now += 4
        assert visit() == first
    assert len(checks) == sent
    assert base.checks["spared"] - spared == 4 - sent


def test_a_connection_that_has_rested_for_a_minute_is_asked(
    visit: Visit, checks: list[str], clock: SimpleNamespace
) -> None:
    for expected in (0, 1, 2):
        visit()
        assert len(checks) == expected
        clock.now += 60


def test_where_the_socket_cannot_be_looked_at_each_connection_is_asked(
    visit: Visit, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "poll")
    visit(), visit(), visit()
    assert len(checks) == 2


def test_a_connection_that_the_database_has_ended_costs_no_request(visit: Visit) -> None:
    visit()
    lost = visit()
    end(lost)
    assert visit() != lost


def test_a_connection_that_somebody_has_closed_costs_no_request(visit: Visit, wrapper: Any) -> None:
    visit()
    closed = visit()
    wrapper.connection.close()
    assert visit() != closed


def begin(wrapper: Any) -> None:
    """Open a transaction behind Django's back, and break it in a way that Django takes no note of."""
    with wrapper.cursor() as cursor:
        cursor.execute("BEGIN")
        with pytest.raises(IntegrityError):
            cursor.execute("DO $$ BEGIN RAISE unique_violation; END $$")


def interrupt(wrapper: Any) -> None:
    """Leave while a query is under way, as an exception from a signal does."""
    wrapper.connection.pgconn.send_query(b"SELECT pg_sleep(1)")


@pytest.mark.parametrize("leave", [begin, interrupt])
def test_a_connection_that_a_request_has_left_in_no_state_to_be_used_costs_no_other(
    visit: Visit, wrapper: Any, leave: Callable[[Any], None]
) -> None:
    visit()
    left = visit()
    leave(wrapper)
    wrapper.close_if_unusable_or_obsolete()
    assert visit() != left


@pytest.mark.parametrize(
    "wrapper",
    [ours(CONN_HEALTH_CHECKS=False), ours(CONN_MAX_AGE=0)],
    ids=["without health checks", "without kept connections"],
    indirect=True,
)
def test_a_project_that_has_no_use_for_checks_makes_none(
    visit: Visit, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "check_without_query", None)
    visit(), visit(), visit()
    assert checks == []


@pytest.mark.parametrize(
    ("kind", "changes", "holds"),
    [
        (base.DatabaseWrapper, {}, True),
        (DjangosWrapper, {}, False),
        (type("OtherWrapper", (DjangosWrapper,), {}), {}, None),
        (base.DatabaseWrapper, {"CONN_MAX_AGE": None}, True),  # for ever
        (base.DatabaseWrapper, {"CONN_MAX_AGE": 0}, None),
        (base.DatabaseWrapper, {"CONN_HEALTH_CHECKS": False}, None),
    ],
)
def test_the_check_knows_where_this_backend_is_missed(
    monkeypatch: pytest.MonkeyPatch, kind: Any, changes: dict[str, Any], holds: bool | None
) -> None:
    kept = {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
    used = kind(deepcopy(connections.settings["default"]) | kept | changes, "beside")
    monkeypatch.setattr(speed.postgresql, "connections", {"default": used})
    monkeypatch.setattr(base, "checks", Counter(spared=3, sent=2))
    found, show = speed.postgresql.finding()
    assert found is holds
    if holds:
        assert show() == "3 checks of this process without a query, 2 with one"
