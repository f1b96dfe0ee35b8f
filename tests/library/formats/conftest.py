"""Settings that change from example to example."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings
from django.utils import formats, timezone, translation


@contextmanager
def under(zone: str | None = None, language: str | None = None, **changes: Any) -> Iterator[None]:
    """Override settings, and activate a time zone and a language unless they are None."""

    def clear() -> None:  # Django caches formats, and functions that it chose by USE_I18N
        translation._trans.__dict__.clear()
        formats.reset_format_cache()

    with override_settings(**changes):
        clear()
        try:
            with timezone.override(zone), translation.override(language):
                yield
        finally:
            clear()
