"""N+1 guard: a relation that a query did not load is fetched for all of its rows at once.

    class Item(djfast.models.Model):
        category = models.ForeignKey(Category, models.CASCADE)

A page that shows the category of 50 items makes 2 queries, whether or not its view calls
`select_related()`, which makes one. In development the log names each relation that was fetched this way.

Covered: foreign keys, one-to-one fields in both directions, generic foreign keys. As with
`prefetch_related()`, rows with the same foreign key share one related object, read when the first of them
needs it.

Not covered: reverse foreign keys (`category.items`), many-to-many fields, `iterator()`, rows that
`get()` loads one by one, rows unpickled from a cache. Deferred fields are loaded one by one as
well: `save()` writes every loaded field, so a value loaded together with that of another row would
overwrite what was saved in the meantime.

To make a view fail on a lazy fetch, use Django's `fetch_mode(models.FETCH_RAISE)` on its query, or
django-zeal in tests.

https://docs.djangoproject.com/en/6.1/topics/db/fetch-modes/
"""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models.fetch_modes import FetchMode, FetchPeers
from django.db.models.fields.related_descriptors import (
    ForwardManyToOneDescriptor,
    ForwardOneToOneDescriptor,
    ReverseOneToOneDescriptor,
)
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


class Peers(FetchPeers):
    """Django's FETCH_PEERS for relations, where the result is that of FETCH_ONE; else FETCH_ONE."""

    __slots__ = ()

    def fetch(self, fetcher: Any, instance: models.Model) -> None:
        """Fetch a relation of `instance` and of its peers, or one deferred field.

        Args:
            fetcher: Django's descriptor for the field.
            instance: the row whose field is read.

        Raises:
            ObjectDoesNotExist: there is no related row, or `instance` itself was deleted.
        """
        peers = [] if fetches_alone(fetcher, instance) else fetchable(fetcher, instance)
        if len(peers) > 1 and any(peer is instance for peer in peers):
            if settings.DEBUG:
                warn(fetcher, instance, len(peers))
            fetcher.fetch_many(peers)
            if not isinstance(fetcher, ForwardManyToOneDescriptor):
                return
            # fetch_many() caches None where the related row is missing; fetch_one() raises DoesNotExist.
            for peer in peers:
                if fetcher.field.get_cached_value(peer) is None:
                    fetcher.field.delete_cached_value(peer)
            if fetcher.field.is_cached(instance):
                return
        fetcher.fetch_one(instance)

    def __reduce__(self) -> Any:
        # A pickled row can be loaded without this library: it has Django's own mode.
        return import_string, ("django.db.models.FETCH_PEERS",)

    def __deepcopy__(self, memo: object) -> Self:
        return self


PEERS = Peers()


def fetches_alone(fetcher: Any, instance: models.Model) -> bool:
    """Return whether a field is fetched for one row only."""
    if not isinstance(fetcher, ForwardManyToOneDescriptor | ReverseOneToOneDescriptor):
        if not is_generic(fetcher):  # a deferred field, or a descriptor that is not Django's
            return True
    elif isinstance(fetcher, ForwardOneToOneDescriptor) and fetcher.field.remote_field.parent_link:
        return True  # Django makes the parent from the child's own values, without a query
    # A generic foreign key that was changed after it was fetched: fetch_many() would skip this row.
    return bool(fetcher.is_cached(instance))


def fetchable(fetcher: Any, instance: models.Model) -> list[models.Model]:
    """Return the rows of the same query for which a relation can be fetched with `instance`.

    Excluded are rows whose key is deferred, because fetching it would load it on all of them; rows without
    a key; and rows that were deleted, or saved to another database.
    """
    columns = [field.attname for field in key_fields(fetcher) if not field.primary_key]
    peers = (reference() for reference in instance._state.peers)
    return [
        peer
        for peer in peers
        if peer is not None
        and peer.pk is not None
        and peer._state.db == instance._state.db
        and all(vars(peer).get(column) is not None for column in columns)
    ]


