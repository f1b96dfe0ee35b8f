"""The cached user in the whole middleware stack."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from djfast.cache import users
from users_site import (
    CACHED,
    DJANGO,
    User,
    has_entry,
)

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in() -> Client:
    """Return a client of the user ada, some time after the sign-in, with an entry in the cache."""
    client = Client()
    client.force_login(User.objects.create_user("ada", password="secret"))
    caches["sessions"].clear()
    assert client.get("/").text == "ada"
    return client


@pytest.mark.parametrize("url", ["/", "/async/"])
def test_a_page_for_a_signed_in_user_makes_no_query(url: str) -> None:
    client = signed_in()
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).text == "ada"
    assert not queries.captured_queries


def test_adding_and_removing_the_middleware_signs_nobody_out(settings: Any) -> None:
    client = signed_in()
    for middleware in (DJANGO, CACHED):
        settings.MIDDLEWARE = [
            middleware if path in (DJANGO, CACHED) else path for path in settings.MIDDLEWARE
        ]
        other = Client()
        other.cookies = client.cookies
        assert other.get("/").text == "ada"


def rename(user: Any) -> None:
    user.username = "bob"
    user.save()


def deactivate(user: Any) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])


def change_password(user: Any) -> None:
    user.set_password("other")
    user.save()


@pytest.mark.parametrize(
    ("change", "name"),
    [(rename, "bob"), (deactivate, ""), (change_password, ""), (lambda user: user.delete(), "")],
    ids=["rename", "deactivate", "password", "delete"],
)
def test_a_change_takes_effect_with_the_next_request(
    change: Callable[[Any], None], name: str
) -> None:
    client = signed_in()
    change(User.objects.get(username="ada"))
    assert client.get("/").text == name


def test_a_sign_out_removes_the_entry() -> None:
    client = signed_in()
    key = users.key(User.objects.get(username="ada").pk)
    assert has_entry(key)
    client.logout()
    assert client.get("/").text == ""
    assert caches["sessions"].get(key) is None


def test_a_forged_entry_is_not_used() -> None:
    client = signed_in()
    key = users.key(User.objects.get(username="ada").pk)
    db, row, signature = caches["sessions"].get(key)
    forged: list[Any] = [[db, row | {"username": "eve"}, signature], [db, row], "eve", {}, 1]
    for entry in forged:
        caches["sessions"].set(key, entry)
        assert client.get("/").text == "ada"
