"""The N+1 guard against models.Model: the same results, never more queries, nothing written that was not read."""

import copy
import gc
import logging
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldFetchBlocked, ObjectDoesNotExist
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations import CreateModel
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext, isolate_apps
from djfast import models as djfast_models
from djfast import peers
from djfast.rows import State
from djfast.rows.engine import NPlusOneGuard
from hypothesis import HealthCheck, given, settings, strategies
from pytest_django import DjangoAssertNumQueries
from zeal import zeal_context
from zeal.errors import NPlusOneError

User = get_user_model()
BOOKS = 12

with isolate_apps("core"):

    class Author(djfast_models.Model):
        name = models.CharField(max_length=9)
        bio = models.TextField()

        class Meta:
            app_label = "core"

    class BookQuerySet(djfast_models.QuerySet):
        def odd(self) -> Any:
            return self.filter(pk__in=range(1, 99, 2))

    class Book(djfast_models.Model):
        title = models.CharField(max_length=9)
        text = models.TextField()
        author = models.ForeignKey(Author, models.CASCADE, related_name="books")
        editor = models.ForeignKey(
            Author, models.DO_NOTHING, null=True, related_name="edited", db_constraint=False
        )
        kind = models.ForeignKey(ContentType, models.DO_NOTHING, null=True, related_name="+")
        number = models.IntegerField(default=0)
        owner = GenericForeignKey("kind", "number")

        objects = djfast_models.Manager.from_queryset(BookQuerySet)()

        class Meta:
            app_label = "core"

        def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
            REFRESHED.append(self.pk)
            super().refresh_from_db(*args, **kwargs)

    class Cover(djfast_models.Model):
        book = models.OneToOneField(Book, models.CASCADE, related_name="cover")
        colour = models.CharField(max_length=9)

        class Meta:
            app_label = "core"

    class Audiobook(Book):
        voice = models.CharField(max_length=9)

        class Meta:
            app_label = "core"

    class Unguarded(djfast_models.Model):
        objects = models.Manager()

        class Meta:
            app_label = "core"


REFRESHED: list[int] = []


