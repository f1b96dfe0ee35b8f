"""`manage.py check --tag speed` names settings that are valid and slow."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.test import override_settings

CACHE = settings.CACHES["default"]
SMALL = {"min_size": 1, "max_size": 3}  # connections
SLOW: dict[str, dict[str, Any]] = {
    "session-saved-always": {"SESSION_SAVE_EVERY_REQUEST": True},
    "shared-redis-url": {
        "CACHES": settings.CACHES | {"other": CACHE | {"OPTIONS": {"SOCKET_TIMEOUT": 9}}}
    },
    "static-not-built": {"STATIC_ROOT": "/nowhere"},
}


@pytest.fixture(autouse=True)
def _built(tmp_path: Path) -> Any:
    """Check as a production process that has its static files."""
    (tmp_path / "staticfiles.json").touch()
    with override_settings(DEBUG=False, STATIC_ROOT=tmp_path):
        yield


def said() -> set[str]:
    """Return the ids of what the checks say."""
    return {str(message.id) for message in checks.run_checks(tags=["speed"])}


@pytest.mark.parametrize("name", SLOW)
def test_a_setting_that_slows_pages_is_named(name: str) -> None:
    before = said()
    with override_settings(**SLOW[name]):
        assert said() - before == {f"speed.{name}"}


def test_connections_that_nobody_can_use_again_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # {% if cookiecutter.interface == "asgi" %}
    monkeypatch.setitem(settings.DATABASES["default"], "CONN_MAX_AGE", 600)
    assert "speed.asgi-connections" in said()
    # {% else %}
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {"pool": SMALL})
    assert "speed.small-pool" in said()
    # {% endif %}
