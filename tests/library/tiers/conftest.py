"""An empty two-tier cache for each test."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from tiers_cache import ALIAS, TIERED


@pytest.fixture(autouse=True)
def cache() -> Iterator[Any]:
    with override_settings(CACHES=settings.CACHES | {ALIAS: TIERED}):
        caches[ALIAS].clear()
        yield caches[ALIAS]
        caches[ALIAS].clear()
