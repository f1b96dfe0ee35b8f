"""An empty cache for fragments in each test."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from djfast.cache import fragments
from fragments_site import CACHE
from hypothesis import HealthCheck
from hypothesis import settings as limits

limits.register_profile("djfast", deadline=None, suppress_health_check=list(HealthCheck))
limits.load_profile("djfast")


@pytest.fixture(autouse=True)
def cache() -> Iterator[Any]:
    with override_settings(CACHES=settings.CACHES | {fragments.ALIAS: CACHE}):
        caches[fragments.ALIAS].clear()
        yield caches[fragments.ALIAS]
        caches[fragments.ALIAS].clear()