@pytest.fixture(scope="module", autouse=True)
def _library(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    tables = [Author, Book, Cover, Audiobook]
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in tables:
                editor.create_model(model)
        authors = [Author.objects.create(name=f"author{n}", bio=f"bio{n}") for n in range(4)]
        users = [User.objects.create_user(f"owner{n}") for n in range(3)]
        for n in range(BOOKS):
            book = Audiobook.objects.create(
                title=f"title{n}",
                text=f"text{n}",
                voice=f"voice{n}",
                author=authors[n % 4],
                editor=authors[n % 3] if n % 3 else None,
                kind=ContentType.objects.get_for_model(User),
                number=users[n % 3].pk,
            )
            if n % 2:
                Cover.objects.create(book=book.book_ptr, colour=f"colour{n}")
        yield
        with connection.schema_editor() as editor:
            for model in reversed(tables):
                editor.delete_model(model)
        for user in users:
            user.delete()


@pytest.fixture(autouse=True)
def _content_types(db: None) -> None:
    ContentType.objects.get_for_model(
        User
    )  # cached, so that no comparison depends on the order of tests
    REFRESHED.clear()


def change(book: Any, name: str, by: int) -> None:
    setattr(book, name, getattr(book, name) and getattr(book, name) + by)


ACCESS: dict[str, Callable[[Any], Any]] = {
    "author": lambda book: book.author.name,
    "author's bio": lambda book: book.author.bio,
    "editor": lambda book: book.editor and book.editor.name,
    "owner": lambda book: book.owner and book.owner.username,
    "cover": lambda book: book.cover.colour,
    "title": lambda book: book.title,
    "text": lambda book: book.text,
    "siblings": lambda book: sorted(b.title for b in book.author.books.all()),
    "siblings' editors": lambda book: [
        b.editor_id and b.editor.name for b in book.author.books.all()
    ],
    "parent": lambda book: book.book_ptr.title,
    "deferred": lambda book: sorted(
        book.get_deferred_fields() - {"id"}
    ),  # equal to the parent link
}
CHANGES: dict[str, Callable[[Any], Any]] = {
    "title": lambda book: setattr(book, "title", "changed"),
    "other author": lambda book: change(book, "author_id", -1),
    "missing editor": lambda book: change(book, "editor_id", 99),
    "other owner": lambda book: change(book, "number", 1),
    "deleted": lambda book: setattr(book, "pk", None),
}
SHAPES: dict[str, Callable[[Any], Any]] = {
    "all": lambda found: found,
    "odd": lambda found: found.filter(pk__in=range(1, 99, 2)),
    "some": lambda found: found[2:7],
    "deferred": lambda found: found.defer("text", "author__bio"),
    "key deferred": lambda found: found.defer("author", "number"),
    "only": lambda found: found.only("title"),
    "joined": lambda found: found.select_related("author"),
    "joined, only": lambda found: found.select_related("author").only("title", "author__name"),
    "prefetched": lambda found: found.prefetch_related("author__books", "owner"),
    "iterated": lambda found: found.iterator(5),
    "iterated, joined": lambda found: found.select_related("author", "cover").iterator(),
}


def answer(function: Callable[[Any], Any], book: Any) -> Any:
    try:
        return function(book)
    except (ObjectDoesNotExist, AttributeError, ValueError) as error:
        return type(error)


def visit(found: Any, steps: list[tuple[int, Callable[[Any], Any]]]) -> tuple[list[Any], int]:
    with CaptureQueriesContext(connection) as queries:
        books = list(found)
        answers = [answer(function, books[at % len(books)]) for at, function in steps if books]
    return answers, len(queries)


def steps(*tables: dict[str, Callable[[Any], Any]]) -> Any:
    functions = [function for table in tables for function in table.values()]
    step = strategies.tuples(strategies.integers(0, BOOKS - 1), strategies.sampled_from(functions))
    return strategies.lists(step, max_size=8)


examples = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
shapes = strategies.sampled_from(sorted(SHAPES))
books = strategies.sampled_from([Book, Audiobook])


@examples
@given(model=books, shape=shapes, steps=steps(ACCESS))
def test_results_are_those_of_django_and_never_take_more_queries(
    model: Any, shape: str, steps: Any
) -> None:
    rows = model.objects.order_by("pk")
    guarded = visit(SHAPES[shape](rows), steps)
    django = visit(SHAPES[shape](rows.fetch_mode(models.FETCH_ONE)), steps)
    assert guarded[0] == django[0]
    assert guarded[1] <= django[1]


@examples
@given(model=books, shape=shapes, steps=steps(ACCESS, CHANGES))
def test_results_are_those_of_django_after_rows_were_changed(
    model: Any, shape: str, steps: Any
) -> None:
    rows = model.objects.order_by("pk")
    guarded = visit(SHAPES[shape](rows), steps)
    assert guarded[0] == visit(SHAPES[shape](rows.fetch_mode(models.FETCH_ONE)), steps)[0]


@pytest.mark.parametrize("what", ["author", "editor", "owner", "cover"])
def test_a_loop_makes_two_queries_whatever_relation_it_follows(what: str) -> None:
    assert visit(Book.objects.all(), [(n, ACCESS[what]) for n in range(BOOKS)])[1] == 2


def test_the_key_of_a_parent_is_known_without_being_loaded() -> None:
    covers = [(n, ACCESS["cover"]) for n in range(BOOKS)]
    assert visit(Audiobook.objects.only("voice"), covers)[1] == 2


def test_a_manager_guards_query_sets_of_another_class() -> None:
    manager: Any = djfast_models.Manager.from_queryset(models.QuerySet)()
    manager.model = Book
    assert visit(manager.all(), [(n, ACCESS["author"]) for n in range(BOOKS)])[1] == 2


def test_a_loop_over_joined_rows_makes_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):
        assert len({book.author.name for book in Book.objects.select_related("author")}) == 4


@pytest.mark.parametrize(
    ("model", "what", "changed"),
    [
        (Audiobook, "parent", "title"),
        (Book, "editor", "missing editor"),
        (Book, "owner", "other owner"),
        (Book, "cover", "deleted"),
    ],
)
def test_a_changed_row_is_fetched_as_django_does(model: Any, what: str, changed: str) -> None:
    """Django's FETCH_PEERS gives another result for each of these, an error for the last."""
    read, peer = (1, ACCESS[what]), (3, ACCESS[what])
    steps = [read, (1, CHANGES[changed]), read, peer]
    if what != "owner":  # the change comes before the first read
        del steps[0]
    if what == "cover":  # and the deleted row is not read
        steps.remove(read)
    rows = model.objects.order_by("pk")
    expected = visit(rows.fetch_mode(models.FETCH_ONE), steps)[0]
    assert visit(rows, steps)[0] == expected
    assert visit(rows.fetch_mode(models.FETCH_PEERS), steps)[0] != expected


