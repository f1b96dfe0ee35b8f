"""Model instances: rows become objects without Django's constructor, managers of many-to-many sets are copied.

    class Item(instances.Model):
        tags = models.ManyToManyField(Tag)

`peers.Model` inherits from it. Django's `Model.__init__` serves everybody who makes an object; a row from
the database needs of it only that its values are set. The manager behind `item.tags` looks for its fields
anew for each item; here it copies what the first one has found. Where that would not be the same, Django's
own way is taken: `loaded` and `copying` tell when.
https://docs.djangoproject.com/en/6.1/ref/models/instances/#customizing-model-loading
"""

from collections.abc import Collection
from operator import attrgetter
from typing import Any, ClassVar, Self

from django.apps import apps
from django.db import models
from django.db.models import base
from django.db.models.fetch_modes import FetchMode
from django.db.models.fields import related_descriptors
from django.db.models.fields.related_descriptors import ManyToManyDescriptor
from django.db.models.manager import BaseManager
from django.db.models.signals import post_init, pre_init
from django.utils.functional import cached_property

from speed import Finding

INIT = models.Model.__init__
# Their values come from the database as int, which is what Django would make of them.
AUTO_FIELDS = {models.AutoField, models.BigAutoField, models.SmallAutoField}
# What a many-to-many manager has for itself; all else is the same for all that one attribute gives.
OWN = {"_constructor_args", "_hints", "core_filters", "instance", "related_val"}


class Model(models.Model):
    """A base for models: abstract, without fields; its objects are as Django makes them."""

    # The model's fields when they were last looked at, and their names on an object; None: Django's way.
    _loaded: ClassVar[tuple[object, tuple[str, ...] | None]] = (None, None)

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
        """Make an object of a row; arguments are Django's.

        Source: `from_db` and `__init__` of `django.db.models.Model`, in their order.
        """
        fields, names = cls._loaded
        if fields is not cls._meta.concrete_fields:  # the first row, or a field has been added
            cls._loaded = fields, names = cls._meta.concrete_fields, loaded(cls)
        if (
            names is None
            or not len(names) == len(values) == len(field_names)
            or cls.__init__ is not INIT  # packages replace it while a program runs
            or pre_init.receivers
        ):
            return super().from_db(db, field_names, values, fetch_mode=fetch_mode)
        made = object.__new__(cls)
        made._state = state = base.ModelState()
        for name, value in zip(names, values, strict=False):
            setattr(made, name, value)
        post_init.send(sender=cls, instance=made)
        state.adding = False
        state.db = db
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode
        return made


def loaded(model: type[Model]) -> tuple[str, ...] | None:
    """Return the names under which a row's values are set; None if that is not all there is to do."""
    behind = model.__mro__[model.__mro__.index(models.Model) + 1 : -1]
    loader = super(Model, model).from_db
    if (
        model._meta.abstract
        or type(model).__call__ is not type.__call__
        or model.__new__ is not object.__new__
        or any("__init__" in vars(mixin) for mixin in behind)
        or not is_of(base, loader.__func__)  # type: ignore[attr-defined]
        or not is_of(base, INIT)
    ):
        return None
    return tuple(field.attname for field in model._meta.concrete_fields)


def is_of(module: Any, function: Any) -> bool:
    """Say whether a function is written in a module of Django's, not put in the place of such a one."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_filename == module.__file__


class CopyingDescriptor(ManyToManyDescriptor):
    """Django's descriptor behind `item.tags` and `tag.items`, whose managers copy from the first."""

    @cached_property
    def related_manager_cls(self) -> Any:
        name = self.field.m2m_reverse_field_name() if self.reverse else self.field.m2m_field_name()
        return copying(super().related_manager_cls, self.through._meta.get_field(name))


def copying(manager: Any, foreign_key: Any) -> Any:
    """Return a class of managers that copy what the first of them has found, or Django's as it is.

    What depends on the object that a manager was made for is in `OWN`, and not copied.

    Args:
        manager: Django's class.
        foreign_key: that of the through table which leads to those objects.

    Source: `create_forward_many_to_many_manager` of `django.db.models.fields.related_descriptors`, Django 6.1.
    """
    key, *others = foreign_key.foreign_related_fields
    init = manager.__init__
    changed = {"__init__", "__new__", "__setattr__"}
    bases = [one for one in manager.__mro__[1:] if one not in (BaseManager, object)]
    if (
        others
        or not is_of(related_descriptors, init)
        or any(not changed.isdisjoint(vars(one)) for one in bases)
    ):
        return manager
    shared: dict[str, Any] = {}
    filter_name = ""

    class ManyRelatedManager(manager):
        """Django's; from the second on, a copy of the first one."""

        def __init__(self, instance: Any = None) -> None:
            nonlocal shared, filter_name
            # In a child table the primary key leads to the parent, and is not the key that is asked for.
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
        source_value = attrgetter(f"_prefetch_related_val_{foreign_key.attname}")

        def get_prefetch_querysets(self: Any, *given: Any, **named: Any) -> tuple[Any, ...]:
            # Django prepares the key that each row came with as for a query, which leaves it as it is.
            queryset, _, *rest = super(ManyRelatedManager, self).get_prefetch_querysets(
                *given, **named
            )
            return queryset, lambda row: (source_value(row),), *rest

        ManyRelatedManager.get_prefetch_querysets = get_prefetch_querysets
    return ManyRelatedManager


def ready() -> None:
    """Turn Django's descriptors into ours, on all models that inherit from here."""
    for model in inheriting():
        for descriptor in vars(model).values():
            if type(descriptor) is ManyToManyDescriptor:
                descriptor.__class__ = CopyingDescriptor


def inheriting() -> list[type[Model]]:
    """Return all models of the project that derive from this one."""
    return [model for model in apps.get_models() if issubclass(model, Model)]


def finding() -> Finding:
    """Look at how the rows of each model that inherits from here are loaded."""
    if pre_init.receivers:
        return False, lambda: "each row goes Django's way while something listens to pre_init"
    fast = [model for model in inheriting() if model.__init__ is INIT and loaded(model) is not None]
    found = ", ".join(model._meta.label for model in fast)
    none = "no model inherits it, or all have more to do"
    return bool(found), lambda: f"on {found}" if found else none
