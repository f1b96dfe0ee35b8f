"""The list page in several caches, of Django and, where it is installed, of djfast."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import cache_page

from djfast_bench.workload.models import Category, Item, optional_module
from djfast_bench.workload.views import PER_PAGE, public

LIFETIME = 600  # seconds: longer than any measurement of a page


def lazy_list(request: HttpRequest, template: str) -> HttpResponse:
    """List all items for a signed-in visitor; the template decides whether rows are queried."""
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
    """Cache the list as one fragment: the user is 1 query."""
    return lazy_list(request, "catalogue/fragment.html")


def rows(request: HttpRequest) -> HttpResponse:
    """Cache each row: user, count, keys and versions, categories are 4 queries."""
    return lazy_list(request, "catalogue/rows.html")


urlpatterns = [
    path("django-page/", cache_page(LIFETIME)(public)),
    path("django-page/1/", cache_page(1)(public)),
    path("fragment/", fragment),
    path("rows/", rows),
]
if pages := optional_module("djfast.cache.pages"):
    urlpatterns += [
        path("page/", pages.cached_page(LIFETIME, query=["page"])(public)),
        path("expiring/", pages.cached_page(1)(public)),
    ]
