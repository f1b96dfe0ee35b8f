"""Page cache: Django's `cache_page` without shared personal pages and without cache stampedes.

    MIDDLEWARE = [..., "djfast.cache.pages.PageCacheMiddleware", ...]
    CACHES = {..., "pages": {...}}

    @cached_page(60, tags=["news"], query=["page"])
    def index(request): ...

A page is cached only if it is the same for all anonymous visitors: the request has no session cookie,
Authorization header or pending message, and the finished response sets no cookie and contains no CSRF
token or nonce. A page that is older than its life is stale: one request refreshes it while all others
are served the stale page (stale-while-revalidate), until the hard limit. Ages are measured by Redis and
by monotonic clocks, so setting a system clock affects nothing but the `Age` header.
"""

from djfast.cache.pages.middleware import (
    PageCacheMiddleware,
    cached_page,
    cached_page_per_user,
    invalidate,
)

__all__ = ["PageCacheMiddleware", "cached_page", "cached_page_per_user", "invalidate"]
