"""Health check: Django's backend for PostgreSQL, which asks a kept connection only if it may be lost.

Django sends it a query of its own before the first one of a request, and waits for the answer. A connection
that was in use a moment ago and has received nothing since is alive: had the database ended it, there would
be something to read.
"""

from django.db import DEFAULT_DB_ALIAS, connections

from speed import Finding


def finding() -> Finding:
    """Say whether the default database has this backend."""
    from speed.postgresql import base

    default = connections[DEFAULT_DB_ALIAS]
    if default.vendor != "postgresql":
        return None, lambda: f"{default.display_name} has a backend of its own"
    checks = base.checks
    return (
        isinstance(default, base.DatabaseWrapper),
        lambda: (
            f"checks of this process without a query: {checks['spared']}, with: {checks['sent']}"
        ),
    )