def key_fields(fetcher: Any) -> Any:
    """Return the fields of a row that hold the key of a relation."""
    field = fetcher.field
    if isinstance(fetcher, ForwardManyToOneDescriptor):
        return field.local_related_fields
    if isinstance(fetcher, ReverseOneToOneDescriptor):
        return field.field.foreign_related_fields
    return [field.model._meta.get_field(name) for name in (field.ct_field, field.fk_field)]


def is_generic(fetcher: Any) -> bool:
    """Return whether a descriptor is that of a generic foreign key, whose app may not be installed."""
    return hasattr(fetcher.field, "ct_field")


def warn(fetcher: Any, instance: models.Model, rows: int) -> None:
    """Log which relation a query did not load, and what loads it."""
    name = fetcher.field.name
    logger.warning(
        "%s.%s was not loaded with its row: add %s_related(%r) to the query of %s rows.",
        type(instance).__qualname__,
        name,
        "prefetch" if is_generic(fetcher) else "select",
        name,
        rows,
    )


class QuerySet[Row: models.Model](models.QuerySet[Row]):
    """The queryset of a guarded model; a project's own querysets derive from it.

        ItemManager = djfast.models.Manager.from_queryset(ItemQuerySet)

        class Item(djfast.models.Model):
            objects: ClassVar = ItemManager()

    Rows from `iterator()` have no peers: each may be gone before the next one is read, and a list of all
    peers would keep growing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Set the fetch mode of the guard."""
        super().__init__(*args, **kwargs)
        self._fetch_mode: FetchMode = PEERS

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled queryset, which is guarded again."""
        super().__setstate__(state)  # type: ignore[misc]  # django-stubs leaves it out
        if self._fetch_mode is models.FETCH_PEERS:  # as `Peers` is pickled
            self._fetch_mode = PEERS

    def iterator(self, chunk_size: int | None = None) -> Iterator[Row]:
        """Return an iterator as Django's, over rows without peers."""
        if self._fetch_mode is not PEERS:
            return super().iterator(chunk_size)
        rows = super(QuerySet, self.fetch_mode(models.FETCH_ONE)).iterator(chunk_size)
        return (guarded(row) for row in rows)

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Row]:
        """Return an asynchronous iterator as Django's, over rows without peers."""
        single = self.fetch_mode(models.FETCH_ONE) if self._fetch_mode is PEERS else self
        async for row in super(QuerySet, single).aiterator(chunk_size):
            yield guarded(row) if single is not self else row


def guarded[Row](row: Row) -> Row:
    """Give a row without peers the fetch mode of the guard, which its related managers inherit."""
    if isinstance(row, models.Model):  # a dictionary or a tuple, after values() or values_list()
        row._state.fetch_mode = PEERS
    return row


class Manager[Row: models.Model](models.Manager[Row]):
    """A manager whose rows are guarded; a project's own managers derive from it.

    The base manager stays Django's own: the rows that it loads for a foreign key have the fetch mode of the
    row with that key, and so have the rows of a related manager.
    """

    _queryset_class = QuerySet  # what `from_queryset(QuerySet)` sets, for which mypy has no types

    def get_queryset(self) -> QuerySet[Row]:
        """Return a queryset with the fetch mode of the guard."""
        found: Any = super().get_queryset()
        # Other QuerySet classes start with Django's mode. Cloning all would slow related managers.
        rows: QuerySet[Row] = found if found._fetch_mode is PEERS else found.fetch_mode(PEERS)
        return rows

    def __eq__(self, other: object) -> bool:
        """Return whether two managers are equal, where a manager equals its unguarded base class.

        Migrations of a user model contain Django's UserManager: if the guarded one were not equal
        to it, makemigrations would write a migration.
        """
        bases = type(self).__mro__
        plain: Any = bases[bases.index(Manager) + 1]
        same = type(other) is plain and getattr(plain, "use_in_migrations", False)
        return super().__eq__(other) or (same and plain.__eq__(other, self))

    __hash__ = models.Manager.__hash__
