"""Run all scenarios on one side: `python -m matrix.run RESULT`, with the side in the environment.

The result is JSON: migrations, tables, and of each package what it gave, or the error that it raised,
and how many queries that took in this thread.
"""

import json
import os
import platform
import sys
import traceback
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg


def new_database() -> None:
    """Create the database that DATABASE_URL names; if there is one, replace it."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = url.path[1:]
    with psycopg.connect(url._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')


def migrate() -> dict[str, Any]:
    """Make the migrations of the site and apply all; return them and the tables that they made."""
    from django.conf import settings
    from django.core.cache import cache
    from django.core.management import call_command
    from django.db import connection

    cache.clear()  # of what an earlier run left in Valkey
    said = StringIO()
    call_command("makemigrations", *settings.MIGRATION_MODULES, verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("makemigrations", check_changes=True, dry_run=True, stdout=said)
    (written,) = Path(os.environ["MATRIX_MIGRATIONS"]).glob("matrix_migrations/0001_*.py")
    columns = """SELECT table_name, column_name, data_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"""
    indexes = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    with connection.cursor() as cursor:
        tables = [cursor.execute(query).fetchall() for query in (columns, indexes)]
    return {
        "migration": written.read_text().partition("class Migration")[2].splitlines(),
        "tables": [row for rows in tables for row in rows if row[0].startswith("matrix_")],
        "changes": said.getvalue(),
    }


def fill() -> None:
    """Create the rows that all scenarios show."""
    from django.contrib.auth import get_user_model

    from matrix.models import Label, Maker, Product

    admin = get_user_model().objects.create_superuser("admin", "admin@example.com", "secret")
    makers = [Maker.objects.create(name=f"Maker {number}") for number in (1, 2, 3)]
    labels = [Label.objects.create(name=f"Label {number}") for number in (1, 2)]
    for number in range(1, 7):
        product = Product.objects.create(
            name=f"Widget {number} <&>",
            maker=makers[number % 3],
            price=Decimal(number) / 2,
            added=date(2026, 1, number),
            owner=admin if number % 2 else None,
        )
        product.labels.set(labels[: number % 3])


def run() -> dict[str, Any]:
    """Run every scenario in a transaction of its own thread's connection; return what they gave."""
    from django.db import connection

    from matrix.client import Site
    from matrix.scenarios import SCENARIOS

    found: dict[str, Any] = {}
    for name, scenario in SCENARIOS.items():
        queries: list[str] = []

        def count(execute: Any, sql: str, *rest: Any, queries: list[str] = queries) -> Any:
            queries.append(sql)
            return execute(sql, *rest)

        one: dict[str, Any] = {"version": version(name), "used": scenario.__doc__}
        with connection.execute_wrapper(count):
            try:
                one["result"] = scenario(Site())
            except Exception as error:
                one["error"] = f"{type(error).__name__}: {error}"
                one["traceback"] = traceback.format_exc()
        found[name] = one | {"queries": len(queries)}
    return found


def main() -> None:
    """Write the result of this side."""
    new_database()
    import django

    django.setup()
    versions = {"django": django.get_version(), "python": platform.python_version()}
    migrated = {"version": versions, "result": migrate()}
    fill()
    result = {"migrate": migrated, **run()}
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1, default=str))


if __name__ == "__main__":
    main()
