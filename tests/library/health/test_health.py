"""What the health probes answer, whatever is broken."""

import threading
import time

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from djfast import health
from pytest_django import Settings

pytestmark = pytest.mark.django_db

DATABASE = health.CHECKS[0]


@pytest.fixture(autouse=True)
def close_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the connection of the probe's thread, which would prevent dropping the test database."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)


@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/"])
def test_probes_answer_over_plain_http_to_any_host(
    client: Client, settings: Settings, path: str
) -> None:
    settings.ALLOWED_HOSTS = ["example.com"]
    settings.SECURE_SSL_REDIRECT = True
    host = {"host": "10.1.2.3:8000"}
    assert client.get("/", headers=host).status_code == 400
    response = client.get(path, headers=host)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert client.head(path, headers=host).status_code == 200
    assert client.post(path, headers=host).status_code == 405


def test_a_working_process_is_ready_on_both_kinds_of_server(client: Client) -> None:
    states = {"status": "ok", "database": "ok", "cache": "ok"}
    assert client.get("/health/ready/").json() == states
    assert async_to_sync(AsyncClient().get)("/health/ready/").json() == states


def test_without_the_database_a_process_is_alive_but_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "NAME", "/no/such/database")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})  # not the pool, which is connected
    response = client.get("/health/ready/")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "unavailable", "cache": "ok"}
    assert client.get("/health/live/").json() == {"status": "ok"}


def test_without_the_cache_a_process_is_ready_but_degraded(
    client: Client, settings: Settings
) -> None:
    default = settings.CACHES["default"] | {"LOCATION": "redis://user:secret@127.0.0.1:1/0"}
    settings.CACHES = settings.CACHES | {"default": default}
    response = client.get("/health/ready/")
    assert response.status_code == 200
    assert response.json() == {"status": "degraded", "database": "ok", "cache": "unavailable"}


def test_a_cache_of_another_kind_is_asked_too(client: Client, settings: Settings) -> None:
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    settings.CACHES = settings.CACHES | {"default": local}
    assert client.get("/health/ready/").json()["cache"] == "ok"


def test_a_frozen_database_costs_one_probe_the_limit_and_later_ones_nothing_until_it_thaws(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    thawed = threading.Event()
    monkeypatch.setattr(health, "LIMIT", 1)
    monkeypatch.setattr(DATABASE, "ask", thawed.wait)
    start = time.monotonic()
    assert client.get("/health/ready/").status_code == 503
    threads = threading.active_count()
    assert [client.get("/health/ready/").status_code for _ in range(9)] == [503] * 9
    assert time.monotonic() - start < 5  # seconds: not ten times the limit
    assert threading.active_count() == threads
    thawed.set()
    DATABASE.begin().result(timeout=10)  # the question that was open all the time
    assert client.get("/health/ready/").status_code == 200
