"""The pages of this app."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    """Show the start page; in development also which speed defaults are in effect."""
    context: dict[str, Any] = {}
    if settings.DEBUG:
        from speed.effects import observe  # production never imports it

        context["effects"] = observe()
        context["undone"] = sum(effect.holds is False for effect in context["effects"])
    return render(request, "home.html", context)
