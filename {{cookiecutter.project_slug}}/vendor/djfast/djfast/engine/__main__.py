"""Compare the installed Django with the fingerprints of each engine module.

    python -m djfast.engine

Prints one line per module. For a module whose Django functions have changed, it also prints the new
REPLACES: review the changes in Django, run the module's tests in the template repository's
tests/library, then store it.
"""

import os
from importlib import import_module

import django
from django.conf import settings

from djfast.engine import MODULES, changed, fingerprint


def report(module: str) -> str:
    """Return the lines about one module."""
    names = changed(module)
    if not names:
        return f"{module}: unchanged"
    replaces: dict[str, str] = import_module(f"djfast.engine.{module}").REPLACES
    lines = [f"{module}: changed: {', '.join(names)}", "REPLACES = {"]
    lines += [f'    "{name}": "{fingerprint(name)}",' for name in replaces]
    return "\n".join([*lines, "}"])


if __name__ == "__main__":
    if "DJANGO_SETTINGS_MODULE" not in os.environ:
        settings.configure()  # modules with models need Django to be set up, whatever its settings
    django.setup()
    print(f"Django {django.get_version()}", *map(report, MODULES), sep="\n")
