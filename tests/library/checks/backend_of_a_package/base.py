"""A database backend that derives from Django's for PostgreSQL, as those of PostGIS or CockroachDB do."""

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, by another name."""

    vendor = "package"
    display_name = "Package"
