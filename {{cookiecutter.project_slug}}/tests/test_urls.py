"""The `url` tag, and Jinja2's `url()`, by what they write and whom they ask."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.test import override_settings
from django.urls import NoReverseMatch, URLResolver, include, path, set_script_prefix
from django.urls import reverse as django_reverse

from speed.urls import reverse


def view(request: HttpRequest, **arguments: Any) -> HttpResponse:
    return HttpResponse()


shop = [path("<slug:item>/", view, name="item")]
here = (path("first/", include((shop, "shop"))), path("other/", include((shop, "shop"), "other")))
there = (path("moved/<str:item>", include((shop, "shop"))), path("late/", view, name="late"))


def rendered(engine: Any, name: str, argument: object) -> str:
    """Let a template write one address."""
    if isinstance(engine, DjangoTemplates):
        source = "{% url name argument %}"
    else:
        source = "{" + "{ url(name, argument) }" + "}"
    return str(engine.from_string(source).render({"name": name, "argument": argument}))


@pytest.mark.parametrize("engine", engines.all(), ids=lambda engine: engine.name)
def test_no_template_has_django_search_for_an_address(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(URLResolver, "_reverse_with_prefix", None)
    assert rendered(engine, "admin:auth_group_change", 3) == "/admin/auth/group/3/change/"
    assert rendered(engine, "admin:app_list", "auth") == "/admin/auth/"


@pytest.mark.parametrize("engine", engines.all(), ids=lambda engine: engine.name)
def test_an_address_that_does_not_exist_fails_as_in_django(engine: Any) -> None:
    with pytest.raises(NoReverseMatch) as theirs:
        django_reverse("admin:app_list", args=["no app"])
    with pytest.raises(NoReverseMatch) as ours:
        rendered(engine, "admin:app_list", "no app")
    assert str(ours.value) == str(theirs.value)


def test_an_address_follows_namespace_prefix_and_urlconf() -> None:
    with override_settings(ROOT_URLCONF=here):
        assert reverse("shop:item", args=["x"], current_app="other") == "/other/x/"
        assert reverse("shop:item", kwargs={"item": "x"}) == "/first/x/"
        set_script_prefix("/site/")
        assert reverse("shop:item", args=["x"]) == "/site/first/x/"
        set_script_prefix("/")
        with pytest.raises(NoReverseMatch):
            reverse("late")
    with override_settings(ROOT_URLCONF=there):
        assert reverse("late") == "/late/"


def test_arguments_that_are_equal_keep_their_own_text() -> None:
    found = [reverse("admin:auth_group_change", args=[one]) for one in (1, True, 1.0, "é/%")]
    assert [address.split("/")[4] for address in found] == ["1", "True", "1.0", "%C3%A9"]
