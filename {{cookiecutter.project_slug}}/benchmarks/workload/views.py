"""The pages that are measured: plain Django, nothing cached. What a page costs stands beside it."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render

from benchmarks.workload.models import Category, Item, Tag

PER_PAGE = 50  # rows


def hello(request: HttpRequest) -> HttpResponse:
    """Answer without a query."""
    return HttpResponse("Hello\n", content_type="text/plain")


def count(request: HttpRequest) -> HttpResponse:
    """Answer after one query."""
    return HttpResponse(f"{Item.objects.count()} items\n", content_type="text/plain")


def account(request: HttpRequest) -> HttpResponse:
    """Name the signed-in visitor: the user is 1 query."""
    return HttpResponse(f"{request.user.get_username()}\n", content_type="text/plain")


def catalogue(request: HttpRequest) -> HttpResponse:
    """List all items for a signed-in visitor: user, count, items, tags, categories are 5 queries."""
    return listing(request, "All items", Item.objects.all(), request.user.get_username())


def category(request: HttpRequest, slug: str) -> HttpResponse:
    """List the items of a category."""
    found = get_object_or_404(Category, slug=slug)
    return listing(request, found.name, found.items.all(), request.user.get_username())


def tag(request: HttpRequest, slug: str) -> HttpResponse:
    """List the items with a tag."""
    found = get_object_or_404(Tag, slug=slug)
    return listing(request, found.name, found.items.all(), request.user.get_username())


def public(request: HttpRequest) -> HttpResponse:
    """List all items for anybody: 4 queries; neither session nor user is read."""
    return listing(request, "All items", Item.objects.all())


def listing(
    request: HttpRequest, title: str, items: QuerySet[Item], visitor: str = ""
) -> HttpResponse:
    """Render one page of `items`; `visitor` is who is signed in."""
    items = items.select_related("category").prefetch_related("tags")
    context = {
        "categories": Category.objects.all(),
        "page": Paginator(items, PER_PAGE).get_page(request.GET.get("page")),
        "title": title,
        "visitor": visitor,
    }
    return render(request, "catalogue/list.html", context)


def item(request: HttpRequest, slug: str) -> HttpResponse:
    """Show an item to a signed-in visitor: user, item, tags, related items are 4 queries."""
    found = get_object_or_404(Item.objects.select_related("category"), slug=slug)
    context = {
        "item": found,
        "related": found.category.items.exclude(pk=found.pk)[:5],
        "title": found.name,
        "visitor": request.user.get_username(),
    }
    return render(request, "catalogue/item.html", context)


def items_json(request: HttpRequest) -> HttpResponse:
    """List the first page as JSON: items and tags are 2 queries."""
    return JsonResponse({"items": rows()})


def rows() -> list[dict[str, Any]]:
    """Return the first page of items as plain values; prices and dates are not yet strings."""
    items = Item.objects.select_related("category").prefetch_related("tags")[:PER_PAGE]
    return [
        {
            "name": item.name,
            "url": item.get_absolute_url(),
            "category": item.category.name,
            "tags": [tag.name for tag in item.tags.all()],
            "price": item.price,
            "stock": item.stock,
            "created": item.created,
        }
        for item in items
    ]
