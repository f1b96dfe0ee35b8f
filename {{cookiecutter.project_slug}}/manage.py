#!/usr/bin/env python
"""Run a Django command; in development, its settings start PostgreSQL and Valkey."""

import os
import sys
import traceback


def main() -> None:
    """Run the command that the command line names.

    Raises:
        SystemExit: settings are wrong or the database cannot be reached; the message says which.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db import OperationalError
        from djfast.env import EnvError
    except ImportError as error:
        sys.exit(f"{error}: run this as `uv run manage.py`, which installs what is missing.")

    try:
        _ = settings.DEBUG  # loads the settings
    except (EnvError, ImproperlyConfigured) as error:
        sys.exit(f"{error}")

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        # Only while it connects: an error in a query has its traceback.
        frames = traceback.extract_tb(error.__traceback__)
        if not any(frame.name == "ensure_connection" for frame in frames):
            raise
        sys.exit(f"DATABASE_URL leads to no database: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
