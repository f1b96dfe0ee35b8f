"""The pages that `make bench` measures, the rows that they show, and what its own models inherit."""

from django.db import models

# What the benchmark's own models inherit: the same as the project's.
BASE_MODEL = "core.models.BaseModel"

# "/path/" as an anonymous visitor gets it, "/path/ signed in" as a signed-in one does; and a text that
# the page must contain, because a wrong page is not measured.
PAGES = {
    "/": "<h1>",
    "/ signed in": "Signed in as",
    "/admin/login/": "Password:",
}


def content() -> list[models.Model]:
    """Create the rows that the pages show, and return them so that a test can delete them.

    Create several of each kind: with one row, a query per row goes unnoticed. The budgets of
    tests/test_pages.py use these rows too.
    """
    return []  # [Item.objects.create(name=f"Item {n}") for n in range(20)]
