"""The page cache in the project's whole middleware stack, with a real Redis, threads and event loops."""

import asyncio
import gzip
import importlib.util
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import brotli
import django.utils.translation
import pytest
from backports import zstd
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.utils.translation import get_language
from django.views import View
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csp import csp_override
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from speed.release import build

from speed import pages, release

made: list[str] = []
FILLING = "<p>filling</p>" * 60
mood, slow = 200, 0.0


def say(request: HttpRequest, *said: object) -> HttpResponse:
    made.append(request.get_full_path())
    time.sleep(slow)
    return HttpResponse(f"<p>{len(made)} {' '.join(map(str, said))}</p>{FILLING}")


def plain(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return say(request, request.path)


def user(request: Any) -> HttpResponse:
    return say(request, request.user.get_username())


def session(request: Any) -> HttpResponse:
    return say(request, request.session.get("name", "stranger"))


def sign(request: Any) -> HttpResponse:
    request.session["name"] = request.GET["name"]
    return HttpResponse()


def token(request: Any) -> HttpResponse:
    return say(request, get_token(request))


def lazy(request: Any) -> HttpResponse:
    made.append(request.get_full_path())
    template = engines["django"].from_string(
        "{{ request.COOKIES }} {{ request.GET.urlencode }} {% if request.GET.token %}"
        "{% csrf_token %}{% endif %}" + FILLING
    )
    return TemplateResponse(request, template)


def stream(request: Any) -> StreamingHttpResponse:
    made.append(request.path)
    return StreamingHttpResponse([b"a", b"b"])


def cookie(request: Any) -> HttpResponse:
    answer = say(request)
    answer.set_cookie("seen", "1")
    return answer


def raw_cookie(request: Any) -> HttpResponse:
    answer = say(request)
    answer.headers["Set-Cookie"] = "seen=1"
    return answer


def status(request: Any, code: int) -> HttpResponse:
    made.append(request.path)
    return HttpResponse(status=code)


def message(request: Any) -> HttpResponse:
    messages.info(request, "Saved")
    return HttpResponse()


def shown(request: Any) -> HttpResponse:
    return say(request, *messages.get_messages(request))


def language(request: Any) -> HttpResponse:
    return say(request, get_language())


def header(request: Any) -> HttpResponse:
    return say(request, request.headers.get("Accept-Language"))


def fails(request: Any) -> HttpResponse:
    made.append(request.path)
    if len(made) > 1:
        raise RuntimeError
    return HttpResponse(FILLING)


def moody(request: Any) -> HttpResponse:
    made.append(request.path)
    return HttpResponse(FILLING, status=mood)


def gone(request: Any) -> HttpResponse:
    made.append(request.path)
    return HttpResponse(FILLING, status=200 if len(made) == 1 else 404)


async def awaited(request: Any, **kwargs: Any) -> HttpResponse:
    await asyncio.sleep(slow)
    made.append(request.get_full_path())
    return HttpResponse(f"<p>{len(made)}</p>{FILLING}")


def one_second(request: Any) -> HttpResponse:
    return say(request)


kept = pages.cached_page(60, tags=["t"], query=["q", "page"])


@method_decorator(kept, name="dispatch")
class Sync(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return say(request)


@method_decorator(kept, name="dispatch")
class Async(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await awaited(request)


class Method(View):
    @method_decorator(kept)
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await awaited(request)


urlpatterns = [
    path("user/", kept(user)),
    path("session/", kept(session)),
    path("django/", cache_page(60, cache="pages")(session)),
    path("sign/", sign),
    path("own/", pages.cached_page_per_user(60)(user)),
    path("own-token/", pages.cached_page_per_user(60)(token)),
    path("own-shown/", pages.cached_page_per_user(60)(shown)),
    path("token/", kept(token)),
    path("lazy/", kept(lazy)),
    path("stream/", kept(stream)),
    path("cookie/", kept(cookie)),
    path("raw-cookie/", kept(raw_cookie)),
    path("status/<int:code>/", kept(status)),
    path("message/", message),
    path("shown/", kept(shown)),
    path("language/", pages.cached_page(60)(language)),  # has learned no header from another
    path("header/", kept(vary_on_headers("Accept-Language")(header))),
    path("accepted/", pages.cached_page(60)(vary_on_headers("Accept-Language")(header))),
    path("vary-cookie/", kept(vary_on_cookie(plain))),
    path("vary-all/", kept(vary_on_headers("*")(plain))),
    path("never/", kept(never_cache(plain))),
    path("private/", kept(cache_control(private=True)(plain))),
    path("csp/", kept(csp_override({"default-src": ["'none'"]})(plain))),
    path("frame/", kept(xframe_options_exempt(plain))),
    path("fails/", pages.cached_page(1, hard=60)(fails)),
    path("moody/", pages.cached_page(1, hard=60)(moody)),
    path("gone/", pages.cached_page(1, hard=60)(gone)),
    path("awaited/", kept(awaited)),
    path("class/", Sync.as_view()),
    path("async-class/", Async.as_view()),
    path("async-method/", Method.as_view()),
    path("nested/", kept(pages.cached_page(60, tags=["u"])(plain))),
    re_path("^any/(?P<rest>.*)$", kept(plain)),
]


def visitor_id(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware as many sites have one: each browser gets a name."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        if "vid" not in request.COOKIES:
            response.set_cookie("vid", "new")
        return response

    return middleware


def variant(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware that makes pages depend on a cookie, and says so."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.content += request.COOKIES.get("variant", "none").encode()
        response.headers["Vary"] = "Cookie"
        return response

    return middleware


class ByHeader:
    """A middleware that knows users by a header of their own."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        if name := request.headers.get("X-Key"):
            request.user = get_user_model()(username=name)
        return self.get_response(request)


@pytest.fixture(autouse=True)
def visitor(settings: Any) -> Iterator[Client]:
    global mood, slow
    own = settings.CACHES["default"] | {"KEY_PREFIX": "stack"}
    settings.CACHES = settings.CACHES | {"pages": own}
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["testserver"]
    mood, slow = 200, 0.0
    reset()
    yield Client()
    slow = 0.0


def reset() -> None:
    caches["pages"].clear()
    pages.copies.forget()
    pages.flights.clear()
    pages.lost.clear()
    pages.away = 0.0
    made.clear()


def twice(address: str, **cookies: str) -> int:
    """Let two strangers ask, and return how often the page was made."""
    for _ in range(2):
        client = Client()
        client.cookies.load(cookies)
        client.get(address)
    return len(made)


@pytest.mark.parametrize(
    "address",
    [
        "/any/x",
        "/user/",
        "/session/",
        "/lazy/",
        "/class/",
        "/shown/",
        "/csp/",
        "/frame/",
        "/async-class/",
        "/async-method/",
        "/awaited/",
        "/language/",
        "/header/",
        "/nested/",
    ],
)
def test_a_page_for_strangers_is_kept(address: str) -> None:
    assert twice(address) == 1


@pytest.mark.parametrize(
    "address",
    [
        "/token/",
        "/stream/",
        "/cookie/",
        "/raw-cookie/",
        "/status/404/",
        "/status/301/",
        "/status/500/",
        "/status/206/",
        "/vary-cookie/",
        "/vary-all/",
        "/never/",
        "/private/",
        "/lazy/?q=1&page=2&token=1",
    ],
)
def test_what_is_not_for_all_is_not_kept(address: str) -> None:
    assert twice(address) == (1 if "lazy" in address else 2)  # the view does not see the token


@pytest.mark.parametrize(
    "address", ["/any/x?q=1", "/csp/", "/frame/", "/user/", "/lazy/", "/header/", "/class/"]
)
@pytest.mark.parametrize("coding", ["", "gzip", "br", "zstd", "gzip;q=0.5, br;q=0.1"])
def test_a_kept_page_is_what_the_first_visitor_got(address: str, coding: str) -> None:
    answers = [Client().get(address, headers={"accept-encoding": coding}) for _ in range(3)]
    pages.copies.forget()
    answers.append(Client().get(address, headers={"accept-encoding": coding}))
    assert len(made) == 1
    for answer in answers:
        assert answer.content == answers[0].content
        assert {**answer.headers, "Age": ""} == {**answers[0].headers, "Age": ""}
    with override_settings(MIDDLEWARE=[m for m in settings.MIDDLEWARE if "PageCache" not in m]):
        without = Client().get(address, headers={"accept-encoding": coding})
    assert same(answers[1]) == same(without)
    assert decoded(answers[1])[20:] == decoded(without)[20:] or b"p>2" in decoded(without)


def same(answer: Any) -> dict[str, str]:
    """Return the headers that the cache has no business with."""
    own = {"etag", "content-length", "age", "vary", "x-noise"}
    return {k.lower(): v for k, v in answer.headers.items() if k.lower() not in own}


def decoded(answer: Any) -> bytes:
    undo: dict[str, Any] = {"gzip": gzip.decompress, "br": brotli.decompress}
    undo |= {"zstd": zstd.decompress, "": bytes}
    found: bytes = undo[answer.headers.get("Content-Encoding", "")](answer.content)
    return found


def test_all_encodings_hold_the_same_page_and_etags_differ() -> None:
    seen = {}
    for coding in ("", "gzip", "br", "zstd"):
        answer = Client().get("/any/x", headers={"accept-encoding": coding})
        seen[answer.headers["ETag"]] = decoded(answer)
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert "x-noise" not in answer.headers
    assert (len(seen), len({*seen.values()}), len(made)) == (4, 1, 1)


@pytest.mark.parametrize("method", ["get", "head"])
def test_head_and_304_cost_nothing(method: str) -> None:
    first = Client().get("/any/x")
    answer = getattr(Client(), method)("/any/x")
    assert answer.headers["ETag"] == first.headers["ETag"]
    again = Client().get("/any/x", headers={"if-none-match": first.headers["ETag"]})
    assert (again.status_code, again.content, len(made)) == (304, b"", 1)
    assert again.headers["Vary"] == first.headers["Vary"]


def test_head_fills_nothing() -> None:
    Client().head("/any/x")
    assert Client().get("/any/x").content
    assert len(made) == 2


def test_post_goes_to_the_view() -> None:
    Client().get("/any/x")
    assert Client().post("/any/x?utm=1").content.startswith(b"<p>2")
    assert made[-1] == "/any/x?utm=1"


def test_an_authorization_or_a_session_goes_past_the_cache() -> None:
    Client().get("/any/x")
    Client().get("/any/x", headers={"authorization": "Bearer x"})
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = "x"
    client.get("/any/x")
    client.get("/any/x")
    assert len(made) == 4
    Client().get("/any/x")
    assert len(made) == 4


@pytest.mark.django_db
def test_the_leak_of_django_and_its_absence() -> None:
    ada = Client()
    ada.get("/sign/?name=Ada")
    assert b"Ada" in ada.get("/django/").content
    assert b"Ada" in Client().get("/django/").content  # seen by a stranger
    assert b"Ada" in ada.get("/session/").content
    assert b"stranger" in Client().get("/session/").content
    bob = Client()
    bob.get("/sign/?name=Bob")
    assert b"Bob" in bob.get("/session/").content


@pytest.mark.django_db(transaction=True)
def test_no_page_leaks_among_visitors_who_come_at_once() -> None:
    users = [get_user_model().objects.create_user(f"user{n}") for n in range(6)]
    clients = []
    for one in users:
        client = Client()
        client.force_login(one)
        clients.append((client, one.get_username()))
    clients += [(Client(), "") for _ in range(6)]
    wrong: list[str] = []

    def ask(client: Client, name: str) -> None:
        from django.db import connection

        try:
            for turn in range(30):
                for address in ("/user/", "/own/"):
                    said = client.get(address).content.decode().partition("</p>")[0]
                    if said.partition(" ")[2] != name:
                        wrong.append(f"{name} got {said} from {address}")
                if turn % 10 == 9:
                    pages.invalidate("t")
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(ask, *pair) for pair in clients]:
            done.result()
    assert not wrong


@pytest.mark.django_db
def test_a_user_has_pages_of_its_own() -> None:
    names = ("ada", "bob")
    for name in names:
        user = get_user_model().objects.create_user(name)
        for _ in range(2):  # two browsers
            client = Client(headers={"accept-encoding": "gzip"})
            client.force_login(user)
            answer = client.get("/own/")
            assert name.encode() in decoded(answer)
            assert answer.headers["x-noise"] is not None  # its data is secret
    assert len(made) == 2
    assert b"ada" not in Client().get("/own/").content
    assert len(made) == 3


@pytest.mark.django_db
@pytest.mark.parametrize("in_session", [True, False])
def test_a_page_of_a_user_with_a_token_or_a_message_is_not_kept(in_session: bool) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    with override_settings(
        CSRF_USE_SESSIONS=in_session,
        MESSAGE_STORAGE="django.contrib.messages.storage."
        + ("session.SessionStorage" if in_session else "cookie.CookieStorage"),
    ):
        client.get("/own-token/")
        client.get("/own-token/")
        client.get("/own-token/")
        assert len(made) == 3
        client.get("/message/")
        assert b"Saved" in client.get("/own-shown/").content
        assert b"Saved" not in client.get("/own-shown/").content


def test_a_stranger_gets_a_waiting_message() -> None:
    Client().get("/shown/")
    client = Client()
    with override_settings(MESSAGE_STORAGE="django.contrib.messages.storage.cookie.CookieStorage"):
        client.get("/message/")
        assert b"Saved" in client.get("/shown/").content
        assert b"Saved" not in client.get("/shown/").content
    assert b"Saved" not in Client().get("/shown/").content


def test_a_late_template_sees_no_cookies_and_the_middleware_sees_them_again() -> None:
    above = settings.MIDDLEWARE.index("speed.pages.PageCacheMiddleware") + 1
    middleware = [*settings.MIDDLEWARE]
    middleware.insert(above, f"{__name__}.visitor_id")
    with override_settings(MIDDLEWARE=middleware):
        client = Client()
        answer = client.get("/lazy/?q=1&utm=2")
        assert answer.cookies["vid"].value == "new"
        answer = client.get("/lazy/?q=1&utm=2")  # has its name now
        assert b"vid" not in answer.content
        assert b"q=1 " in answer.content
        assert not answer.cookies
        client.get("/lazy/?q=1&utm=3")
        assert len(made) == 2


def test_what_a_middleware_makes_of_a_cookie_is_not_kept() -> None:
    middleware = [*settings.MIDDLEWARE, f"{__name__}.variant"]
    with override_settings(MIDDLEWARE=middleware):
        for address in ("/any/x", "/session/"):
            client = Client()
            client.cookies["variant"] = "red"
            assert client.get(address).content.endswith(b"red")
            assert Client().get(address).content.endswith(b"none")


def test_a_user_without_a_session_is_not_kept_for_all() -> None:
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, f"{__name__}.ByHeader"]):
        assert b"Ada" in Client().get("/user/", headers={"x-key": "Ada"}).content
        assert b"Ada" not in Client().get("/user/").content


def test_a_wrong_csrf_cookie_spoils_no_page() -> None:
    """It makes Django set a new one, in an answer that is therefore not kept."""
    Client().get("/any/x")
    caches["pages"].delete_many(caches["pages"].keys("*.fresh"))  # type: ignore[attr-defined]
    pages.copies.forget()
    client = Client()
    client.cookies["csrftoken"] = "wrong"
    client.get("/any/x")
    assert Client().get("/any/x").content.startswith(b"<p>1")


def test_languages_have_pages_of_their_own() -> None:
    middleware = [*settings.MIDDLEWARE]
    middleware.insert(
        middleware.index("django.middleware.common.CommonMiddleware"),
        "django.middleware.locale.LocaleMiddleware",
    )
    translation: Any = django.utils.translation
    translation._trans.__dict__.clear()  # it keeps what it took under the first USE_I18N
    with override_settings(USE_I18N=True, MIDDLEWARE=middleware):
        for accepted in ("de", "fr", "de-AT, de;q=0.9", "de"):
            answer = Client().get("/language/", headers={"accept-language": accepted})
            assert accepted[:2].encode() in answer.content[:12]
        assert len(made) == 2  # de-AT is shown German, too
        made.clear()
        for accepted in ("de", "de;q=0.9", "de"):  # what a view reads itself is taken as it is
            answer = Client().get("/accepted/", headers={"accept-language": accepted})
            assert f" {accepted}<".encode() in answer.content
        assert len(made) == 2
    translation._trans.__dict__.clear()


def soften() -> None:
    """Let all pages be old."""
    caches["pages"].delete_many(caches["pages"].keys("*.fresh"))  # type: ignore[attr-defined]
    pages.copies.forget()


def test_an_old_page_outlives_faults_but_not_its_end() -> None:
    client = Client(raise_request_exception=False)
    assert client.get("/fails/").status_code == 200
    soften()
    assert client.get("/fails/").status_code == 500  # who tried
    for _ in range(3):
        assert client.get("/fails/").status_code == 200
    assert len(made) == 2
    reset()
    assert client.get("/gone/").status_code == 200
    soften()
    assert client.get("/gone/").status_code == 404
    assert client.get("/gone/").status_code == 404


@pytest.mark.parametrize("status", [304, 403, 429])
def test_what_one_visitor_is_refused_stays_there_for_the_others(status: int) -> None:
    global mood
    assert Client().get("/moody/").status_code == 200
    soften()
    mood = status
    assert Client().get("/moody/").status_code == status
    assert Client().get("/moody/").status_code == 200
    assert len(made) == 2


def test_who_tried_in_vain_leaves_the_next_try_to_others_after_a_second() -> None:
    client = Client(raise_request_exception=False)
    client.get("/fails/")
    soften()
    assert client.get("/fails/").status_code == 500
    store: Any = caches["pages"]
    (fresh,) = store.keys("*.fresh")
    assert 0 < store.pttl(fresh) <= pages.RETRY * 1000


def test_a_process_asks_redis_once_a_second_for_a_page(monkeypatch: Any) -> None:
    Client().get("/any/x")
    pages.copies.forget()
    asked: list[int] = []
    store: Any = caches["pages"]
    get_many = store.get_many
    monkeypatch.setattr(store, "get_many", lambda *keys: asked.append(1) or get_many(*keys))
    for _ in range(5):
        Client().get("/any/x")
    assert len(asked) == 1


def test_while_redis_is_away_it_is_not_asked(monkeypatch: Any) -> None:
    monkeypatch.setattr(pages, "away", time.monotonic() + 10)
    store: Any = caches["pages"]
    for method in ("add", "get", "get_many", "set", "delete_many"):
        monkeypatch.setattr(store, method, None)
    assert Client().get("/any/x").status_code == 200
    assert Client().get("/token/").status_code == 200


def test_two_classes_at_one_address_have_pages_of_their_own() -> None:
    class Wide(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("wide")

    class Small(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("small")

    from django.test import RequestFactory

    for _ in range(2):
        for view, said in ((Wide, b"wide"), (Small, b"small")):
            site = pages.PageCacheMiddleware(kept(view.as_view()))
            assert site(RequestFactory().get("/")).content == said


def test_no_view_reads_cookies_from_the_header() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.headers.get("Accept")
        return HttpResponse(f"{request.headers.get('Cookie')} {request.META.get('HTTP_COOKIE')}")

    from django.test import RequestFactory

    site = pages.PageCacheMiddleware(kept(view))
    request = RequestFactory(headers={"cookie": "who=ada"}).get("/")
    assert request.headers["Cookie"] == "who=ada"
    assert site(request).content == b"None None"
    assert request.headers["Cookie"] == request.META["HTTP_COOKIE"] == "who=ada"


@pytest.mark.parametrize("moment", ["begin", "view", "other middleware", "end"])
def test_a_visitor_who_leaves_holds_up_nobody(monkeypatch: Any, moment: str) -> None:
    from django.test import AsyncRequestFactory

    inside, begin, end = threading.Event(), pages.begin, pages.PageCacheMiddleware.end

    def slow(run: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            inside.set()
            time.sleep(0.2)
            return run(*args, **kwargs)

        return wrapped

    async def view(request: Any) -> HttpResponse:
        inside.set()
        await asyncio.sleep(0.2 if moment == "view" else 0)
        return HttpResponse(FILLING)

    own = pages.cached_page(60)(view)

    async def below(request: Any) -> HttpResponse:
        response: HttpResponse = await own(request)
        await asyncio.sleep(0.2 if moment == "other middleware" else 0)
        return response

    async def run() -> None:
        site = pages.PageCacheMiddleware(below)
        task = asyncio.create_task(site(AsyncRequestFactory().get("/")))
        while not inside.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.4)  # until the thread is through
        assert not pages.flights

    if moment == "begin":
        monkeypatch.setattr(pages, "begin", slow(begin))
    if moment == "end":
        monkeypatch.setattr(pages.PageCacheMiddleware, "end", slow(end))
    asyncio.run(run())


def test_what_nobody_makes_any_more_is_forgotten() -> None:
    pages.flights["old"] = pages.Flight()
    pages.flights["old"].until = 0.0
    Client().get("/any/x")
    assert not pages.flights


def test_where_nothing_is_kept_nobody_waits_for_another(settings: Any) -> None:
    from django.test import RequestFactory

    nothing = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    settings.CACHES = settings.CACHES | {"pages": nothing}
    both = threading.Barrier(2, timeout=2)  # seconds

    def view(request: Any) -> HttpResponse:
        return HttpResponse(str(both.wait() >= 0))

    site = pages.PageCacheMiddleware(pages.cached_page(60)(view))
    with ThreadPoolExecutor(2) as pool:
        answers = [*pool.map(site, [RequestFactory().get("/") for _ in range(2)])]
    assert [answer.content for answer in answers] == [b"True"] * 2


def test_a_slow_redis_holds_up_no_event_loop(monkeypatch: Any) -> None:
    from django.test import AsyncRequestFactory

    begin = pages.begin
    monkeypatch.setattr(pages, "begin", lambda *a, **k: (time.sleep(0.3), begin(*a, **k))[1])

    async def view(request: Any) -> HttpResponse:
        return HttpResponse(FILLING)

    async def run() -> float:
        site = pages.PageCacheMiddleware(pages.cached_page(60)(view))
        task = asyncio.create_task(site(AsyncRequestFactory().get("/")))
        gaps, last = [0.0], time.perf_counter()
        while not task.done():
            await asyncio.sleep(0.01)
            gaps.append(time.perf_counter() - last)
            last = time.perf_counter()
        return max(gaps)

    assert asyncio.run(run()) < 0.25


def test_the_release_is_known_from_the_start() -> None:
    code = "import django; django.setup(); from speed.release import build; "
    code += "print(build.cache_info().currsize)"
    env = os.environ | {"DEBUG": "0", "DATABASE_URL": "sqlite:///x", "REDIS_URL": "redis://x/0"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


def test_a_view_that_ends_the_thread_leaves_nobody_waiting() -> None:
    class Stop(BaseException):
        pass

    def stop(request: Any) -> HttpResponse:
        raise Stop

    site = pages.PageCacheMiddleware(pages.cached_page(60)(stop))
    from django.test import RequestFactory

    for _ in range(2):
        request = RequestFactory().get("/")
        request.COOKIES = {"a": "b"}
        with pytest.raises(Stop):
            site(request)
        assert request.COOKIES == {"a": "b"}
    assert not pages.flights


def second() -> Any:
    """Return the module as another process has it."""
    spec: Any = importlib.util.spec_from_file_location("speed_pages_second", pages.__file__)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("together", [2, 8])
def test_two_processes_of_many_threads_make_an_old_page_once(together: int) -> None:
    from django.test import RequestFactory

    modules = [pages, second()]
    count: list[float] = []

    def view(request: Any) -> HttpResponse:
        count.append(time.monotonic())
        time.sleep(0.05)
        return HttpResponse(f"{len(count)} {FILLING}")

    sites = [m.PageCacheMiddleware(m.cached_page(0.5, hard=60)(view)) for m in modules]

    def ask(number: int) -> int:
        site = sites[number % 2]
        return int(site(RequestFactory().get("/")).content.split()[0])

    with ThreadPoolExecutor(2 * together) as pool:
        first = [*pool.map(ask, range(2 * together))]
        assert len(count) <= 2  # one for each process, at most
        made_first = len(count)
        for turn in range(2):
            time.sleep(1.7)
            said = [*pool.map(ask, range(2 * together))]
            assert len(count) == made_first + 1 + turn
            assert said.count(max(said)) == 1  # the others had the old one
    assert max(first) <= 2


def test_without_redis_each_process_makes_a_page_once() -> None:
    from django.test import RequestFactory

    away = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0", "KEY_PREFIX": "x"}
    with override_settings(CACHES=settings.CACHES | {"pages": away}):
        for module in (pages, second()):
            count: list[int] = []

            def view(request: Any, count: list[int] = count) -> HttpResponse:
                count.append(1)
                time.sleep(0.05)
                return HttpResponse(FILLING)

            site = module.PageCacheMiddleware(module.cached_page(2)(view))
            with ThreadPoolExecutor(8) as pool:
                for turn in range(2):
                    end = time.monotonic() + 1.5
                    while time.monotonic() < end:
                        said = [
                            *pool.map(
                                lambda _, site=site: site(RequestFactory().get("/")), range(16)
                            )
                        ]
                        assert {answer.status_code for answer in said} == {200}
                    assert len(count) == 1 + turn
                    time.sleep(0.6)


def test_invalidation_without_redis_is_made_up_for(caplog: Any) -> None:
    from django.test import RequestFactory

    count: list[int] = []

    def view(request: Any) -> HttpResponse:
        count.append(1)
        return HttpResponse(f"{len(count)} {FILLING}")

    there, away = settings.CACHES, dict(settings.CACHES)
    away["pages"] = there["default"] | {"LOCATION": "redis://127.0.0.1:1/0", "KEY_PREFIX": "x"}
    other = second()
    sites = [m.PageCacheMiddleware(m.cached_page(60, tags=["t"])(view)) for m in (pages, other)]
    ask = [lambda site=site: site(RequestFactory().get("/")).content[:2] for site in sites]
    assert [ask[0](), ask[1]()] == [b"1 ", b"1 "]
    with override_settings(CACHES=away):
        pages.publish({"t"})
        assert pages.lost == {"t"}
        assert "could not be told" in caplog.text
    time.sleep(1.1)
    assert ask[1]() == b"1 "  # nobody has told it yet
    ask[0]()
    assert not pages.lost
    time.sleep(1.1)
    assert ask[1]() == b"2 "


@pytest.mark.parametrize("address", ["/awaited/", "/async-class/", "/async-method/", "/any/x"])
def test_an_event_loop_is_not_blocked_and_a_page_is_made_once(address: str) -> None:
    global slow
    Client().get("/user/")  # what is imported and loaded by the first request is no matter here
    made.clear()
    slow = 0.5

    async def run() -> tuple[list[Any], float]:
        gaps, end, last = [], False, time.monotonic()

        async def tick() -> None:
            nonlocal last
            while not end:
                await asyncio.sleep(0.005)
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

        ticking = asyncio.create_task(tick())
        count = 1 if address == "/any/x" else 8  # AsyncClient has one thread for all sync views
        answers = await asyncio.gather(*(AsyncClient().get(address) for _ in range(count)))
        answers += [await AsyncClient().get(address)]
        end = True
        await ticking
        return answers, max(gaps)

    answers, gap = asyncio.run(run())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(made) == 1
    assert gap < 0.4


def test_who_has_changed_something_reads_past_the_copies() -> None:
    from django.test import RequestFactory

    count: list[int] = []

    def view(request: Any) -> HttpResponse:
        count.append(1)
        return HttpResponse(f"{len(count)} {FILLING}")

    other = second()
    site = other.PageCacheMiddleware(other.cached_page(60, tags=["t"])(view))
    ask = RequestFactory()
    assert site(ask.get("/")).content[:2] == b"1 "
    pages.publish({"t"})
    assert site(ask.get("/")).content[:2] == b"1 "  # for a second
    ask.cookies[pages.FRESH] = "1"
    assert site(ask.get("/")).content[:2] == b"2 "
    del ask.cookies[pages.FRESH]
    assert site(ask.get("/")).content[:2] == b"2 "


def test_hands_off_a_shared_page() -> None:
    """What one request does to its answer reaches no other."""

    def spoil(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            response = get_response(request)
            response.headers["X-Seen"] = request.META["QUERY_STRING"]
            response.content += request.META["QUERY_STRING"].encode()
            response.set_cookie("who", request.META["QUERY_STRING"])
            return response

        return middleware

    site = spoil(pages.PageCacheMiddleware(kept(plain)))
    from django.test import RequestFactory

    for name in ("a", "b", "c"):
        answer = site(RequestFactory().get("/", {"utm": name}))
        assert answer.content.endswith(f"</p>utm={name}".encode())
        assert answer.cookies["who"].value == f"utm={name}"
    assert len(made) == 1


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
queries = st.dictionaries(
    st.sampled_from(["q", "my page", "é", "utm", "qq", ""]), texts, max_size=3
)
requests_ = st.tuples(texts, queries, st.sampled_from(["a.example", "b.example"]), st.booleans())


@examples(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(first=requests_, second=requests_)
def test_two_requests_share_a_key_only_if_their_pages_are_the_same(first: Any, second: Any) -> None:
    from django.test import RequestFactory

    policy = pages.Policy(1, 2, (), ("my page", "q", "é"), False)

    def look(given: Any) -> tuple[str, Any]:
        text, query, host, secure = given
        request: Any = RequestFactory().get(
            f"/{text}/".replace("?", ""), query, secure=secure, headers={"host": host}
        )
        seen = {k: v for k, v in request.GET.lists() if k in policy.query}
        key = pages.key_of(pages.name_of(request, policy, "v"), request, policy)
        return key, (request.path, seen, host, secure)

    with override_settings(ALLOWED_HOSTS=["*"]):
        (one, what), (two, other) = look(first), look(second)
    assert (one == two) == (what == other)


def test_the_build_tells_releases_apart(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(settings, "STATIC_ROOT", tmp_path)
    seen = []
    for content in ("{}", '{"a": 1}', '{"b": 1}'):
        (tmp_path / "staticfiles.json").write_text(content)
        seen.append(build.__wrapped__())
    (tmp_path / "CACHE").mkdir()
    (tmp_path / "CACHE/manifest.json").write_text("{}")
    seen.append(build.__wrapped__())
    folder = tmp_path / "templates"
    folder.mkdir()
    with override_settings(TEMPLATES=[*settings.TEMPLATES, {"BACKEND": "x", "DIRS": [folder]}]):
        for name, content in (("new.html", "<p>"), ("new.html", "<b>"), ("new.txt", "<b>")):
            (folder / name).write_text(content)
            seen.append(build.__wrapped__())
        assert build.__wrapped__() == seen[-1]
    app = types.SimpleNamespace(path=tmp_path / "app")
    (tmp_path / "app/deep").mkdir(parents=True)
    monkeypatch.setattr(release.apps, "get_app_configs", lambda: [app])
    for content in ("", "a = 1", "b = 1"):
        (tmp_path / "app/deep/code.py").write_text(content)
        seen.append(build.__wrapped__())
    for name in ("django-1.dist-info", "django-2.dist-info"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(release.django, "__file__", str(tmp_path / "django/__init__.py"))
        seen.append(build.__wrapped__())
    assert len({*seen}) == len(seen)
    start = time.perf_counter()
    build.__wrapped__()
    assert time.perf_counter() - start < 0.5  # seconds; some ms on an idle machine


def test_wrong_arguments_are_refused() -> None:
    for wrong in ({"life": 0}, {"life": 5, "hard": 1}, {"life": 0.5, "hard": 1}):
        with pytest.raises(ValueError, match="must hold"):
            pages.cached_page(**wrong)
    with pytest.raises(TypeError):
        pages.cached_page(1, tags="news")
    with pytest.raises(TypeError):
        pages.cached_page(1, query="page")


def test_memory_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(pages, "LIMIT", 50_000)
    for number in range(100):
        Client().get(f"/any/{number}")
        held = sum(page["size"] for _, page in pages.copies.kept.values())
        assert held == pages.copies.size <= 50_000
    assert threading.active_count() < 50
