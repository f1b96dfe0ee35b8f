"""Advice about requests and responses."""

from functools import partial
from typing import Any

from django.db import models
from django.http import HttpResponse
from django.views.decorators.http import condition

from djfast_bench.advice.base import (
    ABOUT,
    NEW,
    TOPICS,
    Advice,
    Changes,
    Pairs,
    at_new,
    guide,
    middleware,
    pair,
    result_of,
    visit,
)
from djfast_bench.advice.database import items
from djfast_bench.responses import Response
from djfast_bench.timing import Variant
from djfast_bench.workload import views

conditionally = partial(Advice, f"{TOPICS}conditional-view-processing/#", on="a second visit")
GZIP = "django.middleware.gzip.GZipMiddleware"
ANY = "django_http_compression.middleware.HttpCompressionMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"


def etag(response: Response) -> str:
    """Return the ETag, which identifies a page; a 304 has nothing else."""
    return response.headers["etag"]


def again(url: str, changed: Changes) -> Variant:
    """Return a variant that requests a page which the visitor already has."""
    return visit(url, changed, if_none_match=etag(result_of(visit(url, changed))))


@guide(
    "conditionalgetmiddleware",
    "a 304",
    "the page again",
    "a list page of 50 rows",
    shows="bytes",
    same=etag,
)
def conditional() -> Pairs:
    """Respond with 304 to a visitor who already has the page."""
    changed = middleware(CONDITIONAL)
    yield pair(again(ABOUT, changed), visit(ABOUT, changed))


@conditionally("the-condition-decorator", "@condition", "ConditionalGetMiddleware", same=etag)
def condition_decorator() -> Pairs:
    """Compare a cheap value, such as the newest date, to respond with 304 without rendering."""

    def version(request: object) -> Any:
        return known.get(items.aggregate(newest=models.Max("created"))["newest"])

    newest = items.latest("created").created
    known = {newest: etag(result_of(visit(ABOUT, middleware(CONDITIONAL))))}
    changed = middleware(CONDITIONAL) | at_new(condition(version)(views.public))
    yield pair(again(NEW, changed), again(ABOUT, changed))


def compressed(coding: str, path: str) -> Pairs:
    """Compress pages to save bandwidth; the guide does not mention the time that this takes."""
    body = result_of(visit(ABOUT)).body
    ask = partial(visit, NEW, middleware(path) | at_new(lambda request: HttpResponse(body)))
    yield pair(ask(accept_encoding=coding), ask())


for coding, path in (("gzip", GZIP), ("br", ANY), ("zstd", ANY)):
    ready = partial(guide, "gzipmiddleware", on="the list page, ready")
    ready(f"a page in {coding}", "as it is", shows="bytes")(partial(compressed, coding, path))
    ready(f"the work of {coding}", "none", expected="more")(partial(compressed, coding, path))
