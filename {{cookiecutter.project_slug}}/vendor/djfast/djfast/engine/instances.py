"""Rows become objects without `Model.__init__`; managers of many-to-many fields are copied.

`djfast.models.Model` derives from `Model`. Django's constructor accepts positional and keyword arguments,
defaults and related objects; a row from the database needs only its values set. The manager behind
`item.tags` looks up its fields for each item; here it copies what the first manager found. Where the result
would differ from Django's, Django's code runs: `loaded` and `copying` state the conditions.

`from_db` and `copying` are adapted from django.db.models.base and
django.db.models.fields.related_descriptors.
Copyright (c) Django Software Foundation and individual contributors, BSD-3-Clause: see LICENSE.
https://docs.djangoproject.com/en/6.1/ref/models/instances/#customizing-model-loading
"""

from collections.abc import Collection
from operator import attrgetter
from typing import Any, ClassVar

from django.apps import apps
from django.db import models
from django.db.models.base import ModelState
from django.db.models.fetch_modes import FetchMode
from django.db.models.fields.related_descriptors import (
    ManyToManyDescriptor,
    create_forward_many_to_many_manager,
)
from django.db.models.manager import BaseManager
from django.db.models.signals import post_init, pre_init
from django.utils.functional import cached_property

REPLACES = {
    "django.db.models.base.Model.__init__": "548738767602",
    "django.db.models.base.Model.from_db": "cddca6f7b505",
    "django.db.models.fields.AutoFieldMixin.get_db_prep_value": "d2673f7daeb3",
    "django.db.models.fields.related.ForeignKey.get_db_prep_value": "bdfdd279069e",
    "django.db.models.fields.related.ForeignObject.get_foreign_related_value": "a6b1990d0289",
    "django.db.models.fields.related.ForeignObject.get_instance_value_for_fields": "71e28486a5d7",
    "django.db.models.fields.related_descriptors.ManyToManyDescriptor.related_manager_cls": "e35322dea35b",
    "django.db.models.fields.related_descriptors.ReverseManyToOneDescriptor.__get__": "c937b31e26b7",
    "django.db.models.manager.BaseManager.__init__": "4285604519c6",
    "django.db.models.manager.BaseManager.__new__": "9cfbe660b800",
    # As it was imported here, because django-zeal replaces it in its module.
    "djfast.engine.instances.create_forward_many_to_many_manager": "b93cf4954dea",
}

INIT = models.Model.__init__
FROM_DB = models.Model.from_db.__func__  # type: ignore[attr-defined]
# Their values come from the database as int, as Django would convert them.
AUTO_FIELDS = {models.AutoField, models.BigAutoField, models.SmallAutoField}
# The attributes that a many-to-many manager does not share with the others of its descriptor.
OWN = {"_constructor_args", "_hints", "core_filters", "instance", "related_val"}


class Model(models.Model):
    """An abstract base model without fields; `switch` gives it a `from_db` or leaves it Django's."""

    # The model's fields when they were last read, and their names on an object; None: Django's code.
    _djfast_loaded: ClassVar[tuple[object, tuple[str, ...] | None]] = (None, None)

    class Meta:
        abstract = True


def from_db(
    cls: type[Model],
    db: str | None,
    field_names: Collection[str],
    values: Collection[Any],
    *,
    fetch_mode: FetchMode | None = None,
) -> Model:
    """Return an object for a row, as `django.db.models.Model.from_db`; arguments are Django's."""
    fields, names = cls._djfast_loaded
    if fields is not cls._meta.concrete_fields:  # the first row, or a field was added
        cls._djfast_loaded = fields, names = cls._meta.concrete_fields, loaded(cls)
    if (
        names is None
        or not len(names) == len(values) == len(field_names)
        or cls.__init__ is not INIT  # packages replace it at run time
        or pre_init.receivers
    ):
        return super(Model, cls).from_db(db, field_names, values, fetch_mode=fetch_mode)
    made = object.__new__(cls)
    made._state = state = ModelState()
    for name, value in zip(names, values, strict=False):
        setattr(made, name, value)
    post_init.send(sender=cls, instance=made)
    state.adding = False
    state.db = db
    if fetch_mode is not None:
        state.fetch_mode = fetch_mode
    return made


