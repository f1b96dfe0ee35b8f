"""Health check: Django's backend for PostgreSQL, which asks a kept connection only if it may be lost.

Django sends it a query of its own before the first one of a request, and waits for the answer. A connection
that was in use a moment ago and has received nothing since is alive: had the database ended it, there would
be something to read.
"""

from django.db import DEFAULT_DB_ALIAS, connections

from speed import Finding


def finding() -> Finding:
    """Say whether the default database has this backend, if it has use for it."""
    from django.db.backends.postgresql.base import DatabaseWrapper

    from speed.postgresql import base

    default, checks = connections[DEFAULT_DB_ALIAS], base.checks
    ours = isinstance(default, base.DatabaseWrapper)
    if not ours and type(default) is not DatabaseWrapper:
        return None, lambda: f"{default.display_name} has a backend of its own"
    known = default.settings_dict
    if known["CONN_MAX_AGE"] == 0 or not known["CONN_HEALTH_CHECKS"]:
        return None, lambda: "no connection is kept, or none is checked"
    told = f"{checks['spared']} checks of this process without a query, {checks['sent']} with one"
    return ours, lambda: told
