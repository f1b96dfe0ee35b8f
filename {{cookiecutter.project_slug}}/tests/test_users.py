"""The cached user by its effect; the line that turns it on stands in the fixture `visit`."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.cache import caches
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from speed import users

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

User = get_user_model()
DJANGO = "django.contrib.auth.middleware.AuthenticationMiddleware"
CACHED = "speed.users.CachedUserMiddleware"


def name(request: HttpRequest) -> HttpResponse:
    """Name the visitor, and whether they may add groups if somebody asks."""
    may = "perm" in request.GET and request.user.has_perm("auth.add_group")
    return HttpResponse(f"{request.user.get_username()}{' may' if may else ''}")


async def aname(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username())


def save(request: HttpRequest) -> HttpResponse:
    """Save the whole user, as it came."""
    assert isinstance(request.user, User)
    request.user.first_name = "Ada"
    request.user.save()
    return HttpResponse()


urlpatterns = [path("", name), path("async/", aname), path("save/", save)]

Visit = Callable[..., str]


@pytest.fixture
def visit(
    client: Client,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> Iterator[Visit]:
    """Request a page as Ada, in a project with the line; a copy is kept after a commit only."""
    settings.DEBUG = False
    settings.MIDDLEWARE = [CACHED if path == DJANGO else path for path in settings.MIDDLEWARE]
    client.force_login(User.objects.create_user("ada", password="secret"))

    def visit(path: str = "/") -> str:
        with django_capture_on_commit_callbacks(execute=True):
            return client.get(path).text

    yield visit
    caches["sessions"].clear()


@pytest.fixture
def copied(visit: Visit) -> str:
    """The key of the copy, after it was made."""
    caches["sessions"].clear()  # as if the sign-in were a while ago
    assert visit() == "ada"
    key = users.key(User.objects.get(username="ada").pk)
    assert caches["sessions"].get(key)
    return key


@pytest.mark.parametrize("path", ["/", "/async/"])
def test_a_signed_in_visitor_costs_no_query(visit: Visit, copied: str, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert visit(path) == "ada"
    assert not queries.captured_queries


def test_the_line_signs_nobody_out(visit: Visit, client: Client, settings: Settings) -> None:
    assert visit() == "ada"
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
    ("change", "visitor"),
    [(rename, "bob"), (deactivate, ""), (change_password, ""), (lambda user: user.delete(), "")],
    ids=["rename", "deactivate", "password", "delete"],
)
def test_a_change_counts_for_the_next_request(
    visit: Visit, copied: str, change: Callable[[Any], None], visitor: str
) -> None:
    change(User.objects.get(username="ada"))
    assert visit() == visitor


def test_who_signed_out_is_signed_out(visit: Visit, copied: str, client: Client) -> None:
    client.logout()
    assert visit() == ""
    assert caches["sessions"].get(copied) is None


def test_permissions_count_at_once_whichever_way_they_are_given(visit: Visit, copied: str) -> None:
    user = User.objects.get(username="ada")
    permission: Any = Permission.objects.get(codename="add_group")
    staff: Any = Group.objects.create(name="staff")
    for give, take in (
        (lambda: user.user_permissions.add(permission), lambda: permission.user_set.clear()),
        (lambda: staff.permissions.add(permission), lambda: staff.permissions.clear()),
    ):
        give()
        staff.user_set.set([user])
        assert visit("/?perm") == "ada may"
        take()
        assert visit("/?perm") == "ada"


def test_no_password_lies_in_the_cache_and_saving_a_copy_keeps_it(
    visit: Visit, copied: str
) -> None:
    before = User.objects.get(username="ada")
    assert before.password not in str(caches["sessions"].get(copied))
    visit("/save/")
    after = User.objects.get(pk=before.pk)
    assert (after.first_name, after.password) == ("Ada", before.password)


def test_a_copy_that_somebody_else_wrote_is_not_used(visit: Visit, copied: str) -> None:
    db, row, signature = caches["sessions"].get(copied)
    forged: list[Any] = [[db, row | {"username": "eve"}, signature], [db, row], "eve", {}, 1]
    for copy in forged:
        caches["sessions"].set(copied, copy)
        assert visit() == "ada"


def test_a_copy_of_another_user_is_not_used(visit: Visit, copied: str) -> None:
    eve = User.objects.create_user("eve")
    caches["sessions"].set(users.key(eve.pk), caches["sessions"].get(copied))
    client = Client()
    client.force_login(eve)
    assert client.get("/").text == "eve"


def test_what_is_rolled_back_was_never_there(visit: Visit, copied: str) -> None:
    with suppress(RuntimeError), transaction.atomic():
        rename(User.objects.get(username="ada"))
        raise RuntimeError
    assert visit() == "ada"
