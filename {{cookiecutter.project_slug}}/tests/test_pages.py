"""What each page shows, to whom, and what it costs."""

from html import unescape

import pytest
from django.test import Client
from djfast.testing.budgets import Budget
from pytest_django import DjangoAssertNumQueries, Settings

from core import views
from core.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _production(settings: Settings) -> None:
    """Show pages as visitors get them."""
    settings.DEBUG = False


@pytest.mark.django_db(databases="__all__")
def test_a_page_stays_within_its_budget(budget: Budget) -> None:
    budget.check()


def test_an_anonymous_visitor_gets_the_start_page_without_a_cookie(
    client: Client, settings: Settings
) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert f"<h1>{settings.SITE_NAME}</h1>" in unescape(response.text)
    assert "Signed in" not in response.text
    assert not response.cookies


def test_a_signed_in_visitor_sees_their_name_and_no_admin(client: Client) -> None:
    client.force_login(User.objects.create_user("ada", first_name="Ada"))
    page = client.get("/").text
    assert "Signed in as <strong>Ada</strong>" in page
    assert "/admin/" not in page


def test_a_page_that_shows_its_visitor_varies_by_cookie(client: Client) -> None:
    assert "Cookie" in client.get("/").headers["Vary"]


def test_staff_find_the_admin(client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    assert 'href="/admin/"' in client.get("/").text
    assert client.get("/admin/").status_code == 200


def test_the_site_name_is_escaped(client: Client, settings: Settings) -> None:
    settings.SITE_NAME = "<script>alert(1)</script>"
    assert "<script>alert" not in client.get("/").text


def test_an_unknown_url_gets_the_page_not_found_page_without_a_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "<h1>Page not found</h1>" in response.text


def test_an_exception_gets_the_error_page_without_details(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "render", None)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "<h1>Something went wrong</h1>" in response.text
    assert "NoneType" not in response.text


def test_the_next_steps_are_shown_in_development_only(client: Client, settings: Settings) -> None:
    assert "createsuperuser" not in client.get("/").text
    settings.DEBUG = True
    assert "createsuperuser" in client.get("/").text
