"""Fast loading of rows and copied many-to-many managers: which Django functions run, and equal objects.

Models of these tests read the table of the user model.
"""

import functools
import inspect
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import models
from django.db.models.fields import related_descriptors
from django.db.models.fields.related_descriptors import ManyToManyDescriptor
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps
from djfast import engine
from djfast import models as djfast_models
from djfast.engine import instances

pytestmark = pytest.mark.django_db

User: Any = get_user_model()
ROWS = 20


@pytest.fixture(autouse=True)
def _users() -> None:
    User.objects.all().delete()  # of a test with a server
    groups = [Group.objects.create(name=f"group {number}") for number in range(3)]
    for number in range(ROWS):
        user = User.objects.create(username=f"user {number}")
        user.groups.set(groups[: number % 4])


@pytest.fixture
def installed() -> Iterator[None]:
    """Install the engine again after the test."""
    yield
    engine.install()


def row(
    *bases: type, behind: tuple[type, ...] = (), base: Any = djfast_models.Model, **attributes: Any
) -> Any:
    """Return a model of the users' table."""
    meta = type("Meta", (), {"db_table": User._meta.db_table, "managed": False})
    own = {"Meta": meta, "__module__": "core.models", "username": models.CharField(max_length=150)}
    with isolate_apps("core"):
        return type("Row", (*bases, base, *behind), own | attributes)


def runs(function: Any, work: Callable[[], object]) -> int:
    """Return how often a function is called during some work."""
    number = 0

    def count(frame: Any, event: str, argument: object) -> None:
        nonlocal number
        number += event == "call" and frame.f_code is function.__code__

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number


def constructed(query: Any) -> int:
    """Return how many rows of a query are made by Django's constructor."""
    return runs(instances.INIT, lambda: list(query))


def as_django(model: Any) -> list[Any]:
    """Return the rows of a model, loaded by Django's function."""
    fields = [field.attname for field in model._meta.concrete_fields]
    rows = model.objects.order_by("pk").values_list(*fields)
    load = models.Model.from_db.__func__  # type: ignore[attr-defined]
    return [load(model, "default", fields, values) for values in rows]


def content(one: Any) -> list[Any]:
    """Return all attributes of an object, in their order, without those of the N+1 guard."""
    guard = ("fetch_mode", "peers")
    state = [(name, repr(value)) for name, value in vars(one._state).items() if name not in guard]
    return [(name, repr(value)) for name, value in {**vars(one), "_state": state}.items()]


def test_no_row_of_a_query_is_made_by_djangos_constructor() -> None:
    assert constructed(User.objects.all()) == 0
    assert constructed(Group.objects.all()) == 3  # a model with Django's base


