"""Context processors: variables that every template has without its view passing them."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:
    """Return the name of the site."""
    return {"site_name": settings.SITE_NAME}
