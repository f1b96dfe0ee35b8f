"""A project with the cached user middleware, and an empty session cache for each test."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from djfast.cache import users
from users_site import CACHED, DJANGO


@pytest.fixture(autouse=True)
def installed(settings: Any) -> Iterator[None]:
    settings.MIDDLEWARE = [CACHED if path == DJANGO else path for path in settings.MIDDLEWARE]
    settings.ROOT_URLCONF = "users_site"
    users.connect()
    caches["sessions"].clear()
    yield
    caches["sessions"].clear()
