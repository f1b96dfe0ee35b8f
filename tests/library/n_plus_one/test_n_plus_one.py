"""The error about an N+1 query names the view and the template that made it."""

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import Client, override_settings
from django.urls import path
from zeal import zeal_context
from zeal.errors import NPlusOneError

LIST = "<ul>\n{% for user in users %}<li>{{ user.groups.all|length }}{% endfor %}"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"list.html": LIST})]},
    }
]


def users(request: HttpRequest) -> HttpResponse:
    """Make a query for each user in a template."""
    return render(request, "list.html", {"users": get_user_model().objects.all()})


def groups(request: HttpRequest) -> HttpResponse:
    """Make a query for each user in a view."""
    return HttpResponse(str([list(user.groups.all()) for user in get_user_model().objects.all()]))


urlpatterns = [path("users/", users), path("groups/", groups)]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("/users/", f"Caused by view {__name__}.users and template list.html, line 2."),
        ("/groups/", f"Caused by view {__name__}.groups."),
    ],
)
def test_the_error_names_the_view_and_the_template(client: Client, url: str, cause: str) -> None:
    for name in ("ada", "bob"):
        get_user_model().objects.create_user(name).groups.create(name=name)
    with (
        override_settings(TEMPLATES=TEMPLATES, DEBUG=True),
        zeal_context(),
        pytest.raises(NPlusOneError) as raised,
    ):
        client.get(url)
    assert str(raised.value).endswith(cause)
