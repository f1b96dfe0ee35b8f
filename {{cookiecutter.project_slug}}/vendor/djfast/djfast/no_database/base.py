"""Django's dummy backend, with an error that says what to run."""

from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.dummy import base


def complain(*args: Any, **options: Any) -> NoReturn:
    """Raise an error.

    Raises:
        ImproperlyConfigured: always.
    """
    raise ImproperlyConfigured(
        "No database runs: start it with `.venv/bin/python -m djfast.services start`, or set DATABASE_URL."
    )


class DatabaseOperations(base.DatabaseOperations):
    """The first thing that a query asks for is a quoted name."""

    quote_name = complain


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that cannot be opened."""

    ops_class = DatabaseOperations
    ensure_connection = complain
    _commit = complain
    _cursor = complain
    _rollback = complain
    _savepoint = complain
    _savepoint_commit = complain
    _savepoint_rollback = complain
    _set_autocommit = complain
