"""The list page with what `speed` has and Django has not; the other pages are plain Django."""

from importlib.util import find_spec
from typing import Any

from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string
from django.views.decorators.cache import cache_page

from benchmarks.workload.models import Category, Item
from benchmarks.workload.views import PER_PAGE, public

LIFE = 600  # seconds: longer than a row is measured


def listing(request: HttpRequest, template: str) -> HttpResponse:
    """List all items for a signed-in visitor; the template decides whether anything is queried."""
    number = request.GET.get("page", "1")
    items = Item.objects.select_related("category").prefetch_related("tags")
    context: dict[str, Any] = {
        "categories": Category.objects.all(),
        "number": number,
        "page": SimpleLazyObject(lambda: Paginator(items, PER_PAGE).get_page(number)),
        "title": "All items",
        "visitor": request.user.get_username(),
    }
    return render(request, template, context)


def fragment(request: HttpRequest) -> HttpResponse:
    """Keep the list as one fragment: the user is 1 query."""
    return listing(request, "catalogue/fragment.html")


def rows(request: HttpRequest) -> HttpResponse:
    """Keep each row: user, count, keys and versions, categories are 4 queries."""
    return listing(request, "catalogue/rows.html")


def joined(items: Any) -> HttpResponse:
    """List items with their categories, which the view forgot to select."""
    lines = [f"{item.name}: {item.category.name}\n" for item in items[:PER_PAGE]]
    return HttpResponse(lines, content_type="text/plain")


def forgotten(request: HttpRequest) -> HttpResponse:
    """Fetch the category of each item: 51 queries."""
    return joined(Item.objects.fetch_mode(models.FETCH_ONE))


def guarded(request: HttpRequest) -> HttpResponse:
    """Fetch the categories of all items: 2 queries."""
    return joined(Item.objects.all())


urlpatterns = [
    path("by-django/", cache_page(LIFE)(public)),
    path("by-django/1/", cache_page(1)(public)),
    path("forgotten/", forgotten),
    path("fragment/", fragment),
    path("guarded/", guarded),
    path("rows/", rows),
]
if find_spec("speed.pages"):  # a project may have deleted it
    cached_page = import_string("speed.pages.cached_page")
    urlpatterns += [
        path("about/", cached_page(LIFE, query=["page"])(public)),
        path("expiring/", cached_page(1)(public)),
    ]
