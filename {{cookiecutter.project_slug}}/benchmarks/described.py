"""What a project runs with, as a line of JSON: its settings without secrets, and what is installed.

Runs in the project's own environment, so it imports nothing that a project may not have.
"""

import json
import platform
import re
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from django.views.debug import SafeExceptionReporterFilter

PASSWORD = re.compile(r"(?<=://)[^/@\s']+(?=@)")  # and the user, in a URL
ADDRESS = re.compile(" at 0x[0-9a-f]+")  # of an object, in this process


def text(value: object) -> str:
    """Write a value without what differs between two folders, two processes or two secrets."""
    written = ADDRESS.sub("", PASSWORD.sub("***", repr(value)))
    return written.replace(str(Path.cwd()), ".")


def flat(name: str, value: object) -> Iterator[tuple[str, str | list[str]]]:
    """Give a setting's values by path (`DATABASES.default.CONN_MAX_AGE`); a list is one value."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(f"{name}.{key}", item)
    else:
        yield name, [text(item) for item in value] if isinstance(value, list) else text(value)


def main() -> None:
    """Print the settings that are in effect, Django's own included, and the versions."""
    settings = SafeExceptionReporterFilter().get_safe_settings()
    versions = {found.name.lower(): found.version for found in distributions()}
    print(
        json.dumps(
            {
                "Settings": dict(pair for name in settings for pair in flat(name, settings[name])),
                "Versions": {"python": platform.python_version(), **versions},
            }
        )
    )


if __name__ == "__main__":
    main()
