"""Advice about sessions and caches."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module

from django.conf import settings
from django.core.cache import caches
from django.http import HttpResponse
from django.test.utils import override_settings
from django.views.decorators.cache import cache_page

from djfast_bench.advice.base import (
    ABOUT,
    LOOP,
    NEW,
    TOPICS,
    Advice,
    Changes,
    Pairs,
    at_new,
    middleware,
    pair,
    template,
    visit,
)
from djfast_bench.advice.database import PAGE, joined
from djfast_bench.workload import views
from djfast_bench.workload.visitor import sign_in

sessions = partial(Advice, f"{TOPICS}http/sessions/#", on="a page for a signed-in visitor")
caching = partial(Advice, f"{TOPICS}cache/#", on="a list page of 50 rows")
ENGINE = "django.contrib.sessions.backends."
DB = {"SESSION_ENGINE": f"{ENGINE}db", "SESSION_SAVE_EVERY_REQUEST": False}
FETCH, UPDATE = (f"django.middleware.cache.{n}CacheMiddleware" for n in ("FetchFrom", "Update"))


def signed_in(*changes: Changes) -> Pairs:
    """Store sessions where they are read faster than from the database."""
    greeting = at_new(lambda request: HttpResponse(request.user.get_username()))
    variants = []
    with ExitStack() as stack:
        for changed in changes:
            with override_settings(**changed):
                cookie = sign_in()
                store = import_module(settings.SESSION_ENGINE).SessionStore
                stack.callback(store(cookie.partition("=")[2]).delete)
            variants.append(visit(NEW, changed | greeting, cookie=cookie))
        yield pair(*variants)


for engine in ("cached_db", "cache", "signed_cookies", "file"):
    faster = partial(signed_in, DB | {"SESSION_ENGINE": ENGINE + engine}, DB)
    sessions("configuring-the-session-engine", f"{engine} sessions", "db sessions")(faster)


@sessions("when-sessions-are-saved", "SESSION_SAVE_EVERY_REQUEST off", "on")
def saved() -> Pairs:
    """Save a session only when it has changed."""
    return signed_in(DB, DB | {"SESSION_SAVE_EVERY_REQUEST": True})


@contextmanager
def own_alias() -> Iterator[None]:
    """Add the alias "advice" to the project's caches; delete its content at the end."""
    own = {**settings.CACHES["default"], "KEY_PREFIX": "benchmarks-advice"}
    with override_settings(CACHES={**settings.CACHES, "advice": own}), ExitStack() as stack:
        # Only django-redis can delete the keys of one alias; other content expires.
        stack.callback(getattr(caches["advice"], "delete_pattern", lambda pattern: 0), "*")
        yield


@caching("the-per-site-cache", "a cache of the site", "none")
def per_site() -> Pairs:
    """Cache all pages of a site that is the same for all visitors."""
    changed = middleware(UPDATE, below=(FETCH,)) | {"CACHE_MIDDLEWARE_ALIAS": "advice"}
    with own_alias():
        yield pair(visit(ABOUT, changed), visit(ABOUT, middleware()))


@caching("the-per-view-cache", "cache_page()", "no cache of the view")
def per_view() -> Pairs:
    """Cache the pages of one view."""
    with own_alias():
        view = cache_page(60, cache="advice")(views.public)
        yield pair(visit(NEW, at_new(view)), visit(ABOUT))


@caching("template-fragment-caching", "{% cache %}", "no cache of the fragment", on=PAGE)
def fragment() -> Pairs:
    """Cache the expensive part of a page, so that its rows are not even queried."""
    source = LOOP.format("{{ item.name }} {{ item.category }} {{ item.price }}")
    cached = template("{% cache 60 page using='advice' %}" + source + "{% endcache %}")
    plain = template(source)
    with own_alias():
        yield pair(lambda: cached(items=joined.all()), lambda: plain(items=joined.all()))
