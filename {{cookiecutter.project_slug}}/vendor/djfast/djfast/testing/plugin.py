"""pytest plugin: the fixtures, fast passwords, and a marker for tests of speed defaults.

    [tool.pytest.ini_options]
    addopts = ["-p", "djfast.testing.plugin"]

`djfast.testing.server` has fixtures for the production server, `djfast.testing.budgets` has one for
the budgets of pages. A test of what a speed default does is skipped in a project that has decided
against the default, by its id in `SILENCED_SYSTEM_CHECKS`:

    @pytest.mark.speed("compression")
    def test_a_page_is_compressed(server): ...
"""

from collections.abc import Iterator

import pytest

pytest_plugins = ["djfast.testing.server", "djfast.testing.budgets"]  # the second imports the first


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "speed(*names): a test of what these speed defaults do")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test of a default that the project has decided against."""
    from django.conf import settings

    from djfast.rows import ROWS

    names = {name for mark in item.iter_markers("speed") for name in mark.args}
    for row in ROWS:
        if row.name in names and row.silencers() & {*settings.SILENCED_SYSTEM_CHECKS}:
            pytest.skip(f"SILENCED_SYSTEM_CHECKS has {row.id}")


@pytest.fixture(autouse=True, scope="session")
def _fast_passwords() -> None:
    """Use a fast password hasher: the real ones are slow on purpose, and tests create many users."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True, scope="session")
def _empty_caches() -> Iterator[None]:
    """Delete what this run has cached: no other run reads it.

    Only with the client that deletes the keys of its own prefix: another one would empty a database
    of Redis that others use.
    """
    from django.core.cache import caches

    from djfast.cache.redis import PrefixClient

    yield
    for cache in caches.all():
        if isinstance(getattr(cache, "client", None), PrefixClient):
            cache.clear()
