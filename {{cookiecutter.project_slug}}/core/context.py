"""What every template may use without its view passing it."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:
    """Give templates `site_name`."""
    return {"site_name": settings.SITE_NAME}
