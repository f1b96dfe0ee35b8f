"""The measured pages: plain Django, nothing cached. Each docstring states the number of queries."""

from typing import Any

from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render

from djfast_bench.workload.models import Category, Item, Tag

PER_PAGE = 50  # rows


def hello(request: HttpRequest) -> HttpResponse:
    """Respond without a query."""
    return HttpResponse("Hello\n", content_type="text/plain")


def count(request: HttpRequest) -> HttpResponse:
    """Respond after 1 query."""
    return HttpResponse(f"{Item.objects.count()} items\n", content_type="text/plain")


def account(request: HttpRequest) -> HttpResponse:
    """Show the name of the signed-in visitor: the user is 1 query."""
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
    """List all items for anonymous visitors: 4 queries; session and user are not read."""
    return listing(request, "All items", Item.objects.all())


def listing(
    request: HttpRequest, title: str, items: models.QuerySet[Item], visitor: str = ""
) -> HttpResponse:
    """Render one page of `items`; `visitor` is the name of the signed-in user."""
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
    return JsonResponse({"items": first_page()})


def first_page() -> list[dict[str, Any]]:
    """Return the first page of items as dictionaries; prices and dates are not yet strings."""
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


def forgotten(request: HttpRequest) -> HttpResponse:
    """List items without `select_related`, as Django fetches their categories: 51 queries."""
    return with_categories(Item.objects.fetch_mode(models.FETCH_ONE))


def guarded(request: HttpRequest) -> HttpResponse:
    """List items without `select_related`, as the project's base model does: 2 queries if guarded."""
    return with_categories(Item.objects.all())


def with_categories(items: Any) -> HttpResponse:
    """List the first items with their categories."""
    lines = [f"{item.name}: {item.category.name}\n" for item in items[:PER_PAGE]]
    return HttpResponse(lines, content_type="text/plain")
