"""Which pages are cached and for whom, in the project's whole middleware stack with a real Redis."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import brotli
import django.utils.translation
import pages_site
import pytest
from backports import zstd
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.views import View
from djfast.cache import pages
from djfast.cache.pages import key
from djfast.cache.pages.store import page_store
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pages_site import cached, expire_life, get, plain, rendered


def with_middleware(name: str, above: str = "") -> Any:
    """Return an override that adds a middleware of `pages_site`: above another one, or last."""
    paths = [*settings.MIDDLEWARE]
    paths.insert(paths.index(above) if above else len(paths), f"pages_site.{name}")
    return override_settings(MIDDLEWARE=paths)


def decompressed(response: Any) -> bytes:
    """Return the body of a response without its content coding."""
    functions: dict[str, Any] = {"gzip": gzip.decompress, "br": brotli.decompress}
    functions |= {"zstd": zstd.decompress, "": bytes}
    body: bytes = functions[response.headers.get("Content-Encoding", "")](response.content)
    return body


# What is cached, and what is not ------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "/any/x",
        "/user/",
        "/session/",
        "/template/",
        "/class/",
        "/messages/",
        "/csp/",
        "/frame/",
        "/async-class/",
        "/async-method/",
        "/async/",
        "/language/",
        "/vary/",
        "/nested/",
        "/template/?q=1&page=2&token=1",  # the view does not see `token`, so the page has none
    ],
)
def test_a_page_is_rendered_once_for_all_anonymous_visitors(url: str) -> None:
    first = Client().get(url)
    again = Client(headers={"cookie": "theme=dark"}).get(url)
    assert (again.status_code, again.content) == (200, first.content)
    assert {**again.headers, "Age": ""} == {**first.headers, "Age": ""}
    assert len(rendered) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        "/token/",
        "/nonce/",
        "/cached-write-session/",
        "/cached-add-message/",
        "/add-and-show/",
        "/stream/",
        "/set-cookie/",
        "/set-cookie-header/",
        "/status/404/",
        "/status/301/",
        "/status/500/",
        "/status/206/",
        "/vary-cookie/",
        "/vary-all/",
        "/never/",
        "/private/",
    ],
)
def test_a_page_that_is_not_for_everybody_is_not_cached(url: str) -> None:
    for _ in range(2):
        Client().get(url)
    assert len(rendered) == 2


def test_inside_a_cached_view_the_outer_decorator_counts() -> None:
    get("/nested/")
    page_store.invalidate({"u"})  # a tag of the inner one
    assert get("/nested/") == b"<p>1 /nested/"
    page_store.invalidate({"t"})
    assert get("/nested/") == b"<p>2 /nested/"


def test_only_the_named_parameters_give_another_page() -> None:
    first = get("/any/x")
    assert get("/any/x?utm_source=letter") == first
    second = get("/any/x?page=2&utm_source=letter")
    assert get("/any/x?p%61ge=2") == second
    assert rendered == ["/any/x", "/any/x?page=2"]


def test_a_view_sees_no_cookies_neither_parsed_nor_in_the_header() -> None:
    assert b"dark" not in get("/cookies/", cookie="theme=dark")

    def view(request: HttpRequest) -> HttpResponse:
        request.headers.get("Accept")
        return HttpResponse(f"{request.headers.get('Cookie')} {request.META.get('HTTP_COOKIE')}")

    site = pages.PageCacheMiddleware(cached(view))
    request = RequestFactory(headers={"cookie": "who=ada"}).get("/")
    assert request.headers["Cookie"] == "who=ada"
    assert site(request).content == b"None None"
    assert request.headers["Cookie"] == request.META["HTTP_COOKIE"] == "who=ada"


def test_a_page_is_cached_for_each_value_of_a_header_that_it_depends_on() -> None:
    get("/header/", x_language="de")
    german = get("/header/", x_language="de")
    assert get("/header/", x_language="fr") != german
    assert get("/header/", x_language="de") == german


def test_a_host_has_pages_of_its_own_and_a_wrong_one_is_refused() -> None:
    get("/any/x")
    assert get("/any/x", host="other.example") == b"<p>2 /any/x"
    assert Client().get("/any/x", headers={"host": "evil.example"}).status_code == 400


def test_a_release_has_pages_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    get("/any/x")
    monkeypatch.setattr(key, "build", lambda: "next")
    get("/any/x")
    assert len(rendered) == 2


def test_two_classes_at_one_url_have_pages_of_their_own() -> None:
    class Wide(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("wide")

    class Small(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("small")

    for _ in range(2):
        for view, words in ((Wide, b"wide"), (Small, b"small")):
            site = pages.PageCacheMiddleware(cached(view.as_view()))
            assert site(RequestFactory().get("/")).content == words


def test_languages_have_pages_of_their_own() -> None:
    translation: Any = django.utils.translation
    translation._trans.__dict__.clear()  # it caches functions for the first value of USE_I18N
    paths = [*settings.MIDDLEWARE]
    common = paths.index("django.middleware.common.CommonMiddleware")
    paths.insert(common, "django.middleware.locale.LocaleMiddleware")
    with override_settings(USE_I18N=True, MIDDLEWARE=paths):
        for accepted in ("de", "fr", "de-AT, de;q=0.9", "de"):
            assert accepted[:2].encode() in get("/language/", accept_language=accepted)[:12]
        assert len(rendered) == 2  # German is for de-AT, too
        rendered.clear()
        for accepted in ("de", "de;q=0.9", "de"):  # a view that reads the header itself
            assert get("/vary-alone/", accept_language=accepted).endswith(f" {accepted}".encode())
        assert len(rendered) == 2
    translation._trans.__dict__.clear()


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
queries = st.dictionaries(
    st.sampled_from(["q", "my page", "é", "utm", "qq", ""]), texts, max_size=3
)
requests_ = st.tuples(texts, queries, st.sampled_from(["a.example", "b.example"]), st.booleans())


@examples(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(first=requests_, second=requests_)
def test_two_requests_share_a_key_only_if_their_pages_are_the_same(first: Any, second: Any) -> None:
    policy = key.Policy(1, 2, (), ("my page", "q", "é"), False)

    def keyed(given: Any) -> tuple[str, Any]:
        text, query, host, secure = given
        request: Any = RequestFactory().get(
            f"/{text}/".replace("?", ""), query, secure=secure, headers={"host": host}
        )
        seen = {k: v for k, v in request.GET.lists() if k in policy.query}
        identity = key.identify(request, policy, "view")
        return key.key_of(identity, request, policy), (request.path, seen, host, secure)

    with override_settings(ALLOWED_HOSTS=["*"]):
        (one, page), (two, other) = keyed(first), keyed(second)
    assert (one == two) == (page == other)


def test_wrong_arguments_are_refused() -> None:
    for wrong in ({"life": 0}, {"life": 60, "hard": 30}, {"life": 0.5, "hard": 1}):
        with pytest.raises(ValueError, match="must hold"):
            pages.cached_page(**wrong)
    for arguments in ({"tags": "news"}, {"query": "page"}):
        with pytest.raises(TypeError, match="lists of strings"):
            pages.cached_page(1, **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="in seconds"):
        pages.cached_page(plain)  # type: ignore[arg-type]


# The response from the cache ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["/any/x?q=1", "/csp/", "/frame/", "/user/", "/template/", "/vary/", "/class/"]
)
@pytest.mark.parametrize("coding", ["", "gzip", "br", "zstd", "gzip;q=0.5, br;q=0.1"])
def test_a_cached_page_is_what_the_first_visitor_got(url: str, coding: str) -> None:
    client = Client(headers={"accept-encoding": coding})
    responses = [client.get(url) for _ in range(3)]
    page_store.copies.discard()
    responses.append(client.get(url))
    assert len(rendered) == 1
    for response in responses:
        assert response.content == responses[0].content
        assert {**response.headers, "Age": ""} == {**responses[0].headers, "Age": ""}
    paths = [path for path in settings.MIDDLEWARE if "PageCache" not in path]
    with override_settings(MIDDLEWARE=paths):
        without = client.get(url)

    def others(response: Any) -> dict[str, str]:
        own = {"etag", "content-length", "age", "vary", "x-noise"}
        return {k.lower(): v for k, v in response.headers.items() if k.lower() not in own}

    assert others(responses[1]) == others(without)
    first, second = decompressed(responses[1]), decompressed(without)
    assert first == second.replace(b"<p>2", b"<p>1")


def test_all_codings_contain_the_same_page_under_different_etags() -> None:
    bodies = {}
    for coding in ("", "gzip", "br", "zstd"):
        response = Client().get("/any/x", headers={"accept-encoding": coding})
        assert response.headers.get("Content-Encoding", "") == coding
        assert response.headers["Content-Length"] == str(len(response.content))
        assert "x-noise" not in response.headers
        etag = response.headers["ETag"]
        bodies[etag] = decompressed(response)
        again = {"accept-encoding": coding, "if-none-match": etag}
        assert Client().get("/any/x", headers=again).status_code == 304
    assert (len(bodies), len({*bodies.values()}), len(rendered)) == (4, 1, 1)


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_head_request_and_a_304_render_nothing(method: str) -> None:
    first = Client().get("/any/x")
    response = getattr(Client(), method)("/any/x")
    assert response.headers["ETag"] == first.headers["ETag"]
    again = Client().get("/any/x", headers={"if-none-match": first.headers["ETag"]})
    assert (again.status_code, again.content, len(rendered)) == (304, b"", 1)
    assert again.headers["Vary"] == first.headers["Vary"]


def test_a_head_request_stores_nothing() -> None:
    get("/any/y")  # creates the version of the tag
    Client().head("/any/x")
    assert Client().get("/any/x").content
    assert len(rendered) == 3


def test_a_change_of_a_response_reaches_no_other_request() -> None:
    def change(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            response = get_response(request)
            response.headers["X-Seen"] = request.META["QUERY_STRING"]
            response.content += request.META["QUERY_STRING"].encode()
            response.set_cookie("who", request.META["QUERY_STRING"])
            return response

        return middleware

    site = change(pages.PageCacheMiddleware(cached(plain)))
    for name in ("a", "b", "c"):
        response = site(RequestFactory().get("/", {"utm": name}))
        assert response.content.endswith(f"</p>utm={name}".encode())
        assert response.cookies["who"].value == f"utm={name}"
    assert len(rendered) == 1


# Sessions and users -------------------------------------------------------------------------------


def test_a_post_request_reaches_the_view() -> None:
    get("/any/x")
    assert Client().post("/any/x?utm=1").content.startswith(b"<p>2")
    assert rendered[-1] == "/any/x?utm=1"


def test_a_request_with_authorization_or_a_session_reaches_the_view() -> None:
    get("/any/x")
    get("/any/x", authorization="Bearer x")
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = "x"
    client.get("/any/x")
    client.get("/any/x")
    assert len(rendered) == 4
    get("/any/x")
    assert len(rendered) == 4


@pytest.mark.django_db
def test_a_page_for_a_session_reaches_nobody_else_unlike_one_of_cache_page() -> None:
    ada = Client()
    ada.get("/write-session/?name=Ada")
    assert b"Ada" in ada.get("/session/").content
    assert b"nobody" in get("/session/")
    assert b"Ada" in ada.get("/session/").content
    bob = Client()
    bob.get("/write-session/?name=Bob")
    assert b"Bob" in bob.get("/session/").content
    assert b"Ada" in ada.get("/django/").content
    assert b"Ada" in get("/django/")  # Django's own decorator shares it with an anonymous visitor


@pytest.mark.django_db(transaction=True)
def test_no_page_reaches_another_visitor_under_concurrent_requests() -> None:
    users = [get_user_model().objects.create_user(f"user{n}") for n in range(6)]
    clients = []
    for one in users:
        client = Client()
        client.force_login(one)
        clients.append((client, one.get_username()))
    clients += [(Client(), "") for _ in range(6)]
    wrong: list[str] = []

    def request(client: Client, name: str) -> None:
        from django.db import connection

        try:
            for turn in range(30):
                for url in ("/user/", "/own/"):
                    words = client.get(url).content.decode().partition("</p>")[0]
                    if words.partition(" ")[2] != name:
                        wrong.append(f"{name} got {words} from {url}")
                if turn % 10 == 9:
                    pages.invalidate("t")
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(request, *pair) for pair in clients]:
            done.result()
    assert not wrong


@pytest.mark.django_db
def test_a_user_has_pages_of_their_own() -> None:
    for name in ("ada", "bob"):
        user = get_user_model().objects.create_user(name)
        for _ in range(2):  # two browsers
            client = Client(headers={"accept-encoding": "gzip"})
            client.force_login(user)
            response = client.get("/own/")
            assert name.encode() in decompressed(response)
            assert response.headers["x-noise"] is not None  # against BREACH
    assert len(rendered) == 2
    assert b"ada" not in get("/own/")
    assert len(rendered) == 3


@pytest.mark.django_db
@pytest.mark.parametrize("in_session", [True, False])
def test_a_page_of_a_user_with_a_token_or_a_message_is_not_cached(in_session: bool) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    with override_settings(
        CSRF_USE_SESSIONS=in_session,
        MESSAGE_STORAGE="django.contrib.messages.storage."
        + ("session.SessionStorage" if in_session else "cookie.CookieStorage"),
    ):
        for _ in range(3):
            client.get("/own-token/")
        assert len(rendered) == 3
        client.get("/add-message/")
        assert b"Saved" in client.get("/own-messages/").content
        assert b"Saved" not in client.get("/own-messages/").content


def test_an_anonymous_visitor_gets_a_pending_message_and_nobody_else_does() -> None:
    get("/messages/")
    client = Client()
    with override_settings(MESSAGE_STORAGE="django.contrib.messages.storage.cookie.CookieStorage"):
        client.get("/add-message/")
        assert b"Saved" in client.get("/messages/").content
        assert b"Saved" not in client.get("/messages/").content
    assert b"Saved" not in get("/messages/")


# Other middleware ---------------------------------------------------------------------------------


def test_a_template_sees_no_cookies_and_middleware_above_sees_them() -> None:
    position = settings.MIDDLEWARE.index("djfast.cache.pages.PageCacheMiddleware") + 1
    with with_middleware("visitor_id", above=settings.MIDDLEWARE[position]):
        client = Client()
        response = client.get("/template/?q=1&utm=2")
        assert response.cookies["vid"].value == "new"
        response = client.get("/template/?q=1&utm=2")  # with the cookie
        assert b"vid" not in response.content
        assert b"q=1 " in response.content
        assert not response.cookies
        client.get("/template/?q=1&utm=3")
        assert len(rendered) == 2


def test_what_a_middleware_makes_of_a_cookie_is_not_cached() -> None:
    with with_middleware("variant"):
        for url in ("/any/x", "/session/"):
            client = Client(headers={"cookie": "variant=red"})
            assert client.get(url).content.endswith(b"red")
            assert Client().get(url).content.endswith(b"none")


def test_a_page_of_a_user_without_a_session_is_not_shared() -> None:
    with with_middleware("user_by_header"):
        assert b"Ada" in get("/user/", x_key="Ada")
        assert b"Ada" not in get("/user/")


def test_a_wrong_csrf_cookie_does_not_remove_a_page() -> None:
    """Django then sets a new cookie, and that response is not cached."""
    get("/any/x")
    expire_life()
    get("/any/x", cookie="csrftoken=wrong")
    assert get("/any/x").startswith(b"<p>1")


def test_a_dummy_cache_stores_nothing_and_shows_the_view_the_same_request() -> None:
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with override_settings(CACHES=settings.CACHES | {"pages": dummy}):
        for _ in range(2):
            response = Client(headers={"cookie": "theme=dark"}).get("/template/?q=1&utm=2")
            assert b"dark" not in response.content
            assert b"utm" not in response.content
    assert len(rendered) == 2
    assert not caches["pages"].keys("*")  # type: ignore[attr-defined]
    assert not pages_site.page_store.copies.entries