def test_a_deferred_field_is_loaded_for_one_row_and_through_refresh_from_db() -> None:
    first, second = Book.objects.defer("text").order_by("pk")[:2]
    assert first.text == "text0"
    assert (first.pk, second.get_deferred_fields()) == (REFRESHED[0], {"text"})
    assert len(REFRESHED) == 1


@pytest.mark.parametrize("read", ["text", "author"])
def test_saving_a_peer_writes_no_field_that_was_deferred(read: str) -> None:
    deferred = {"text": "text", "author": "author_id"}[read]
    first, second = Book.objects.defer(read).order_by("pk")[:2]
    getattr(first, read)
    other = {"text": "new", "author_id": first.author_id}[deferred]
    Book.objects.filter(pk=second.pk).update(**{deferred: other})  # another request
    second.title = "renamed"
    second.save()
    assert Book.objects.values_list("title", deferred).get(pk=second.pk) == ("renamed", other)


def test_a_relation_whose_key_is_deferred_is_fetched_for_rows_that_have_the_key() -> None:
    found = list(Book.objects.only("title").order_by("pk"))
    for book in found[:2]:
        _ = book.author_id
    with CaptureQueriesContext(connection) as queries:
        assert found[0].author.name == "author0"
        assert found[1].author.name == "author1"
    assert len(queries) == 1
    assert all("author_id" in book.get_deferred_fields() for book in found[2:])


def test_what_a_row_leads_to_is_guarded_too() -> None:
    book: Any = Book.objects.select_related("editor").filter(editor__isnull=False).first()
    rows = [
        book,
        book.author,
        book.editor,
        book.owner,
        book.author.books.first(),
        book.editor.edited.first(),
        next(Author.objects.iterator()).books.first(),
        Book.objects.odd().first(),
        Author.objects.create(name="new").books.create(title="new"),
    ]
    assert all(row._state.fetch_mode is peers.PEERS for row in rows)
    assert type(Book._base_manager) is models.Manager


@pytest.mark.parametrize(
    ("model", "what", "logged"),
    [
        (Book, "author", "Book.author was not loaded with its row: add select_related('author')"),
        (Book, "cover", "Book.cover was not loaded with its row: add select_related('cover')"),
        (Cover, "book", "Cover.book was not loaded with its row: add select_related('book')"),
        (Book, "owner", "Book.owner was not loaded with its row: add prefetch_related('owner')"),
    ],
)
@pytest.mark.parametrize("debug", [True, False], ids=["development", "production"])
def test_in_development_the_log_names_each_relation_that_was_fetched_for_its_peers(
    caplog: pytest.LogCaptureFixture, settings: Any, model: Any, what: str, logged: str, debug: bool
) -> None:
    settings.DEBUG = debug
    rows = model.objects.count()
    with caplog.at_level(logging.WARNING, logger=peers.__name__):
        print([getattr(row, what, None) for row in model.objects.all()])
        print(getattr(model.objects.first(), what, None))  # a row without peers
    expected = [f"{logged} to the query of {rows} rows."] if debug else []
    assert [record.getMessage() for record in caplog.records] == expected


def test_a_view_can_be_made_to_fail_on_a_lazy_fetch_by_django() -> None:
    book = Book.objects.fetch_mode(models.FETCH_RAISE).select_related("author").get(title="title1")
    assert book.author.name == "author1"
    with pytest.raises(FieldFetchBlocked, match=r"Book\.editor"):
        print(book.editor)


def test_zeal_reports_what_the_guard_does_not_cover() -> None:
    with zeal_context():
        print([book.author.name for book in Book.objects.all()])
        with pytest.raises(NPlusOneError):
            print([list(author.books.all()) for author in Author.objects.all()])
    with zeal_context(), pytest.raises(NPlusOneError):
        print([book.text for book in Book.objects.defer("text")])
    with zeal_context(), pytest.raises(NPlusOneError):
        print([b.author.name for b in Book.objects.fetch_mode(models.FETCH_ONE)])


def test_a_deep_copy_is_guarded() -> None:
    query = User.objects.all()
    assert copy.deepcopy(query)._fetch_mode is peers.PEERS
    assert copy.deepcopy(query[0])._state.fetch_mode is peers.PEERS
    assert copy.copy(query[0])._state.fetch_mode is peers.PEERS


