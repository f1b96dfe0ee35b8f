"""Print a project's settings, without secrets, and its installed packages as a line of JSON.

    python -m djfast_bench.describe

Runs in the project's own environment, so it imports only Django.
"""

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from django.views.debug import SafeExceptionReporterFilter

CREDENTIALS = re.compile(r"(?<=://)[^/@\s']+(?=@)")  # in a URL
MEMORY_ADDRESS = re.compile(" at 0x[0-9a-f]+")


def as_text(value: object) -> str:
    """Return a value as text, without what differs between two folders, processes or secrets."""
    written = MEMORY_ADDRESS.sub("", CREDENTIALS.sub("***", repr(value)))
    return written.replace(str(Path.cwd()), ".")


def flatten(name: str, value: object) -> Iterator[tuple[str, str | list[str]]]:
    """Yield the values of a setting by path (`DATABASES.default.CONN_MAX_AGE`); a list is one value."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flatten(f"{name}.{key}", item)
    else:
        yield name, list(map(as_text, value)) if isinstance(value, list) else as_text(value)


def main() -> None:
    """Print the settings in effect, Django's defaults included, and the versions.

    Raises:
        SystemExit: the settings cannot be loaded; the message says why.
    """
    try:
        settings = SafeExceptionReporterFilter().get_safe_settings()
    except Exception as error:  # of the project's own code, which may raise anything
        sys.exit(f"the settings cannot be loaded: {type(error).__name__}: {error}")
    versions = {found.name.lower(): found.version for found in distributions()}
    described = {
        "Settings": dict(pair for name in settings for pair in flatten(name, settings[name])),
        "Versions": {"python": platform.python_version(), **versions},
    }
    print(json.dumps(described))


if __name__ == "__main__":
    main()
