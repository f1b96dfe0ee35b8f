"""celery."""

import os

from celery import Celery, shared_task
from django.db import connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "matrix.stock")
app = Celery("matrix")
app.config_from_object("django.conf:settings", namespace="CELERY")


@shared_task
def total(prefix: str) -> list:
    """Return the names and the sum of prices, and how this process is connected."""
    from matrix.models import Product

    found = Product.objects.filter(name__startswith=prefix)
    made_by = [f"{product.name} by {product.maker.name}" for product in found]
    return [made_by, str(sum(product.price for product in found)), connection.vendor]


app.tasks  # noqa: B018  # registers them