class Uppercase:
    """A mixin that changes what is set."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value.upper() if name == "username" else value)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bases", "attributes"),
    [
        ((), {}),
        ((Uppercase,), {}),
        ((), {"same": ("ForeignKey", [User, models.DO_NOTHING], {"related_name": "+"})}),
        ((), {"last_name": ("FileField", [], {})}),
        ((), {"last_name": ("ImageField", [], {"width_field": "first"})}),
    ],
    ids=["plain", "setattr", "foreign key", "file", "image"],
)
def test_a_row_is_the_object_that_django_makes(
    bases: tuple[type, ...], attributes: dict[str, tuple[str, list[Any], dict[str, Any]]]
) -> None:
    column = {"db_column": "id"} if "same" in attributes else {}
    fields = {
        name: getattr(models, kind)(*given, **named, **column)
        for name, (kind, given, named) in attributes.items()
    }
    model = row(*bases, **fields)
    rows = model.objects.order_by("pk")
    assert constructed(rows) == 0
    assert [content(one) for one in rows] == [content(one) for one in as_django(model)]
    assert len(rows) == ROWS


def test_a_row_can_be_pickled_and_saved() -> None:
    user = pickle.loads(pickle.dumps(User.objects.get(username="user 1")))
    user.last_name = "Byron"
    user.save()
    assert User.objects.get(last_name="Byron").username == "user 1"


@pytest.mark.parametrize("name", ["_loaded", "_names", "fields", "loaded", "from_row", "peers"])
def test_an_attribute_of_a_model_clashes_with_none_of_the_library(name: str) -> None:
    model = row(**{name: False})
    assert constructed(model.objects.all()) == 0
    assert getattr(model.objects.first(), name) is False


def test_the_library_adds_attributes_with_its_prefix_only() -> None:
    own = {name for base in (djfast_models.Model, instances.Model) for name in vars(base)}
    every_abstract_model = {"Meta", "_meta"}
    found = {name for name in own - every_abstract_model if not hasattr(models.Model, name)}
    assert found == {"_djfast_loaded", "objects"}


class Counts:
    """A mixin whose constructor does something."""

    made = 0

    def __init__(self, *values: Any, **named: Any) -> None:
        type(self).made += 1
        super().__init__(*values, **named)


class News:
    """A mixin with its own `__new__`."""

    def __new__(cls, *values: Any) -> Any:
        return super().__new__(cls)


class Loads(models.Model):
    """A mixin that does something with each row."""

    class Meta:
        abstract = True
        app_label = "core"

    @classmethod
    def from_db(cls, *given: Any, **named: Any) -> Any:
        return super().from_db(*given, **named)


class Calls(type(models.Model)):  # type: ignore[misc]
    """A metaclass that does something for each object."""

    def __call__(cls, *values: Any, **named: Any) -> Any:
        return super().__call__(*values, **named)


class Called(models.Model, metaclass=Calls):
    """A mixin with that metaclass."""

    class Meta:
        abstract = True
        app_label = "core"


@pytest.mark.parametrize(
    ("bases", "behind"),
    [
        ((Counts,), ()),
        ((), (Counts,)),
        ((News,), ()),
        ((), (Loads,)),
        ((), (Called,)),
    ],
    ids=["init", "init behind", "new", "from_db behind", "metaclass"],
)
def test_a_model_that_does_more_is_loaded_by_django(
    bases: tuple[type, ...], behind: tuple[type, ...]
) -> None:
    assert constructed(row(*bases, behind=behind).objects.all()) == ROWS


@pytest.mark.parametrize("name", ["__init__", "from_db"])
def test_a_replacement_of_djangos_function_is_called(
    monkeypatch: pytest.MonkeyPatch, installed: None, name: str
) -> None:
    called = []
    original = vars(models.Model)[name]

    @functools.wraps(getattr(models.Model, name))
    def instead(self: Any, *given: Any, **named: Any) -> Any:
        called.append(self)
        return original.__get__(self, self)(*given, **named)

    known = row()
    assert constructed(known.objects.all()) == 0
    with monkeypatch.context() as patch:
        patch.setattr(models.Model, name, classmethod(instead) if name == "from_db" else instead)
        list(row().objects.all())  # replaced at run time
        assert len(called) == ROWS
        if name == "__init__":
            list(known.objects.all())
            assert len(called) == 2 * ROWS
        engine.install()  # replaced before the engine was installed
        assert engine.changed("instances") == [f"django.db.models.base.Model.{name}"]
        assert row().from_db.__func__ is models.Model.from_db.__func__  # type: ignore[attr-defined]


def test_an_abstract_model_has_no_objects() -> None:
    with pytest.raises(TypeError, match="Abstract models cannot be instantiated"):
        djfast_models.Model.from_db("default", [], [])


class Old:
    """A mixin with the signature of `from_db` before Django 6.1."""

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any) -> Any:
        made = super().from_db(db, field_names, values)  # type: ignore[misc]
        made.from_db_of = "old"
        return made


class Open:
    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().from_db(*args, **kwargs)  # type: ignore[misc]
        made.from_db_of = "open"
        return made


class New:
    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, *, fetch_mode: Any = None) -> Any:
        made = super().from_db(db, field_names, values, fetch_mode=fetch_mode)  # type: ignore[misc]
        made.from_db_of = "new"
        return made


class Pads:
    """A mixin whose `from_db` adds a value for a field."""

    @classmethod
    def from_db(cls, db: Any, names: Any, values: Any, **named: Any) -> Any:
        return super().from_db(db, names, [*values, models.DEFERRED], **named)  # type: ignore[misc]


@pytest.mark.parametrize("shape", ["all", "only"])
@pytest.mark.parametrize("mixin", [Old, Open, New])
def test_a_from_db_of_any_signature_works_as_with_djangos_model(mixin: type, shape: str) -> None:
    def load(base: Any) -> tuple[Any, list[str]]:
        model = row(mixin, base=base)
        query = model.objects.only("pk") if shape == "only" else model.objects.all()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = list(query.order_by("pk"))
        messages = [str(warning.message) for warning in caught]
        return [(content(one), one.get_deferred_fields()) for one in rows], messages

    found, messages = load(djfast_models.Model)
    assert (found, messages) == load(models.Model)
    assert len(found) == ROWS
    assert bool(messages) is (mixin is Old)  # Django's deprecation warning


def test_values_that_a_projects_from_db_adds_are_deferred() -> None:
    for one in row(Pads).objects.only("pk"):
        assert one.get_deferred_fields() == {"username"}


def test_rows_with_deferred_fields_are_loaded_by_django() -> None:
    users = User.objects.only("username").filter(username="user 1")
    assert constructed(users) == 1
    assert users[0].get_deferred_fields() >= {"email", "password"}


def test_a_field_that_is_added_to_a_model_later_is_loaded() -> None:
    model = row()
    assert constructed(model.objects.all()) == 0
    models.CharField(max_length=150).contribute_to_class(model, "email")
    User.objects.update(email="a@example.com")
    rows = model.objects.all()
    assert constructed(rows) == 0
    assert {one.email for one in rows} == {"a@example.com"}


def test_receivers_of_init_signals_are_called_for_each_row() -> None:
    model, received = row(), []

    def receive(signal: Any, instance: Any = None, **named: Any) -> None:
        received.append(instance and (instance.username, instance._state.adding))

    for signal, number in ((pre_init, ROWS), (post_init, 0)):
        received.clear()
        signal.connect(receive, sender=model)
        try:
            assert constructed(model.objects.all()) == number
        finally:
            signal.disconnect(receive, sender=model)
        assert len(received) == ROWS
    assert ("user 1", True) in received  # post_init is sent before `adding` is set, as in Django


@pytest.fixture
def django(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Remove django-zeal from the groups of a user; return Django's class of their managers."""
    assert type(User.groups) is instances.CopyingDescriptor
    made: Any = ManyToManyDescriptor(User.groups.rel).related_manager_cls
    made.__init__ = inspect.unwrap(made.__init__)
    monkeypatch.setattr(
        related_descriptors, "create_forward_many_to_many_manager", lambda *a, **k: made
    )
    monkeypatch.setattr(User, "groups", instances.CopyingDescriptor(User.groups.rel))
    return made


