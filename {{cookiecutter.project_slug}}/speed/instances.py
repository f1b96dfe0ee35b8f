"""Model instances: what a query loads becomes objects without what all rows of a model share.

    class Item(instances.Model):
        tags = models.ManyToManyField(Tag)

`peers.Model` is such a model. Django's `__init__` serves everybody who makes an object, and each row that
is loaded goes through it; the manager behind `item.tags` looks for its fields anew for each item. Here the
values of a row are stored as they come, and a manager copies what the first one has found.

Where that is not all there is to do, it is Django's way: a model with an `__init__` of its own, a field
that watches what is stored (files), fields that a query has left out, listeners of `pre_init`; a set
whose manager has an `__init__` or is watched, as zeal does in development, or whose rows are told apart by
more than the model's own primary key.
https://docs.djangoproject.com/en/6.1/ref/models/instances/#customizing-model-loading
"""

from collections.abc import Collection
from inspect import getattr_static
from operator import attrgetter
from typing import Any, ClassVar, Self

from django.apps import apps
from django.db import models
from django.db.models.base import ModelState
from django.db.models.fetch_modes import FetchMode
from django.db.models.fields.related_descriptors import (
    ForeignKeyDeferredAttribute,
    ManyToManyDescriptor,
)
from django.db.models.manager import BaseManager
from django.db.models.signals import post_init, pre_init
from django.utils.functional import cached_property

from speed import Finding

INIT = models.Model.__init__
NUMBERS = {models.AutoField, models.BigAutoField, models.SmallAutoField}

# What the manager of a many-to-many set has of its own, and what all managers of the set have alike.
OWN = {"_constructor_args", "_hints", "core_filters", "instance", "related_val"}
ALIKE = {
    *("creation_counter", "model", "name", "_db", "query_field_name", "prefetch_cache_name"),
    *("source_field_name", "target_field_name", "symmetrical", "through", "reverse"),
    *("source_field", "target_field", "pk_field_names"),
}


class Model(models.Model):
    """A base of models; it has no table, and its objects are as Django makes them."""

    # The fields of the model, and the names under which their values are all that an object has.
    _stored: ClassVar[tuple[object, tuple[str, ...]]] = (None, ())

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        *,
        fetch_mode: FetchMode | None = None,
    ) -> Self:
        """Make an object of a row; the arguments are Django's."""
        fields, names = cls._stored
        if fields is not cls._meta.concrete_fields:  # the first row, or a field has been added
            cls._stored = fields, names = cls._meta.concrete_fields, stored(cls)
        if len(names) != len(values) or cls.__init__ is not INIT or pre_init.receivers:
            return super().from_db(db, field_names, values, fetch_mode=fetch_mode)
        made = object.__new__(cls)
        state = ModelState()
        own = vars(made)
        own["_state"] = state
        own.update(zip(names, values, strict=False))
        post_init.send(sender=cls, instance=made)
        state.adding = False
        state.db = db
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode
        return made


def stored(model: type[models.Model]) -> tuple[str, ...]:
    """Return the names of a row's values on its object; none if there is more to do than to store them."""
    beyond = model.__mro__[model.__mro__.index(models.Model) + 1 : -1]
    names = tuple(field.attname for field in model._meta.concrete_fields)
    if (
        model.__new__ is not object.__new__
        or model.__setattr__ is not object.__setattr__
        or any("__init__" in vars(base) for base in beyond)
        or any(watches(getattr_static(model, name, None)) for name in names)
    ):
        return ()
    return names


def watches(attribute: object) -> bool:
    """Say whether an attribute of a model does more than Django's when a value is stored."""
    # Django's, of a foreign key, forgets the object that belonged to the key before: here is none.
    kind = type(attribute)
    return hasattr(kind, "__set__") and kind is not ForeignKeyDeferredAttribute


class Sets(ManyToManyDescriptor):  # type: ignore[type-arg]
    """What gives `item.tags` and `tag.items` their managers."""

    @cached_property
    def related_manager_cls(self) -> Any:
        name = self.field.m2m_reverse_field_name() if self.reverse else self.field.m2m_field_name()
        return copying(super().related_manager_cls, self.through._meta.get_field(name))


def copying(manager: Any, source: Any) -> Any:
    """Return a class of managers that copy what the first of them has found.

    Args:
        manager: Django's class.
        source: the foreign key, in the table between, to what has the set.
    """
    key, *more = source.foreign_related_fields
    bases = [base for base in manager.__mro__[1:] if base not in (BaseManager, object)]
    if more or any(not {"__init__", "__new__"}.isdisjoint(vars(base)) for base in bases):
        return manager
    shared: dict[str, Any] = {}
    filtered = ""
    column = attrgetter(f"_prefetch_related_val_{source.attname}")

    class Copying(manager):
        def __init__(self, instance: Any = None) -> None:
            nonlocal shared, filtered
            value = vars(instance).get(key.attname) if instance._meta.pk is key else None
            if shared and value is not None:
                filters, related = {filtered: value}, (value,)
                self.__dict__.update(
                    shared, instance=instance, _hints={}, core_filters=filters, related_val=related
                )
                return
            super().__init__(instance)
            if vars(self).keys() == ALIKE | OWN:
                (filtered,) = self.core_filters
                shared = {name: vars(self)[name] for name in ALIKE}

        def get_prefetch_querysets(self, instances: Any, querysets: Any = None) -> tuple[Any, ...]:
            # Django prepares the key of each row as if it were meant for the database it came from.
            query, match, *rest = super().get_prefetch_querysets(instances, querysets)
            if type(key) in NUMBERS:
                return query, lambda row: (column(row),), *rest
            return query, match, *rest

    return Copying


def ready() -> None:
    """Take the place of Django's descriptors in the models that inherit from here."""
    for model in inheriting():
        for name, value in list(vars(model).items()):
            if type(value) is ManyToManyDescriptor:
                setattr(model, name, Sets(value.rel, value.reverse))


def inheriting() -> list[type[Model]]:
    """Return all models of the project that derive from this one."""
    return [model for model in apps.get_models() if issubclass(model, Model)]


def finding() -> Finding:
    """Look for models that inherit from here."""
    found = ", ".join(model._meta.label for model in inheriting())
    return bool(found), lambda: f"on {found}" if found else "no model inherits it"