def test_a_pickled_row_can_be_loaded_without_the_library_and_is_guarded_with_it() -> None:
    user = User.objects.first()
    data = pickle.dumps(user)
    assert b"djfast" not in data
    assert b"FETCH_PEERS" in data
    assert pickle.loads(data) == user
    assert pickle.loads(data)._state.fetch_mode is peers.PEERS
    alone = pickle.dumps(User.objects.fetch_mode(models.FETCH_ONE).first())
    assert pickle.loads(alone)._state.fetch_mode is models.FETCH_ONE


def test_a_pickled_query_set_loads_deferred_fields_one_by_one() -> None:
    query = User.objects.defer("first_name")
    restored = query.all()
    restored.query = pickle.loads(pickle.dumps(query.query))
    for one in (pickle.loads(pickle.dumps(query)).all(), restored):
        assert one._fetch_mode is peers.PEERS
        first, second, *_ = one
        assert first.first_name is not None
        assert "first_name" not in vars(second)


def test_a_loop_over_a_large_table_needs_no_memory_for_earlier_rows() -> None:
    Author.objects.bulk_create(Author(name=str(n)) for n in range(6000))

    def grown(rows: Iterator[Any]) -> float:
        for _ in range(2010):
            next(rows)
        gc.collect()
        tracemalloc.start()
        for _ in range(1900):  # in one chunk
            next(rows)
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size / 1900

    assert grown(iter(Author.objects.fetch_mode(models.FETCH_PEERS).iterator())) > 50  # Django's
    assert grown(iter(Author.objects.iterator())) < 5


def test_rows_of_an_iterator_have_no_peers() -> None:
    rows = Cover.objects.select_related("book").iterator()
    assert all(not row._state.peers and not row.book._state.peers for row in rows)


def test_iterators_accept_and_refuse_what_those_of_django_do() -> None:
    with pytest.raises(ValueError, match="Chunk size"):
        Book.objects.iterator(0)
    with pytest.raises(ValueError, match="chunk_size"):
        Book.objects.prefetch_related("author").iterator()
    assert [row["title"] for row in Book.objects.values("title").order_by("pk").iterator()][:1]
    assert next(Book.objects.values_list("title", flat=True).iterator()).startswith("title")
    blocked = next(Book.objects.fetch_mode(models.FETCH_RAISE).iterator())
    with pytest.raises(FieldFetchBlocked):
        print(blocked.author)

    @async_to_sync
    async def rows() -> list[Any]:
        return [row async for row in Book.objects.order_by("pk").aiterator(5)]

    assert rows() == list(Book.objects.order_by("pk"))
    assert all(row._state.fetch_mode is peers.PEERS and not row._state.peers for row in rows())


def test_the_user_has_djangos_manager_and_its_migrations() -> None:
    assert isinstance(User.objects, UserManager)
    assert User._default_manager.create_user("ada", "ADA@EXAMPLE.COM", "secret").email
    assert User.objects.get_by_natural_key("ada").check_password("secret")
    assert User.objects.create_superuser("root").is_superuser
    assert User.objects.with_perm("auth.add_group").get().username == "root"
    assert not User.objects.with_perm("auth.add_group", include_superusers=False)
    call_command("makemigrations", check_changes=True, dry_run=True)
    state = MigrationLoader(connection).project_state().apps.get_model("core", "User")
    assert state.objects.create_user("migrated").pk


def test_a_new_migration_names_the_managers_that_it_needs() -> None:
    """makemigrations leaves out what is equal to Django's plain manager, and adds it the next time."""

    class Own(djfast_models.Manager):
        use_in_migrations = True

    for manager in (User._default_manager, Own()):
        made = CreateModel("User", fields=[], managers=[("objects", manager)])
        assert made.deconstruct()[2]["managers"] == [("objects", manager)]
    assert User._default_manager == UserManager()


def test_the_row_names_a_model_whose_manager_is_not_guarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def among(*found: Any) -> tuple[State, str]:
        monkeypatch.setattr("django.apps.apps.get_models", lambda: found)
        state, evidence = NPlusOneGuard().finding()
        return state, evidence()

    assert NPlusOneGuard().finding().state is State.ON
    state, evidence = among(User, Unguarded)
    assert state is State.REVERTED
    assert "core.Unguarded" in evidence
    assert "core.User" not in evidence
    assert among(ContentType)[0] is State.REVERTED


def test_the_row_makes_no_query_set_which_may_need_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get_queryset(manager: object) -> None:
        raise RuntimeError("no tenant")

    monkeypatch.setattr(djfast_models.Manager, "get_queryset", get_queryset)
    assert NPlusOneGuard().finding().state is State.ON
