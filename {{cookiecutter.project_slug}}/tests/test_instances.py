"""Model instances by their effect: which of Django's functions run, on models that read the users' table."""

import functools
import inspect
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import models
from django.db.models.fields import related_descriptors
from django.db.models.fields.related_descriptors import ManyToManyDescriptor
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps

from speed import instances

pytestmark = pytest.mark.django_db

User: Any = get_user_model()
ROWS = 20


@pytest.fixture(autouse=True)
def _users() -> None:
    User.objects.all().delete()  # a test with a server of its own may have left some
    groups = [Group.objects.create(name=f"group {number}") for number in range(3)]
    for number in range(ROWS):
        user = User.objects.create(username=f"user {number}")
        user.groups.set(groups[: number % 4])


def row(*bases: type, behind: tuple[type, ...] = (), **attributes: Any) -> Any:
    """Make a model of the users' table."""
    meta = type("Meta", (), {"db_table": User._meta.db_table, "managed": False})
    own = {"Meta": meta, "__module__": "core.models", "username": models.CharField(max_length=150)}
    with isolate_apps("core"):
        return type("Row", (*bases, instances.Model, *behind), own | attributes)


def runs(function: Any, work: Callable[[], object]) -> int:
    """Count how often a function runs within some work."""
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
    """Count how many rows of a query go through Django's constructor."""
    return runs(instances.INIT, lambda: list(query))


def as_django(model: Any) -> list[Any]:
    """Load the rows of a model as Django does."""
    fields = [field.attname for field in model._meta.concrete_fields]
    rows = model.objects.order_by("pk").values_list(*fields)
    load = models.Model.from_db.__func__  # type: ignore[attr-defined]
    return [load(model, "default", fields, values) for values in rows]


def content(one: Any) -> list[Any]:
    """Return all that an object has, in its order."""
    state = vars(one._state) | {"peers": (), "fetch_mode": one._state.fetch_mode}
    return [(name, repr(value)) for name, value in {**vars(one), "_state": state}.items()]


def test_no_row_of_a_query_goes_through_djangos_constructor() -> None:
    assert constructed(User.objects.all()) == 0
    assert constructed(Group.objects.all()) == 3  # a model that does not inherit


class Watches:
    """A mixin that looks at what is set."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value.upper() if name == "username" else value)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bases", "attributes"),
    [
        ((), {}),
        ((Watches,), {}),
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


class Counts:
    """A mixin whose constructor does something."""

    made = 0

    def __init__(self, *values: Any, **named: Any) -> None:
        type(self).made += 1
        super().__init__(*values, **named)


class News:
    """A mixin that looks at what is made."""

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
    """The class of a model that looks at who makes objects."""

    def __call__(cls, *values: Any, **named: Any) -> Any:
        return super().__call__(*values, **named)


class Called(models.Model, metaclass=Calls):
    """A mixin that brings that class."""

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
def test_a_model_with_more_to_do_is_left_to_django(
    bases: tuple[type, ...], behind: tuple[type, ...]
) -> None:
    assert constructed(row(*bases, behind=behind).objects.all()) == ROWS


@pytest.mark.parametrize("name", ["__init__", "from_db"])
def test_what_a_package_puts_in_djangos_place_is_called(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    called = []
    original = vars(models.Model)[name]

    @functools.wraps(getattr(models.Model, name))
    def instead(self: Any, *given: Any, **named: Any) -> Any:
        called.append(self)
        return original.__get__(self, self)(*given, **named)

    monkeypatch.setattr(models.Model, name, classmethod(instead) if name == "from_db" else instead)
    list(row().objects.all())
    assert len(called) == ROWS
    called.clear()
    monkeypatch.setattr(instances, "INIT", models.Model.__init__)  # as if it had come before
    list(row().objects.all())
    assert len(called) == ROWS


def test_an_abstract_model_has_no_objects() -> None:
    with pytest.raises(TypeError, match="Abstract models cannot be instantiated"):
        instances.Model.from_db("default", [], [])


def test_values_that_a_loader_of_your_own_leaves_out_are_deferred() -> None:
    class Pads:
        @classmethod
        def from_db(cls, db: Any, names: Any, values: Any, **named: Any) -> Any:
            return super().from_db(db, names, [*values, models.DEFERRED], **named)  # type: ignore[misc]

    model = row(Pads)
    for one in model.objects.only("pk"):
        assert one.get_deferred_fields() == {"username"}


def test_fields_that_a_query_has_left_out_are_left_to_django() -> None:
    users = User.objects.only("username").filter(username="user 1")
    assert constructed(users) == 1
    assert users[0].get_deferred_fields() >= {"email", "password"}


def test_a_field_that_a_package_adds_later_is_loaded() -> None:
    model = row()
    assert constructed(model.objects.all()) == 0
    models.CharField(max_length=150).contribute_to_class(model, "email")
    User.objects.update(email="a@example.com")
    rows = model.objects.all()
    assert constructed(rows) == 0
    assert {one.email for one in rows} == {"a@example.com"}


def test_who_listens_hears_of_each_row() -> None:
    model, heard = row(), []

    def hear(signal: Any, instance: Any = None, **told: Any) -> None:
        heard.append(instance and (instance.username, instance._state.adding))

    for signal, number in ((pre_init, ROWS), (post_init, 0)):
        heard.clear()
        signal.connect(hear, sender=model)
        try:
            assert constructed(model.objects.all()) == number
        finally:
            signal.disconnect(hear, sender=model)
        assert len(heard) == ROWS
    assert ("user 1", True) in heard  # of post_init, as Django tells it


@pytest.fixture
def django(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the groups of a user be as they are without zeal; return Django's class of their managers."""
    assert type(User.groups) is instances.CopyingDescriptor
    made: Any = ManyToManyDescriptor(User.groups.rel).related_manager_cls
    made.__init__ = inspect.unwrap(made.__init__)
    monkeypatch.setattr(
        related_descriptors, "create_forward_many_to_many_manager", lambda *a, **k: made
    )
    monkeypatch.setattr(User, "groups", instances.CopyingDescriptor(User.groups.rel))
    return made


