"""Health checks of PostgreSQL connections: which requests send a query for one, and that none fails.

Requests run in a thread, which has its own connection as on a server.
"""

import asyncio
import select
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import IntegrityError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from djfast import engine
from djfast.engine import connections as module

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

Request = Callable[[str], str]
BEFORE: list[Callable[[], object]] = []  # called by the view "late" before its query


def pid(request: HttpRequest) -> HttpResponse:
    """Respond with the id of the PostgreSQL process behind the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return HttpResponse(str(cursor.fetchone()[0]))


def twice(request: HttpRequest) -> HttpResponse:
    """Send two queries."""
    pid(request)
    return pid(request)


def late(request: HttpRequest) -> HttpResponse:
    """Do something before the first query."""
    BEFORE.pop()()
    return pid(request)


def none(request: HttpRequest) -> HttpResponse:
    """Respond without a query."""
    return HttpResponse("none")


def broken(request: HttpRequest) -> HttpResponse:
    """Open a transaction without Django's knowledge, and end in an error that Django does not record."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with pytest.raises(IntegrityError):
            cursor.execute("DO $$ BEGIN RAISE unique_violation; END $$")
    return HttpResponse("broken")


def interrupted(request: HttpRequest) -> HttpResponse:
    """Leave while a query is in progress, as an exception from a signal handler does."""
    pid(request)
    connection.connection.pgconn.send_query(b"SELECT pg_sleep(1)")
    return HttpResponse("interrupted")


def closed(request: HttpRequest) -> HttpResponse:
    """Close the connection without Django's knowledge."""
    connection.connection.close()
    return HttpResponse("closed")


views = (pid, twice, late, none, broken, interrupted, closed)
urlpatterns = [path(f"{view.__name__}/", view) for view in views]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries by which Django checks a connection."""
    found: list[str] = []
    execute: Any = psycopg.Cursor.execute

    def noted(self: Any, query: str, *args: Any, **options: Any) -> Any:
        found.extend({query}.intersection(["SELECT 1"]))
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The seconds that the module sees, as `now`."""
    seconds = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: seconds.now))
    return seconds


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> module.HealthChecks:
    """New counters, connected to the signal."""
    made = module.HealthChecks()
    monkeypatch.setattr(module, "CHECKS", made)
    engine.install()
    return made


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of the database, with persistent connections that are checked and not pooled."""
    found: dict[str, Any] = connections.settings["default"]
    options = {name: value for name, value in found["OPTIONS"].items() if name != "pool"}
    for name, value in [
        ("CONN_MAX_AGE", 600),
        ("CONN_HEALTH_CHECKS", True),
        ("OPTIONS", options),
    ]:
        monkeypatch.setitem(found, name, value)
    return found


@pytest.fixture
def thread(database: dict[str, Any]) -> Iterator[ThreadPoolExecutor]:
    """A thread of a server."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor
        executor.submit(connections.close_all).result()


@pytest.fixture
def request_(checks: module.HealthChecks, thread: ThreadPoolExecutor) -> Request:
    """Return a function that requests a view from that thread and returns the body of the response."""
    handler = WSGIHandler()

    def request_(view: str) -> str:
        environ = RequestFactory().get(f"/{view}/").environ
        response: Any = handler(environ, lambda status, headers: None)
        assert response.status_code == 200
        response.close()  # as a server does: request_finished
        return str(response.content.decode())

    return lambda view: thread.submit(request_, view).result()


