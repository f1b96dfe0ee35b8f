"""Prepare a project for measurements, in its own environment: static files, or tables and rows.

    python -m djfast_bench.prepare static | data

Imports only Django, since the project may have nothing else in common with this one.
"""

import json
import sys

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command

# The measured pages are for a signed-in visitor.
REQUIRED = ("django.contrib.auth", "django.contrib.sessions")


def static() -> None:
    """Collect the static files, if the project has any."""
    if apps.is_installed("django.contrib.staticfiles"):
        call_command("collectstatic", interactive=False, verbosity=0)


def data() -> None:
    """Create the tables and the rows; print the visitor's cookie and what was added as JSON.

    Raises:
        SystemExit: the project lacks something that the workload needs.
    """
    if missing := [app for app in REQUIRED if not apps.is_installed(app)]:
        sys.exit(f"INSTALLED_APPS lacks {', '.join(missing)}, which the measured pages need.")
    call_command("migrate", run_syncdb=True, verbosity=0)
    from djfast_bench.workload.data import seed

    added: list[str] = getattr(settings, "BENCH_ADDED", [])
    print(json.dumps({"cookie": seed(), "added": added}))


if __name__ == "__main__":
    try:
        django.setup()
    except Exception as error:  # of the project's own code, which may raise anything
        sys.exit(f"The project cannot be loaded: {type(error).__name__}: {error}")
    {"static": static, "data": data}[sys.argv[1]]()
