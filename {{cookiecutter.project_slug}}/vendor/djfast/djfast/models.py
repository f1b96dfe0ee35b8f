"""The abstract base of a project's models: the N+1 guard and fast loading of rows.

    from djfast import models as djfast_models

    class BaseModel(djfast_models.Model):
        class Meta:
            abstract = True

It has no fields and needs no migrations. `djfast.peers` documents the guard, `djfast.engine.instances` the
loading of rows. A project's own managers and querysets derive from `Manager` and `QuerySet`.
"""

from typing import Any, ClassVar, Self

from django.db import models

from djfast.engine import instances
from djfast.peers import PEERS, Manager, QuerySet

__all__ = ["Manager", "Model", "QuerySet"]


class Model(instances.Model):
    """An abstract base model, otherwise as Django's."""

    objects: ClassVar[Manager[Self]] = Manager()

    class Meta:
        abstract = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled row; rows that its related managers return are guarded again."""
        super().__setstate__(state)  # type: ignore[misc]  # django-stubs leaves it out
        if self._state.fetch_mode is models.FETCH_PEERS:  # as `Peers` is pickled
            self._state.fetch_mode = PEERS
