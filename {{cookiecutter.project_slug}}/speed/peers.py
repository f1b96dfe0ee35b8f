"""N+1 guard: what a query left out is fetched for all of its rows at once, not for one after another.

    class Item(peers.Model):
        category = models.ForeignKey(Category, models.CASCADE)

A page that shows the category of 50 items makes 2 queries, whether or not its view remembered
`select_related`. It is a net: `select_related` makes one. In development the log names what it
caught; `raising()` makes a test fail there.

Covered: foreign keys, one-to-one in both directions, generic foreign keys, deferred fields. Not
covered, because it is a query each time or its rows have lost each other: sets (`category.items`,
many-to-many), `iterator()`, rows loaded with `get()` one by one or unpickled from a cache.
https://docs.djangoproject.com/en/6.1/topics/db/fetch-modes/
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Self

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldFetchBlocked
from django.db import models
from django.db.models.fetch_modes import FetchMode, FetchPeers
from django.db.models.query_utils import DeferredAttribute
from django.utils.module_loading import import_string

from speed import Finding, instances

logger = logging.getLogger(__name__)
raises: ContextVar[bool] = ContextVar("raises", default=False)


@contextmanager
def raising() -> Iterator[None]:
    """Let each lazy fetch in the block fail, also in tasks and `sync_to_async`; not in other threads.

        with peers.raising():
            client.get("/items/")

    Raises:
        FieldFetchBlocked: in the code that fetches; it names the field and what the query lacks.
    """
    token = raises.set(True)
    try:
        yield
    finally:
        raises.reset(token)


def advice(fetcher: Any, instance: models.Model) -> str:
    """Say which field a query left out, and what loads it with its row."""
    name = fetcher.field.name
    if isinstance(fetcher, DeferredAttribute):
        remedy = "take it out of defer(), or into only()"
    else:
        generic = hasattr(fetcher.field, "ct_field")
        remedy = f"add {'prefetch' if generic else 'select'}_related({name!r})"
    field = f"{type(instance).__qualname__}.{name}"
    return f"{field} was not loaded with its row: {remedy} in the query"


class Peers(FetchPeers):
    """Django's FETCH_PEERS, which says what it does."""

    __slots__ = ()

    def fetch(self, fetcher: Any, instance: models.Model) -> None:
        """Fetch a field of `instance` and of its peers.

        Raises:
            FieldFetchBlocked: inside `raising()`.
        """
        if raises.get():
            raise FieldFetchBlocked(f"{advice(fetcher, instance)}.")
        if settings.DEBUG and len(instance._state.peers) > 1:
            logger.warning("%s of %s rows.", advice(fetcher, instance), len(instance._state.peers))
        super().fetch(fetcher, instance)

    def __reduce__(self) -> Any:
        # A pickled row outlives this module: it comes back in Django's own mode.
        return import_string, ("django.db.models.FETCH_PEERS",)

    def __deepcopy__(self, memo: object) -> Self:
        return self


PEERS = Peers()


class QuerySet[Row: models.Model](models.QuerySet[Row]):
    """The query set of a guarded model; one of your own derives from it.

        ItemManager = peers.Manager.from_queryset(ItemQuerySet)

        class Item(peers.Model):
            objects: ClassVar = ItemManager()

    `iterator()` lets go of each row before the next, so a row has no peers to fetch for; Django
    would note down all that went by, and look at each of them again with every fetch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start in the mode of the guard."""
        super().__init__(*args, **kwargs)
        self._fetch_mode: FetchMode = PEERS

    def iterator(self, chunk_size: int | None = None) -> Iterator[Row]:
        if self._fetch_mode is not PEERS:
            return super().iterator(chunk_size)
        rows = super(QuerySet, self.fetch_mode(models.FETCH_ONE)).iterator(chunk_size)
        return (guarded(row) for row in rows)

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Row]:
        alone = self.fetch_mode(models.FETCH_ONE) if self._fetch_mode is PEERS else self
        async for row in super(QuerySet, alone).aiterator(chunk_size):
            yield guarded(row) if alone is not self else row


def guarded[Row](row: Row) -> Row:
    """Give a row that came without peers the guard all the same, for the sets that it leads to."""
    if isinstance(row, models.Model):  # and not of values()
        row._state.fetch_mode = PEERS
    return row


class Manager[Row: models.Model](models.Manager[Row]):
    """A manager whose rows fetch for each other; one of your own derives from it.

    The base manager stays Django's own: what it loads for a foreign key inherits the mode of the row
    that asks, and so does what a related manager loads.
    """

    _queryset_class = QuerySet  # as `from_queryset` sets it, of which mypy knows no types

    def get_queryset(self) -> QuerySet[Row]:
        found: Any = super().get_queryset()
        # A query set that is not ours starts in Django's mode; to copy ours would slow each many-to-many.
        rows: QuerySet[Row] = found if found._fetch_mode is PEERS else found.fetch_mode(PEERS)
        return rows

    # No migration has to know the guard: it is equal to the manager that it was put on.
    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) or (
            isinstance(other, models.Manager) and models.Manager.__eq__(other, self)
        )

    __hash__ = models.Manager.__hash__


class Model(instances.Model):
    """The base of the project's models."""

    objects: ClassVar[Manager[Self]] = Manager()

    class Meta:
        abstract = True


def finding() -> Finding:
    """Look at each model that inherits the guard: a manager of its own may have lost it."""
    guarded: list[Any] = [model for model in apps.get_models() if issubclass(model, Model)]
    lost = [
        model._meta.label
        for model in guarded
        if model._default_manager.get_queryset()._fetch_mode is not PEERS
    ]
    if lost:
        return False, lambda: f"lost by the manager of {', '.join(lost)}"
    if not guarded:
        return False, lambda: "no model inherits it"
    return True, lambda: f"on {', '.join(model._meta.label for model in guarded)}"
