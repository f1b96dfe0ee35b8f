"""The pages of this app."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    """Show the start page; in development, with the next steps."""
    return render(request, "home.html", {"development": settings.DEBUG})
