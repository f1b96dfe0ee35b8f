"""Change trackers, on this base model and on Django's: the same changes, whatever a query has loaded."""

from collections.abc import Iterator
from typing import Any

import pytest
from dirtyfields import DirtyFieldsMixin
from django.db import connection, models
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps
from django_lifecycle import LifecycleModelMixin
from djfast import models as djfast_models
from model_utils import FieldTracker

READ = ["nothing", "text of this row", "text of a peer", "author of a peer"]


def make(name: str, base: Any, mixin: type, **attributes: Any) -> Any:
    """Return a pair of models: one with a tracker, and one that it has a foreign key to."""
    meta = type("Meta", (), {"app_label": "core"})
    common = {"Meta": meta, "__module__": __name__}
    with isolate_apps("core"):
        author = type(f"{name}Author", (base,), common | {"name": models.TextField()})
        fields = {
            "title": models.CharField(max_length=9, default="old"),
            "text": models.TextField(default="old"),
            "author": models.ForeignKey(author, models.CASCADE),
        }
        return author, type(name, (mixin, base), common | fields | attributes)


class Plain:
    """A mixin that does nothing."""


class Signalled:
    """A mixin that keeps what post_init saw, and overrides what refreshes a row."""

    def refresh_from_db(self, using: Any = None, fields: Any = None, **kwargs: Any) -> None:
        super().refresh_from_db(using=using, fields=fields, **kwargs)  # type: ignore[misc]
        self.refreshed = [*getattr(self, "refreshed", []), fields and sorted(fields)]


class Constructed:
    """A mixin that keeps what its constructor got, as many projects track changes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.original = {**vars(self)}

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)  # type: ignore[misc]
        self.original = {**vars(self)}


class Loaded:
    """A mixin that keeps what a query has loaded, as Django's documentation of `from_db` shows it."""

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, **kwargs: Any) -> Any:
        row = super().from_db(db, field_names, values, **kwargs)  # type: ignore[misc]
        row.loaded_values = dict(zip(field_names, values, strict=False))
        return row

    def save(self, *args: Any, **kwargs: Any) -> None:
        changed = not self._state.adding and self.title != self.loaded_values["title"]  # type: ignore[attr-defined]
        self.saves = [*getattr(self, "saves", []), changed]
        super().save(*args, **kwargs)  # type: ignore[misc]


def changes(row: Any) -> Any:
    """Return what the tracker of a row reports."""
    if hasattr(row, "tracker"):
        return row.tracker.changed(), row.tracker.has_changed("title"), row.tracker.saved_data
    if isinstance(row, DirtyFieldsMixin):
        return row.get_dirty_fields(check_relationship=True), row.is_dirty(), row._original_state
    if isinstance(row, LifecycleModelMixin):
        return row.has_changed("title"), row.initial_value("title"), row.has_changed("text")
    if isinstance(row, Constructed):
        return {name: v for name, v in row.original.items() if name not in OWN}
    if isinstance(row, Loaded):
        return row.loaded_values, getattr(row, "saves", None)
    return row.seen, getattr(row, "refreshed", None)


# Other objects in each row, and what Django's FETCH_PEERS sets.
OWN = {"_state", "original", "_prefetched_objects_cache"}

TRACKERS = {
    "model-utils": (Plain, lambda: {"tracker": FieldTracker()}),
    "dirtyfields": (DirtyFieldsMixin, dict),
    "lifecycle": (LifecycleModelMixin, dict),
    "constructor": (Constructed, dict),
    "from_db": (Loaded, dict),
    "post_init": (Signalled, dict),
    "pre_init": (Signalled, dict),
}


@pytest.fixture(scope="module")
def models_of_trackers(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """By tracker, the models on this base model and on Django's, with tables of their own."""
    found = {
        name: [
            make(f"Ours{number}", djfast_models.Model, mixin, **attributes()),
            make(f"Theirs{number}", models.Model, mixin, **attributes()),
        ]
        for number, (name, (mixin, attributes)) in enumerate(TRACKERS.items())
    }
    tables = [model for pairs in found.values() for pair in pairs for model in pair]
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in tables:
                editor.create_model(model)
        yield found
        with connection.schema_editor() as editor:
            for model in reversed(tables):
                editor.delete_model(model)


def see(instance: Any, **named: Any) -> None:
    instance.seen = sorted(instance.get_deferred_fields()), instance._state.adding


def prepare(sender: Any, args: Any, kwargs: Any, **named: Any) -> None:
    prepared.append(len(args) + len(kwargs))


prepared: list[int] = []


def story(author: Any, model: Any, tracker: str, read: str, deferred: bool) -> list[Any]:
    """Return what the tracker of a row reports while the row and its peers are read, changed and saved."""
    for number in range(3):
        model.objects.create(author=author.objects.create(name=f"author {number}"))
    post_init.connect(see, sender=model)
    if tracker == "pre_init":
        pre_init.connect(prepare, sender=model)
    prepared.clear()
    try:
        query = model.objects.order_by("pk")
        first, second, third = query.defer("text") if deferred else query
        told = [changes(second)]
        if read == "text of this row":
            told.append(second.text)
        elif read == "text of a peer":
            told.append(first.text)
        elif read == "author of a peer":
            told.append(first.author.name)
        told.append(changes(second))
        model.objects.filter(pk=second.pk).update(text="new")  # by another request
        second.title = "changed"
        told.append(changes(second))
        second.save()
        told += [changes(second), changes(third)]
        third.refresh_from_db()
        told += [changes(third), second.author.name]
        return [*told, [*prepared], sorted(model.objects.values_list("title", "text"))]
    finally:
        post_init.disconnect(see, sender=model)
        pre_init.disconnect(prepare, sender=model)


@pytest.mark.django_db
@pytest.mark.parametrize("deferred", [False, True], ids=["all loaded", "text deferred"])
@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_reports_what_it_does_on_djangos_model(
    models_of_trackers: dict[str, Any], tracker: str, read: str, deferred: bool
) -> None:
    ours, theirs = (story(*pair, tracker, read, deferred) for pair in models_of_trackers[tracker])
    assert ours == theirs
    written = ("changed", "new" if deferred and read != "text of this row" else "old")
    assert written in ours[-1]
