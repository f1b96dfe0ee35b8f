"""Settings of a measured project with a patched Django: `item.tags` costs what differs from row to row.

Django builds the manager of a many-to-many relation anew for each row, with all that the rows share.
Here it copies that from the first one. Not shipped: measured for docs/advice.md.
"""

from typing import Any

from benchmarks import settings
from django.db.models.fields import related_descriptors

globals().update({name: value for name, value in vars(settings).items() if name.isupper()})

create = related_descriptors.create_forward_many_to_many_manager


def create_copying(superclass: type, rel: Any, reverse: bool) -> type:
    """Do what Django's function does; the class it returns has another constructor."""
    manager: Any = create(superclass, rel, reverse)
    construct = manager.__init__
    shared: dict[str, Any] = {}

    def copy(self: Any, instance: Any = None) -> None:
        field = shared.get("source_field")
        values = field.get_foreign_related_value(instance) if field else (None,)
        if None in values:  # the first, or one that Django refuses
            construct(self, instance)
            shared.update(vars(self), instance=None)
            return
        vars(self).update(shared)
        self.instance = instance
        self._hints = {}
        self.related_val = values
        self.core_filters = dict(zip(shared["core_filters"], values, strict=True))

    manager.__init__ = copy
    return manager  # type: ignore[no-any-return]


related_descriptors.create_forward_many_to_many_manager = create_copying