def end(backend: str) -> None:
    """Make the database end a connection, and wait until it has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [int(backend)])
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(("chosen", "queries"), [(True, 1), (False, 4)])
def test_a_connection_in_use_is_checked_with_one_query_and_by_django_with_one_per_request(
    request_: Request,
    sent: list[str],
    clock: SimpleNamespace,
    checks: module.HealthChecks,
    settings: Any,
    chosen: bool,
    queries: int,
) -> None:
    settings.DJFAST_ENGINE = chosen
    first = request_("pid")
    for _ in range(4):
        clock.now += 4
        assert request_("pid") == first
    assert len(sent) == queries
    assert (checks.skipped, checks.sent) == ((3, 1) if chosen else (0, 0))


def test_a_request_with_several_queries_is_one_check(
    request_: Request, sent: list[str], checks: module.HealthChecks
) -> None:
    for _ in range(3):
        request_("twice")
    assert (len(sent), checks.sent, checks.skipped) == (1, 1, 1)
    assert module.evidence() == "1 health checks of this process without a query, 1 with one"


def test_a_connection_that_was_idle_for_ten_seconds_is_checked_by_django(
    request_: Request, sent: list[str], clock: SimpleNamespace
) -> None:
    for expected in (0, 1, 2):
        request_("pid")
        assert len(sent) == expected
        clock.now += 10


def test_requests_without_a_query_are_no_use_of_a_connection(
    request_: Request, sent: list[str], clock: SimpleNamespace
) -> None:
    request_("pid"), request_("pid")
    for _ in range(12):
        clock.now += 5
        request_("none")
    assert len(sent) == 1
    request_("pid")
    assert len(sent) == 2


def test_where_the_socket_cannot_be_polled_every_connection_is_checked_by_django(
    request_: Request, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "poll")
    request_("pid"), request_("pid"), request_("pid")
    assert len(sent) == 2


def test_a_connection_that_the_database_has_ended_fails_no_request(request_: Request) -> None:
    request_("pid")
    lost = request_("pid")
    end(lost)
    assert request_("pid") != lost


def test_a_connection_that_ends_between_the_start_of_a_request_and_its_first_query_fails_none(
    request_: Request, sent: list[str]
) -> None:
    request_("pid")
    lost = request_("pid")

    def end_from_outside() -> None:
        with psycopg.connect(
            **connection.get_connection_params() | {"cursor_factory": None}
        ) as own:
            own.execute("SELECT pg_terminate_backend(%s, 5000)", [int(lost)])

    BEFORE.append(end_from_outside)
    assert request_("late") != lost
    assert len(sent) == 2


@pytest.mark.parametrize("view", ["closed", "broken", "interrupted"])
def test_a_connection_that_a_request_has_made_unusable_fails_no_other(
    request_: Request, view: str
) -> None:
    request_("pid")
    lost = request_("pid")
    request_(view)
    assert request_("pid") != lost


@pytest.mark.parametrize(
    ("name", "value"),
    [("CONN_HEALTH_CHECKS", False), ("CONN_MAX_AGE", 0)],
    ids=lambda one: str(one),
)
def test_a_project_without_health_checks_makes_none(
    request_: Request, sent: list[str], database: Any, checks: Any, name: str, value: Any
) -> None:
    database[name] = value  # `database` restores it
    request_("pid"), request_("pid"), request_("pid")
    assert (sent, checks.skipped, checks.sent) == ([], 0, 0)


class Geographic(DatabaseWrapper):
    """The connection of another ENGINE, as of postgis or timescale."""


class Failover(DatabaseWrapper):
    """A connection with a health check of its own."""

    def is_usable(self) -> bool:
        """Check the connection, and whatever else matters to this ENGINE."""
        return super().is_usable()


class Balanced(DatabaseWrapper):
    """A connection that decides for itself when it is checked."""

    def close_if_health_check_failed(self) -> None:
        """Check the connection as Django does."""
        super().close_if_health_check_failed()


@pytest.mark.parametrize(("wrapper", "queries"), [(Geographic, 1), (Failover, 3), (Balanced, 3)])
def test_another_engine_is_supported_unless_it_changes_the_health_check(
    request_: Request, sent: list[str], thread: Any, database: Any, wrapper: Any, queries: int
) -> None:
    thread.submit(lambda: connections.__setitem__("default", wrapper(database, "default"))).result()
    for _ in range(4):
        request_("pid")
    assert len(sent) == queries


def test_a_pooled_connection_is_checked_by_its_pool_and_one_of_psycopg2_by_django(
    database: dict[str, Any],
) -> None:
    wrapper: Any = DatabaseWrapper(database, "beside")
    wrapper.connect()
    try:
        wrapper.close_if_unusable_or_obsolete()
        assert module.is_due(wrapper)
        database["OPTIONS"] = {"pool": True}  # `database` restores it
        assert not module.is_due(wrapper)
        database["OPTIONS"] = {}
        opened, wrapper.connection = wrapper.connection, object()  # it has no `pgconn`
        assert not module.is_due(wrapper)
        wrapper.connection = opened
        assert module.is_due(wrapper)
    finally:
        wrapper.close()


def test_other_databases_are_left_alone() -> None:
    wrapper = SQLiteWrapper({**connections.settings["default"], "OPTIONS": {}, "NAME": ":memory:"})
    assert not module.is_due(wrapper)


def test_the_connection_of_a_test_is_not_checked(
    client: Client, sent: list[str], database: Any, checks: module.HealthChecks
) -> None:
    """It is in a transaction, and the test client disconnects Django's receiver."""
    assert client.get("/pid/").content == client.get("/pid/").content
    assert (sent, checks.skipped, checks.sent) == ([], 0, 0)


def test_requests_under_asgi_are_answered(database: Any, checks: module.HealthChecks) -> None:
    async def request() -> list[Any]:
        sent: list[Any] = []
        messages = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Any:
            if (message := next(messages, None)) is None:
                await asyncio.Event().wait()
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/twice/", "query_string": b""}
        await ASGIHandler()(scope | {"headers": [(b"host", b"testserver")]}, receive, send)
        return sent

    database["CONN_MAX_AGE"] = 0  # or each connection stays open with its thread, as in Django
    for _ in range(3):
        start, *_ = asyncio.run(request())
        assert start["status"] == 200


def test_a_changed_django_disconnects_the_receiver(
    request_: Request, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        name = "django.db.backends.postgresql.base.DatabaseWrapper.is_usable"
        original: Any = DatabaseWrapper.is_usable
        patch.setattr(DatabaseWrapper, "is_usable", lambda self: original(self))
        engine.install()
        assert engine.changed("connections") == [name]
        request_("pid"), request_("pid"), request_("pid")
        assert len(sent) == 2
    engine.install()
    request_("pid"), request_("pid")
    assert len(sent) == 3
