"""A list page, and the URLs of its items."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from shop.models import Item


def index(request: HttpRequest) -> HttpResponse:
    """Render all items twice: the engine compiles a loop after the first time."""
    items = Item.objects.order_by("pk")
    context = {"items": items, "with_tags": items.prefetch_related("tags")}
    render(request, "index.html", context)
    return render(request, "index.html", context)


urlpatterns = [path("", index), path("items/<int:pk>/<str:name>/", index, name="item")]
