"""Advice about writing to the database."""

from collections.abc import Iterable
from functools import partial

from django.db import models

from djfast_bench.advice.base import Pairs, Run, pair
from djfast_bench.advice.database import FEW, each, few, items, optimization, restocked, rolled_back
from djfast_bench.workload.models import Item, Tag


def written(state: Run, advised: Run, other: Run) -> Pairs:
    """Return variants that change rows, return the resulting state, and roll it back.

    Args:
        state: returns what must be equal after both changes.
        advised: the change as the guide advises.
        other: the change as it warns of.
    """

    def run(change: Run) -> object:
        with rolled_back():
            change()
            return state()

    yield pair(partial(run, advised), partial(run, other))


def save_each(rows: Iterable[models.Model]) -> None:
    """Save rows one by one."""
    for row in rows:
        row.save()


def restock() -> list[Item]:
    """Fetch rows and change them without saving them."""
    rows = list(few.all())
    for item in rows:
        item.stock += 100
    return rows


def new_tags() -> list[Tag]:
    """Create tags without saving them."""
    return [Tag(name=f"new {number}", slug=f"new-{number}") for number in range(50)]


@optimization("create-in-bulk", "bulk_create()", "save() of new rows", "50 tags")
def bulk_create() -> Pairs:
    """Insert many rows with one query."""
    insert = Tag.objects.bulk_create
    return written(Tag.objects.count, lambda: insert(new_tags()), lambda: save_each(new_tags()))


@optimization("update-in-bulk", "bulk_update()", "save() of each", FEW)
def bulk_update() -> Pairs:
    """Update many rows with one query."""
    update = partial(items.bulk_update, fields=["stock"])
    return written(restocked.count, lambda: update(restock()), lambda: save_each(restock()))


@optimization("use-queryset-update-and-delete", "update() with F()", "save() of each", FEW)
def updated() -> Pairs:
    """Update rows in the database without fetching them."""
    update = partial(few.update, stock=models.F("stock") + 100)
    return written(restocked.count, update, lambda: save_each(restock()))


@optimization("use-queryset-update-and-delete", "delete() of a queryset", "delete() of each", FEW)
def deleted() -> Pairs:
    """Delete many rows with one query for each table."""
    return written(items.count, few.delete, each(few, Item.delete))
