"""The site of `pages_site.py`, with an empty cache for each test."""

from collections.abc import Iterator
from typing import Any

import pages_site
import pytest
from djfast.cache.pages.store import page_store


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[None]:
    cache = settings.CACHES["default"] | {"KEY_PREFIX": "tests-pages"}
    settings.CACHES = settings.CACHES | {"pages": cache}
    settings.ROOT_URLCONF = "pages_site"
    settings.ALLOWED_HOSTS = ["testserver", "other.example"]
    pages_site.reset()
    yield
    assert not page_store.in_flight
    pages_site.behaviour.delay = 0.0
