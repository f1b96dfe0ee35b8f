"""PostgreSQL as Django speaks to it, but for how a kept connection is found to be alive.

Django sends each connection a query of its own before the first one of a request, and waits for the answer.
One that was in use a moment ago, and of which nothing has been heard since, needs none: had the database
ended it, there were something to read.
"""

from django.db import DEFAULT_DB_ALIAS, connections

from speed import Finding


def finding() -> Finding:
    """Say whether the default database is one of these."""
    from speed.postgresql import base

    known = connections[DEFAULT_DB_ALIAS]
    if known.vendor != "postgresql":
        return None, lambda: f"{known.display_name} is asked nothing"
    ours, told = isinstance(known, base.DatabaseWrapper), base.told
    return ours, lambda: f"known without a query: {told['known']}, with one: {told['asked']}"
