"""A URLconf with all kinds of patterns, for test_urls.py."""

from typing import Any
from urllib.parse import quote

from django.conf.urls.i18n import i18n_patterns
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path, register_converter
from django.utils.functional import lazy
from django.utils.translation import get_language


class Even:
    """A converter that refuses odd numbers and writes the others in hexadecimal."""

    regex = "[0-9a-f]+"

    def to_python(self, value: str) -> int:
        return int(value, 16)

    def to_url(self, value: Any) -> str:
        if value % 2:
            raise ValueError("odd")
        return f"{value:x}"


class Spoken:
    """A converter whose output depends on the language."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: Any) -> str:
        return f"{get_language()}-{value}"


class Counted:
    """A converter whose output depends on a state."""

    regex = "[0-9]+-[^/]+"
    state = 0

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: Any) -> str:
        return f"{Counted.state}-{value}"


class Broken:
    """A converter with a bug."""

    regex = ".+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: Any) -> str:
        raise RuntimeError(f"a bug with {value!r}")


class Escaping:
    """A converter that quotes its output, so that it is quoted twice."""

    regex = "[^/]*"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: Any) -> str:
        return quote(str(value))


for converter in (Even, Spoken, Counted, Broken, Escaping):
    register_converter(converter, converter.__name__.lower())


def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse()


def translated(**texts: str) -> Any:
    """Return a lazy text that depends on the language, as gettext_lazy does."""
    return lazy(lambda: texts.get(get_language() or "", texts["en"]), str)()


inner = (
    [
        path("", view, name="index"),
        path("<int:a>/", view, name="item"),
        re_path(r"^re/(?P<a>[a-z]+)/(?:(?P<b>\d+)/)?$", view, name="regex"),
    ],
    "inner",
)
shop = (
    [
        path("", view, name="index"),
        path("item/<slug:a>/", view, name="item"),
        path("item/<slug:a>/<int:b>/", view, name="item"),
        path("inner/<str:c>/", include(inner)),
        path("second/<str:c>/", include(inner, namespace="second")),
        path("", include((inner[0], "bare"), namespace="bare")),
    ],
    "shop",
)
loose: list[URLPattern | URLResolver] = [
    path("loose/<str:a>/", view, name="loose"),
    path("loose/", view, {"a": 5}, name="loose"),
    path("nested/<int:b>/", include(([path("x/", view, name="x")], "deep"))),
]

plain = [
    path("", view, name="home"),
    path("int/<int:a>/", view, name="int"),
    path("slug/<slug:a>/", view, name="slug"),
    path("str/<str:a>/", view, name="str"),
    path("uuid/<uuid:a>/", view, name="uuid"),
    path("path/<path:a>", view, name="path"),
    path("pair/<str:a>-<path:b>/<int:c>", view, name="three"),
    path("even/<even:a>/", view, name="even"),
    path("spoken/<spoken:a>/", view, name="spoken"),
    path("counted/<counted:a>/", view, name="counted"),
    path("broken/<broken:a>/", view, name="broken"),
    path("escaping/<escaping:a>/<slug:b>/", view, name="escaping"),
    path("100%/<str:a>/%(a)s/%%s/%s/é ü?#/", view, name="percent"),
    # Several candidates for a name, several names for a view.
    path("many/", view, name="many"),
    path("many/<int:a>/", view, name="many"),
    path("many/<even:a>/", view, name="many"),
    path("many/<uuid:a>/", view, name="many"),
    path("many/<slug:b>/", view, name="many"),
    path("many/<str:a>/<path:b>", view, name="many"),
    # Defaults.
    path("default/<int:a>/", view, {"b": 1}, name="default"),
    path("default/<int:a>/<int:b>/", view, name="default"),
    path("hidden/<int:a>/<int:b>/", view, name="hidden"),
    path("hidden/<int:a>/", view, {"b": 2}, name="hidden"),
    path("own/<int:a>/", view, {"a": 1}, name="own"),
    path("fixed/", view, {"a": 1, "b": [2]}, name="fixed"),
    # Regular expressions.
    re_path(r"^optional/(?:(?P<a>\d+)/)?(?:page-(?P<b>\w+)/)?$", view, name="optional"),
    re_path(r"^unnamed/(\d+)/(\w+)/$", view, name="unnamed"),
    re_path(r"^mixed/(\d+)/(?P<a>\w+)/$", view, name="mixed"),
    re_path(r"^twice/(?P<a>\d){2}/$", view, name="twice"),
    re_path(r"^open/(?P<a>.*)", view, name="open"),
    re_path(r"^dot.star*/[^/]%/(?P<a>\S+)\Z", view, name="odd"),
    re_path(r"^ahead/(?P<a>(?!bad)\w+)$", view, name="ahead"),
    re_path(r"^newline/(?P<a>[^/]+)$", view, name="newline"),
    re_path(r"^(?P<a>\w+)/clash/(?P<b>\w+)/$", view, name="clash"),
    # Inclusion.
    path("", include(loose)),
    path("with/<int:z>/", include(loose), {"extra": 1}),
    path("clash/<int:a>/", include([path("<int:a>/", view, name="redefined")])),
    path("shop/", include(shop)),
    path("other/", include(shop, namespace="other")),
    path("hex/<even:e>/", include(shop, namespace="hex")),
    path("tenant/<slug:t>/", include(shop, namespace="tenant")),
    re_path(r"^(?P<number>\d+)/", include(shop, namespace="numbered")),
    path("one/", include((inner[0], "several"), namespace="one")),
    path("two/", include((inner[0], "several"), namespace="two")),
    path("", include(inner)),
    path("<path:a>", view, name="root"),
]

urlpatterns = [
    *plain,
    path(translated(en="about/<slug:a>/", de="über/<slug:a>/"), view, name="about"),
    re_path(translated(en=r"^news/(\d+)/$", de=r"^neues/(\d+)/$"), view, name="news"),
    path(translated(en="spoken/", de="gesprochen/"), include(shop, namespace="spoken")),
    *i18n_patterns(
        path("local/<str:a>/", view, name="local"),
        path("local-shop/", include(shop, namespace="local")),
    ),
]
