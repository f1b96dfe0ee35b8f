"""The page cache: one page for all strangers, and nobody's own page for anybody."""

import time
from collections.abc import Callable, Iterator
from threading import Barrier, Thread
from typing import Any

import pytest
from django.conf import settings
from django.contrib import messages
from django.contrib.messages import get_messages
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.middleware.csp import get_nonce
from django.middleware.csrf import get_token
from django.test import Client, override_settings
from django.urls import path
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_headers

from speed import pages

made: list[str] = []
passed = [0]  # seconds, while pages are made


def view(*touches: Callable[[HttpRequest], object]) -> Callable[[HttpRequest], HttpResponse]:
    """Make a view that counts its pages in `made` and does something with the request."""

    def page(request: HttpRequest) -> HttpResponse:
        made.append(request.get_full_path())
        said = " ".join(str(touch(request)) for touch in touches)
        return HttpResponse(f"<p>{len(made)} {said}</p>{'<p>text</p>' * 50}")

    return page


def name(request: HttpRequest) -> str:
    return str(request.session.get("name", "stranger"))


def wait(request: HttpRequest) -> None:
    passed[0] += 100


def sign(request: HttpRequest) -> None:
    request.session["name"] = "Ada"


kept = pages.cached_page(60, tags=["news"], query=["page"])
urlpatterns = [
    path("plain/", kept(view())),
    path("token/", kept(view(get_token))),
    path("nonce/", kept(view(lambda request: str(get_nonce(request))))),
    path("session/", kept(view(sign))),
    path("message/", kept(view(lambda request: messages.info(request, "Saved")))),
    path("shown/", kept(view(lambda r: messages.info(r, "Hi"), lambda r: [*get_messages(r)]))),
    path("name/", kept(view(name))),
    path("slow/", kept(view(wait))),
    path("django/name/", cache_page(60, cache="pages")(view(name))),
    path("cookies/", kept(view(lambda request: request.COOKIES))),
    path("language/", kept(vary_on_headers("X-Language")(view()))),
    path("sign/", view(sign)),
    path("change/", view(lambda request: pages.invalidate("news"))),
]


@pytest.fixture(autouse=True)
def visitor() -> Iterator[Client]:
    """A stranger, at a site that keeps pages."""
    with_pages = settings.CACHES | {"pages": settings.CACHES["default"] | {"KEY_PREFIX": "pages"}}
    with override_settings(
        CACHES=with_pages, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver", "other.example"]
    ):
        caches["pages"].clear()
        pages.copies.forget()
        made.clear()
        yield Client()


def body(client: Client, address: str, **headers: str) -> bytes:
    """Return what a page says before its filling."""
    return client.get(address, headers=headers).content.partition(b"</p>")[0]


def test_a_page_is_made_once_for_all_strangers(visitor: Client) -> None:
    first = visitor.get("/plain/")
    other = Client(headers={"cookie": "theme=dark"})
    for client, address in ((visitor, "/plain/"), (other, "/plain/?utm_source=letter")):
        again = client.get(address)
        assert (again.status_code, again.content) == (200, first.content)
        assert {**again.headers, "Age": "0"} == {**first.headers}
    assert made == ["/plain/"]
    second = body(visitor, "/plain/?page=2&utm_source=letter")
    assert body(visitor, "/plain/?p%61ge=2") == second
    assert made == ["/plain/", "/plain/?page=2"]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/token/", "/nonce/", "/session/", "/message/", "/shown/"])
def test_a_page_with_something_of_the_visitors_own_is_not_kept(address: str) -> None:
    body(Client(), address)
    body(Client(), address)
    assert len(made) == 2


@pytest.mark.django_db
def test_a_page_for_a_session_reaches_nobody_else_as_one_of_cache_page_does(
    visitor: Client,
) -> None:
    ada = Client()
    ada.get("/sign/")
    assert b"Ada" in body(ada, "/name/")
    assert b"stranger" in body(visitor, "/name/")
    assert b"Ada" in body(ada, "/name/")
    assert b"Ada" in body(ada, "/django/name/")
    assert b"Ada" in body(visitor, "/django/name/")  # Django's own leaks it


def test_a_page_cannot_depend_on_a_cookie(visitor: Client) -> None:
    visitor.cookies["theme"] = "dark"
    assert b"dark" not in body(visitor, "/cookies/")


def test_a_page_is_kept_for_each_value_of_a_header_that_it_depends_on(visitor: Client) -> None:
    body(visitor, "/language/", x_language="de")
    german = body(visitor, "/language/", x_language="de")
    assert body(visitor, "/language/", x_language="fr") != german
    assert body(visitor, "/language/", x_language="de") == german


def test_who_has_the_page_gets_no_body_and_nothing_is_rendered(visitor: Client) -> None:
    body(visitor, "/plain/")
    for coding in ("gzip", "br", "zstd", ""):
        answer = visitor.get("/plain/", headers={"accept-encoding": coding})
        assert answer.headers.get("Content-Encoding", "") == coding
        again = {"accept-encoding": coding, "if-none-match": answer.headers["ETag"]}
        assert visitor.get("/plain/", headers=again).status_code == 304
    assert len(made) == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_invalidated_is_made_again(visitor: Client) -> None:
    body(visitor, "/plain/")
    assert Client().get("/change/").cookies[pages.FRESH].value == "1"
    assert body(visitor, "/plain/") == b"<p>3 "


def test_an_old_page_is_served_while_one_request_makes_it_anew(visitor: Client) -> None:
    body(visitor, "/plain/")
    (fresh,) = caches["pages"].keys("*.fresh")  # type: ignore[attr-defined]
    caches["pages"].set(fresh, 0, 30)  # another request is at it
    pages.copies.forget()  # as after a second
    assert body(visitor, "/plain/") == b"<p>1 "
    caches["pages"].delete(fresh)
    pages.copies.forget()
    assert body(visitor, "/plain/") == b"<p>2 "
    assert body(visitor, "/plain/") == b"<p>2 "


def test_a_page_that_many_ask_for_at_once_is_made_once() -> None:
    together = Barrier(4)

    def ask() -> None:
        client = Client()
        together.wait()
        client.get("/plain/")

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_host_has_its_own_page_and_a_wrong_one_is_refused(visitor: Client) -> None:
    body(visitor, "/plain/")
    assert body(visitor, "/plain/", host="other.example") == b"<p>2 "
    assert visitor.get("/plain/", headers={"host": "evil.example"}).status_code == 400


def test_another_build_has_other_pages(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body(visitor, "/plain/")
    monkeypatch.setattr(pages, "build", lambda: "next")
    body(visitor, "/plain/")
    assert len(made) == 2


def test_a_page_is_never_older_than_its_hard_limit(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])
    body(visitor, "/slow/")
    store: Any = caches["pages"]
    (key,) = pages.copies.kept
    # 100 seconds have gone by since the page was begun, and a copy may live a second longer.
    assert 490 < store.ttl(key) <= 600 - 100 - pages.COPY


def test_a_life_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="life <= hard"):
        pages.cached_page(60, hard=30)