def names(users: Any) -> dict[str, list[str]]:
    """Return the groups of each user."""
    return {user.username: sorted(group.name for group in user.groups.all()) for user in users}


def test_the_sets_of_all_rows_look_for_their_fields_once(django: Any) -> None:
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


def test_the_key_of_a_prefetched_row_is_not_made_ready_for_the_database(
    django: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared() -> int:
        query = User.objects.prefetch_related("groups")
        return runs(models.BigAutoField.get_db_prep_value, lambda: list(query))

    ours, rows = prepared(), User.groups.through.objects.count()
    monkeypatch.setattr(instances, "AUTO_FIELDS", set())  # a key that the database gives otherwise
    monkeypatch.setattr(User, "groups", instances.CopyingDescriptor(User.groups.rel))
    assert prepared() - ours == rows == 30
    monkeypatch.setattr(User, "groups", ManyToManyDescriptor(User.groups.rel))
    assert prepared() - ours == rows


def test_a_set_belongs_to_its_own_row(django: Any) -> None:
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
def test_managers_that_somebody_watches_are_made_as_ever(django: Any, before: bool) -> None:
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
def test_a_manager_that_does_more_is_left_as_it_is(name: str) -> None:
    more = type("More", (models.Manager,), {name: getattr(models.Manager, name)})
    for superclass, left in ((models.Manager, False), (more, True)):
        made: Any = related_descriptors.create_forward_many_to_many_manager(
            superclass, User.groups.rel, reverse=False
        )
        made.__init__ = inspect.unwrap(made.__init__)
        ours = instances.copying(made, User.groups.through._meta.get_field("user"))
        assert (ours is made) is left


def test_both_ends_of_a_set_are_found_on_models_that_inherit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: Any = Group
    assert type(model.user_set) is ManyToManyDescriptor
    own: Any = ManyToManyDescriptor(model.user_set.rel, reverse=True)  # `ready` changes it
    monkeypatch.setattr(model, "user_set", own)
    monkeypatch.setattr(instances, "inheriting", lambda: [model])
    instances.ready()
    assert type(model.user_set) is instances.CopyingDescriptor
    found = {group.name: group.user_set.count() for group in model.objects.all()}
    assert found == {"group 0": 15, "group 1": 10, "group 2": 5}


def test_the_check_sees_how_rows_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*models: Any) -> tuple[bool | None, str]:
        monkeypatch.setattr(instances, "inheriting", lambda: models)
        holds, show = instances.finding()
        return holds, show()

    assert found(User) == (True, "on core.User")
    assert found(row(Counts), User, row(behind=(Counts,))) == (True, "on core.User")
    assert found(row(Counts)) == found() == (False, "no model inherits it, or all have more to do")

    def hear(**told: Any) -> None: ...

    pre_init.connect(hear)
    try:
        said = "each row goes Django's way while something listens to pre_init"
        assert found(User) == (False, said)
    finally:
        pre_init.disconnect(hear)
