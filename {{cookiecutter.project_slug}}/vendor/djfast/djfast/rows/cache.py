"""Defaults about the cache; all but the first are opt-ins, as they change how fresh a page is."""

import time
from typing import Any

from djfast.rows.base import Finding, Overrides, Row, Settings, State, class_paths
from djfast.rows.http import middleware, without
from djfast.rows.templates import changed, django_engines, jinja2_environments

FRAGMENTS = "template_fragments"  # the alias of fragments, which Django's `cache` tag uses too
PAGES = "pages"  # the alias of the page cache
TIERED = "djfast.cache.tiers.TieredClient"
ONE_TIER = "djfast.cache.redis.PrefixClient"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
CACHED_USER = "djfast.cache.users.CachedUserMiddleware"
PAGE_CACHE = "djfast.cache.pages.PageCacheMiddleware"  # as MIDDLEWARE names it, and its class:
PAGE_CACHE_CLASS = "djfast.cache.pages.middleware.PageCacheMiddleware"
TAG = "djfast.cache.fragments"
EXTENSION = "djfast.cache.fragments_jinja2.Fragments"
# The option of each kind of template engine that names it.
TAGS = {"DjangoTemplates": ("builtins", TAG), "Jinja2": ("extensions", EXTENSION)}


def is_dummy(alias: str) -> bool:
    """Return whether a cache stores nothing, as in development."""
    from django.core.cache import caches
    from django.core.cache.backends.dummy import DummyCache

    return alias in caches.settings and isinstance(caches[alias], DummyCache)


def with_alias(settings: Settings, alias: str) -> Overrides:
    """Return `CACHES` with an alias: its own configuration, or that of "default" with another prefix."""
    caches = settings["CACHES"]
    made = {**caches["default"], "KEY_PREFIX": f"{caches['default'].get('KEY_PREFIX', '')}-{alias}"}
    return {"CACHES": {**caches, alias: caches.get(alias, made)}}


def with_client(settings: Settings, alias: str, client: str) -> Overrides:
    """Return `CACHES` with another client class of django-redis in one alias."""
    caches = settings["CACHES"]
    options = {**caches[alias].get("OPTIONS", {}), "CLIENT_CLASS": client}
    return {"CACHES": {**caches, alias: {**caches[alias], "OPTIONS": options}}}


class RedisCache(Row):
    name = "redis cache"
    setting = "CACHES: django-redis"
    django = "LocMemCache, private to each process; its RedisCache makes a new client for each call"
    benefit = "All processes share cached values and their deletion."
    scenario = "a value read from the cache"
    group = "settings"

    def finding(self) -> Finding:
        from django.core.cache import caches

        used: Any = type(caches["default"])
        if "django_redis.cache.RedisCache" not in class_paths(used):
            return Finding(State.REVERTED, lambda: f"{used.__module__}.{used.__qualname__}")
        return Finding(State.ON, self.evidence)

    def evidence(self) -> str:
        """Ping the server and return how long that took."""
        from django_redis import get_redis_connection

        start = time.perf_counter()
        get_redis_connection("default").ping()
        return f"answered in {(time.perf_counter() - start) * 1000:.1f} ms"

    def revert(self, settings: Settings) -> Overrides:
        """Return Django's client for the same server: its default, LocMemCache, needs no round trip."""
        default = settings["CACHES"]["default"]
        django = {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "KEY_PREFIX": f"{default.get('KEY_PREFIX', '')}-django",
            "LOCATION": default["LOCATION"],
        }
        return {"CACHES": {**settings["CACHES"], "default": django}}


class TwoTierCache(Row):
    name = "two-tier cache"
    setting = f'CACHES["{FRAGMENTS}"]: CLIENT_CLASS={TIERED}'
    django = "each read is a round trip to Redis"
    benefit = "A fragment that was read within the last second is read from memory."
    scenario = "a list page of 50 rows, cached as a fragment"
    group = "cache"
    opt_in = True

    def finding(self) -> Finding:
        from django.core.cache import caches

        for alias in caches.settings:
            client: Any = getattr(caches[alias], "client", None)
            if TIERED in class_paths(type(client)) and client.seconds:
                return Finding(State.ON, self.evidence)
        return Finding(State.OFF, lambda: "each read is a round trip")

    def evidence(self) -> str:
        """Return how many copies this process has."""
        from djfast.cache.tiers import copies_in_process

        copies = copies_in_process()
        return f"{copies.count} copies in this process, {copies.size} bytes"

    def revert(self, settings: Settings) -> Overrides:
        overrides: Overrides = {"CACHES": settings["CACHES"]}
        for alias, cache in settings["CACHES"].items():
            if cache.get("OPTIONS", {}).get("CLIENT_CLASS") == TIERED:
                overrides = with_client(overrides, alias, ONE_TIER)
        return overrides

    def enable(self, settings: Settings) -> Overrides:
        return with_client(with_alias(settings, FRAGMENTS), FRAGMENTS, TIERED)