def names(users: Any) -> dict[str, list[str]]:
    """Return the names of the groups of each user."""
    return {user.username: sorted(group.name for group in user.groups.all()) for user in users}


def test_the_managers_of_all_rows_look_up_their_fields_once(django: Any) -> None:
    expected = {
        f"user {number}": [f"group {n}" for n in range(number % 4)] for number in range(ROWS)
    }
    seen: list[Any] = []

    def look(users: Any) -> None:
        seen.append(names(users))

    queries = (User.objects.all(), User.objects.prefetch_related("groups"))
    looked = [runs(django.__init__, functools.partial(look, users)) for users in queries]
    assert looked == [1, 0]
    assert seen == [expected, expected]


def test_the_key_of_a_prefetched_row_is_not_converted(
    django: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared() -> int:
        query = User.objects.prefetch_related("groups")
        return runs(models.BigAutoField.get_db_prep_value, lambda: list(query))

    ours, rows = prepared(), User.groups.through.objects.count()
    monkeypatch.setattr(
        instances, "AUTO_FIELDS", set()
    )  # a key that the database returns otherwise
    monkeypatch.setattr(User, "groups", instances.CopyingDescriptor(User.groups.rel))
    assert prepared() - ours == rows == 30
    monkeypatch.setattr(User, "groups", ManyToManyDescriptor(User.groups.rel))
    assert prepared() - ours == rows


def test_a_manager_belongs_to_its_own_row(django: Any) -> None:
    ada, bob = User.objects.order_by("pk")[:2]
    for user in (ada, bob):
        assert user.groups.instance is user
        assert user.groups.related_val == (user.pk,)
        assert user.groups._constructor_args == ((user,), {})
    assert ada.groups == ada.groups
    assert ada.groups != bob.groups
    ada.groups.add(Group.objects.create(name="Own"))
    assert "Own" in names([ada])["user 0"]
    assert "Own" not in names([bob])["user 1"]
    with pytest.raises(ValueError, match='needs to have a value for field "id"'):
        _ = User().groups


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_managers_whose_constructor_was_replaced_are_made_by_it(django: Any, before: bool) -> None:
    init, seen = django.__init__, []

    def watch(self: Any, instance: Any) -> None:
        init(self, instance)
        seen.append(instance)

    users = list(User.objects.all())
    if not before:
        assert users[0].groups.instance is users[0]
    django.__init__ = watch
    assert [user.groups.instance for user in users] == users == seen


@pytest.mark.parametrize("name", ["__init__", "__new__", "__setattr__"])
def test_a_manager_that_does_more_is_not_copied(name: str) -> None:
    more = type("More", (models.Manager,), {name: getattr(models.Manager, name)})
    for superclass, left in ((models.Manager, False), (more, True)):
        made: Any = instances.create_forward_many_to_many_manager(
            superclass, User.groups.rel, reverse=False
        )
        ours = instances.copying(made, User.groups.through._meta.get_field("user"))
        assert (ours is made) is left


def test_a_manager_whose_key_is_not_the_primary_key_is_made_by_django() -> None:
    with isolate_apps("core"):
        meta = type("Meta", (), {"app_label": "core"})

        class Book(djfast_models.Model):
            Meta = meta

        class Shelf(djfast_models.Model):
            slug = models.SlugField(unique=True)
            books: Any = models.ManyToManyField(Book, through="Placed")
            Meta = meta

        class Placed(djfast_models.Model):
            shelf = models.ForeignKey(Shelf, models.CASCADE, to_field="slug")
            book = models.ForeignKey(Book, models.CASCADE)
            Meta = meta

    made: Any = instances.create_forward_many_to_many_manager(
        models.Manager, Shelf.books.rel, reverse=False
    )
    ours = instances.copying(made, Placed._meta.get_field("shelf"))
    assert [ours(Shelf(pk=n, slug=f"shelf {n}")).related_val for n in (1, 2)] == [
        ("shelf 1",),
        ("shelf 2",),
    ]
    with pytest.raises(ValueError, match="needs to have a primary key value"):
        ours(Shelf(slug="not saved"))


@pytest.mark.usefixtures("installed")
def test_both_ends_of_a_set_are_found_on_models_that_derive_from_the_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: Any = Group
    assert type(model.user_set) is ManyToManyDescriptor
    own: Any = ManyToManyDescriptor(model.user_set.rel, reverse=True)  # `switch` changes it
    monkeypatch.setattr(model, "user_set", own)
    monkeypatch.setattr(instances, "deriving", lambda: [model])
    instances.switch(True)
    assert type(model.user_set) is instances.CopyingDescriptor
    found = {group.name: group.user_set.count() for group in model.objects.all()}
    assert found == {"group 0": 15, "group 1": 10, "group 2": 5}


@pytest.mark.parametrize("chosen", [False, ["urls", "loops"]])
def test_an_inactive_module_leaves_models_as_django_makes_them(settings: Any, chosen: Any) -> None:
    made = [User.groups.related_manager_cls]
    settings.DJFAST_ENGINE = chosen
    assert User.from_db.__func__ is models.Model.from_db.__func__
    assert type(User.groups) is ManyToManyDescriptor
    assert constructed(User.objects.all()) == ROWS
    expected = names(User.objects.all())
    made.append(User.groups.related_manager_cls)
    settings.DJFAST_ENGINE = ["instances"]
    assert constructed(User.objects.all()) == 0
    assert type(User.groups) is instances.CopyingDescriptor
    assert names(User.objects.all()) == expected
    made.append(User.groups.related_manager_cls)
    assert len(set(made)) == 3  # no cached class of managers is used again


def test_the_module_is_active_beside_zeal() -> None:
    """It replaces a function of Django's with a wrapper; the module knows the original."""
    wrapper = related_descriptors.create_forward_many_to_many_manager
    assert wrapper.__module__ == "zeal.patch"
    engine.install()
    assert engine.active("instances")


def test_the_evidence_names_the_models_whose_rows_are_loaded_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(*models: Any) -> str:
        monkeypatch.setattr(instances, "deriving", lambda: models)
        return instances.evidence()

    assert found(User) == "on core.User"
    assert found(row(Counts), User, row(behind=(Counts,))) == "on core.User"
    assert found(row(Counts)) == found()
    assert found().startswith("on no model")

    def receive(**named: Any) -> None: ...

    pre_init.connect(receive)
    try:
        assert "pre_init" in found(User)
    finally:
        pre_init.disconnect(receive)
