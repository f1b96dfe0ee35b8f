"""The error about an N+1 query names the view and the template that made it."""

from functools import partial

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import Client, override_settings
from django.urls import path
from django.views.generic import ListView
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


class UserList(ListView):
    """Make a query for each user in a template, in a view of Django."""

    queryset = get_user_model().objects.all()
    context_object_name = "users"
    template_name = "list.html"


class ListAdmin(admin.ModelAdmin):
    """Make a query for each user in a template, in a view of the admin."""

    def changelist_view(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        return users(request)

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return True


class Called:
    """Make a query for each user in a template, in an object that can be called."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return users(request)


SITE = admin.AdminSite()
SITE.has_permission = lambda request: True
SITE.register(get_user_model(), ListAdmin)
urlpatterns = [
    path("users/", users),
    path("groups/", groups),
    path("list/", UserList.as_view()),
    path("partial/", partial(users)),
    path("called/", Called()),
    path("admin/", SITE.urls),
]
IN_TEMPLATE = "template list.html, line 2."


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("/users/", f"Caused by view {__name__}.users and {IN_TEMPLATE}"),
        ("/groups/", f"Caused by view {__name__}.groups."),
        ("/list/", f"Caused by view {__name__}.UserList and {IN_TEMPLATE}"),
        ("/partial/", f"Caused by view {__name__}.users and {IN_TEMPLATE}"),
        ("/called/", f"Caused by view {__name__}.Called and {IN_TEMPLATE}"),
        (
            "/admin/core/user/",
            f"Caused by view {__name__}.ListAdmin.changelist_view and {IN_TEMPLATE}",
        ),
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