class Fragments(Row):
    name = "fragments"
    setting = f"TEMPLATES: {TAG} in builtins; cache_each in a template"
    django = "the cache tag: all rows of a list are fetched and rendered again when one changes"
    benefit = "A cached list fetches and renders the rows that have changed, and no others."
    scenario = "a list page of 50 rows, none of them changed"
    group = "cache"
    opt_in = True

    def applies(self) -> bool:
        return any(django_engines()) or any(True for _ in jinja2_environments())

    def finding(self) -> Finding:
        known = [TAG in engine.builtins for engine in django_engines()]
        known += [EXTENSION in env.extensions for env in jinja2_environments()]
        if not all(known):
            return Finding(State.OFF, lambda: "templates have no cache_each tag")
        if is_dummy(FRAGMENTS):
            return Finding(State.IN_PRODUCTION, lambda: "this process caches no fragments")
        return Finding(State.ON, lambda: "templates have the cache_each tag")

    def revert(self, settings: Settings) -> Overrides:
        return self.with_tags(settings, present=False)

    def enable(self, settings: Settings) -> Overrides:
        return self.with_tags(settings, present=True)

    def with_tags(self, settings: Settings, *, present: bool) -> Overrides:
        """Return `TEMPLATES` with or without the tag, in both template languages."""

        def change(backend: str, engine: dict[str, Any]) -> None:
            if backend in TAGS:
                option, path = TAGS[backend]
                others = [one for one in engine["OPTIONS"].get(option, []) if one != path]
                engine["OPTIONS"][option] = [*others, path] if present else others

        return changed(settings, change)


class PageCache(Row):
    name = "page cache"
    setting = "MIDDLEWARE: PageCacheMiddleware; @cached_page on a view"
    django = "cache_page, which can share a personal page, and renders for all when a page expires"
    benefit = "A page that is the same for all anonymous visitors is rendered once."
    scenario = "a list page of 50 rows for anonymous visitors"
    group = "cache"
    opt_in = True

    def finding(self) -> Finding:
        from django.core.cache import caches

        if not middleware(PAGE_CACHE_CLASS) or PAGES not in caches.settings:
            return Finding(State.OFF, lambda: "no page is cached")
        if is_dummy(PAGES):
            return Finding(State.IN_PRODUCTION, lambda: "this process caches no pages")
        return Finding(State.ON, lambda: f"views with @cached_page use the cache {PAGES!r}")

    def revert(self, settings: Settings) -> Overrides:
        return without(settings, ".PageCacheMiddleware")

    def enable(self, settings: Settings) -> Overrides:
        paths = without(settings, ".PageCacheMiddleware")["MIDDLEWARE"]
        above = [i for i, path in enumerate(paths) if path.endswith(".ConditionalGetMiddleware")]
        paths.insert(above[-1] + 1 if above else 0, PAGE_CACHE)
        return {"MIDDLEWARE": paths, **with_alias(settings, PAGES)}


class CachedUser(Row):
    name = "cached user"
    setting = "MIDDLEWARE: CachedUserMiddleware instead of AuthenticationMiddleware"
    django = "a query for each request of a signed-in user"
    benefit = "The signed-in user is read from the cache beside the session."
    scenario = "a page that shows the name of the signed-in user"
    group = "cache"
    opt_in = True

    def finding(self) -> Finding:
        from django.conf import settings

        if not middleware(CACHED_USER):
            return Finding(State.OFF, lambda: "each request of a signed-in user makes a query")
        alias = settings.SESSION_CACHE_ALIAS
        return Finding(State.ON, lambda: f"read from the cache {alias!r}")

    def revert(self, settings: Settings) -> Overrides:
        return self.replaced(settings, CACHED_USER, AUTHENTICATION)

    def enable(self, settings: Settings) -> Overrides:
        return self.replaced(settings, AUTHENTICATION, CACHED_USER)

    def replaced(self, settings: Settings, old: str, new: str) -> Overrides:
        """Return `MIDDLEWARE` with one path in place of another."""
        return {"MIDDLEWARE": [new if path == old else path for path in settings["MIDDLEWARE"]]}