def loaded(model: type[Model]) -> tuple[str, ...] | None:
    """Return the names under which a row's values are set; None if Django would do more than that."""
    behind = model.__mro__[model.__mro__.index(models.Model) + 1 : -1]
    if (
        model._meta.abstract
        or type(model).__call__ is not type.__call__
        or model.__new__ is not object.__new__
        or any("__init__" in vars(mixin) for mixin in behind)
        or super(Model, model).from_db.__func__ is not FROM_DB  # type: ignore[attr-defined]
    ):
        return None
    return tuple(field.attname for field in model._meta.concrete_fields)


class CopyingDescriptor(ManyToManyDescriptor):
    """Django's descriptor behind `item.tags` and `tag.items`, whose managers copy the first of them."""

    @cached_property
    def related_manager_cls(self) -> Any:
        name = self.field.m2m_reverse_field_name() if self.reverse else self.field.m2m_field_name()
        return copying(super().related_manager_cls, self.through._meta.get_field(name))


def copying(manager: Any, foreign_key: Any) -> Any:
    """Return a subclass whose managers copy the attributes of the first one, or `manager` itself.

    Attributes in `OWN` depend on the object that a manager is made for, and are not copied.

    Args:
        manager: the class that Django made for one descriptor.
        foreign_key: the through table's foreign key to the objects that have the descriptor.
    """
    key, *others = foreign_key.foreign_related_fields
    init = manager.__init__
    changed = {"__init__", "__new__", "__setattr__"}
    bases = [one for one in manager.__mro__[1:] if one not in (BaseManager, object)]
    if (
        others  # a composite key
        or not is_django(init)
        or any(not changed.isdisjoint(vars(one)) for one in bases)
    ):
        return manager
    shared: dict[str, Any] = {}
    filter_name = ""

    class ManyRelatedManager(manager):
        """A many-to-many manager that copies the attributes of the first one."""

        def __init__(self, instance: Any = None) -> None:
            nonlocal shared, filter_name
            # The primary key of a child table is the link to its parent, not the key in the filter.
            value = getattr(instance, key.attname) if instance._meta.pk is key else None
            if shared and value is not None and manager.__init__ is init:
                self.__dict__.update(shared)
                self.__dict__.update(instance=instance, related_val=(value,))
                self.__dict__.update(core_filters={filter_name: value}, _hints={})
                return
            super().__init__(instance)
            (filter_name,) = self.core_filters
            shared = {name: found for name, found in vars(self).items() if name not in OWN}

    if type(key) in AUTO_FIELDS:
        ManyRelatedManager.get_prefetch_querysets = prefetching(ManyRelatedManager, foreign_key)
    return ManyRelatedManager


def prefetching(manager: Any, foreign_key: Any) -> Any:
    """Return a `get_prefetch_querysets` that takes the key of each prefetched row as it is.

    Django converts it as a parameter of a query, which does not change an int.
    """
    source_value = attrgetter(f"_prefetch_related_val_{foreign_key.attname}")

    def get_prefetch_querysets(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        queryset, _, *rest = super(manager, self).get_prefetch_querysets(*args, **kwargs)
        return queryset, lambda row: (source_value(row),), *rest

    return get_prefetch_querysets


def is_django(init: Any) -> bool:
    """Return whether the constructor of a manager is Django's, not a wrapper as of django-zeal."""
    code = getattr(init, "__code__", None)
    django = create_forward_many_to_many_manager.__code__
    return code is not None and code.co_filename == django.co_filename


def switch(on: bool) -> None:
    """Load rows and make managers this way, or as Django does, for all models that derive from `Model`."""
    if on:
        Model.from_db = classmethod(from_db)  # type: ignore[assignment, method-assign]
    elif "from_db" in vars(Model):
        del Model.from_db
    kinds = [ManyToManyDescriptor, CopyingDescriptor]
    before, after = kinds if on else reversed(kinds)
    for model in deriving():
        for descriptor in vars(model).values():
            if type(descriptor) is before:
                descriptor.__class__ = after
                vars(descriptor).pop("related_manager_cls", None)


def deriving() -> list[type[Model]]:
    """Return the models of all installed apps that derive from `Model`."""
    return [model for model in apps.get_models() if issubclass(model, Model)]


def evidence() -> str:
    """Return on which models rows are loaded this way."""
    if pre_init.receivers:
        return "Django's code loads each row while pre_init has a receiver"
    fast = [model for model in deriving() if model.__init__ is INIT and loaded(model) is not None]
    labels = ", ".join(model._meta.label for model in fast)
    return f"on {labels}" if fast else "on no model: none derives from it, or all do more per row"
