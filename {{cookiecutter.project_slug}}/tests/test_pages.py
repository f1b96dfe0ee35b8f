"""What each page shows, to whom, and how many queries that takes."""

from html import unescape

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from core import views
from core.models import User
from speed import effects
from speed.defaults import DEFAULTS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def visitor(settings: Settings) -> None:
    """Show the pages that visitors get."""
    settings.DEBUG = False


def test_a_stranger_gets_the_home_page_without_a_query(
    client: Client, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.get("/")
    assert response.status_code == 200
    assert f"<h1>{settings.SITE_NAME}</h1>" in unescape(response.text)
    assert "Signed in" not in response.text
    assert not response.cookies


def test_a_signed_in_visitor_sees_their_name_for_one_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(User.objects.create_user("ada", first_name="Ada"))
    with django_assert_num_queries(1):  # the user; the session comes from the cache
        response = client.get("/")
    assert "Signed in as <strong>Ada</strong>" in response.text
    assert "/admin/" not in response.text


def test_a_page_that_names_its_visitor_says_so_to_shared_caches(client: Client) -> None:
    assert "Cookie" in client.get("/").headers["Vary"]


def test_staff_find_the_admin(client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    assert 'href="/admin/"' in client.get("/").text
    assert client.get("/admin/").status_code == 200


def test_the_site_name_is_text_and_never_markup(client: Client, settings: Settings) -> None:
    settings.SITE_NAME = "<script>alert(1)</script>"
    assert "<script>alert" not in client.get("/").text


def test_an_unknown_address_gets_the_page_not_found_page_without_a_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "<h1>Page not found</h1>" in response.text


def test_a_fault_gets_the_error_page_and_no_details(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "render", None)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "<h1>Something went wrong</h1>" in response.text
    assert "NoneType" not in response.text


def test_a_visitor_sees_nothing_of_the_speed_panel_and_nothing_is_observed_for_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "observe", None)
    assert "Speed defaults" not in client.get("/").text


def test_a_developer_sees_every_speed_default_on_the_home_page(
    client: Client, settings: Settings
) -> None:
    settings.DEBUG = True
    page = unescape(client.get("/").text)
    missing = [default.name for default in DEFAULTS if f"<h3>{default.name}</h3>" not in page]
    assert "Speed defaults" in page
    assert not missing
