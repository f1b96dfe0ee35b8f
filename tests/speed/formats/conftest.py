"""Settings that examples change; Django keeps some of what it took under the first ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings
from django.utils import formats, timezone, translation


@contextmanager
def under(zone: str | None = None, language: str | None = None, **changes: Any) -> Iterator[None]:
    """Change settings; then activate a time zone and a language, if one is named."""

    def forget() -> None:
        translation._trans.__dict__.clear()
        formats.reset_format_cache()

    with override_settings(**changes):
        forget()
        try:
            with timezone.override(zone), translation.override(language):
                yield
        finally:
            forget()
