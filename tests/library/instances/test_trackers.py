"""Change trackers, on this base model and on Django's: the same changes, whatever a query has loaded."""

from collections.abc import Iterator
from typing import Any

import pytest
from dirtyfields import DirtyFieldsMixin
from django.db import connection, models
from django.db.models.signals import post_init
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


def changes(row: Any) -> Any:
    """Return what the tracker of a row reports."""
    if hasattr(row, "tracker"):
        return row.tracker.changed(), row.tracker.has_changed("title"), row.tracker.saved_data
    if isinstance(row, DirtyFieldsMixin):
        return row.get_dirty_fields(check_relationship=True), row.is_dirty(), row._original_state
    if isinstance(row, LifecycleModelMixin):
        return row.has_changed("title"), row.initial_value("title"), row.has_changed("text")
    return row.seen, getattr(row, "refreshed", None)


TRACKERS = {
    "model-utils": (Plain, lambda: {"tracker": FieldTracker()}),
    "dirtyfields": (DirtyFieldsMixin, dict),
    "lifecycle": (LifecycleModelMixin, dict),
    "post_init": (Signalled, dict),
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


def story(author: Any, model: Any, read: str, deferred: bool) -> list[Any]:
    """Return what the tracker of a row reports while the row and its peers are read, changed and saved."""
    for number in range(3):
        model.objects.create(author=author.objects.create(name=f"author {number}"))
    post_init.connect(see, sender=model)
    try:
        query = model.objects.order_by("pk")
        first, second, third = query.defer("text") if deferred else query
        changed = [changes(second)]
        if read == "text of this row":
            changed.append(second.text)
        elif read == "text of a peer":
            changed.append(first.text)
        elif read == "author of a peer":
            changed.append(first.author.name)
        changed.append(changes(second))
        model.objects.filter(pk=second.pk).update(text="new")  # by another request
        second.title = "changed"
        changed.append(changes(second))
        second.save()
        changed += [changes(second), changes(third)]
        third.refresh_from_db()
        changed += [changes(third), second.author.name]
        return [*changed, sorted(model.objects.values_list("title", "text"))]
    finally:
        post_init.disconnect(see, sender=model)


@pytest.mark.django_db
@pytest.mark.parametrize("deferred", [False, True], ids=["all loaded", "text deferred"])
@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_reports_what_it_does_on_djangos_model(
    models_of_trackers: dict[str, Any], tracker: str, read: str, deferred: bool
) -> None:
    ours, theirs = (story(*pair, read, deferred) for pair in models_of_trackers[tracker])
    assert ours == theirs
    written = ("changed", "new" if deferred and read != "text of this row" else "old")
    assert written in ours[-1]
