"""The N+1 guard against Django's own fetching: same answers, never more queries.

Run from a generated project (needs hypothesis):

    DJANGO_SETTINGS_MODULE=config.settings uv run --with hypothesis pytest -p no:cacheprovider \\
        -c pyproject.toml --rootdir . .../template-tests/peers
"""

import asyncio
import copy
import gc
import pickle
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldFetchBlocked
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader
from django.template import Context, Template
from django.test.utils import CaptureQueriesContext, isolate_apps
from hypothesis import HealthCheck, given, settings, strategies
from zeal import zeal_context
from zeal.errors import NPlusOneError

from speed import peers

User = get_user_model()

with isolate_apps("core"):

    class Author(peers.Model):
        name = models.CharField(max_length=9)
        bio = models.TextField()

        class Meta:
            app_label = "core"

    class BookQuerySet(peers.QuerySet):
        def odd(self) -> Any:
            return self.filter(pk__in=range(1, 99, 2))

    class Book(peers.Model):
        title = models.CharField(max_length=9)
        text = models.TextField()
        author = models.ForeignKey(Author, models.CASCADE, related_name="books")
        editor = models.ForeignKey(Author, models.CASCADE, null=True, related_name="edited")
        kind = models.ForeignKey(ContentType, models.DO_NOTHING, null=True, related_name="+")
        number = models.IntegerField(default=0)
        owner = GenericForeignKey("kind", "number")

        objects = peers.Manager.from_queryset(BookQuerySet)()

        class Meta:
            app_label = "core"

    class Cover(peers.Model):
        book = models.OneToOneField(Book, models.CASCADE, related_name="cover")
        colour = models.CharField(max_length=9)

        class Meta:
            app_label = "core"

    class Audiobook(Book):
        voice = models.CharField(max_length=9)

        class Meta:
            app_label = "core"

    class Unguarded(peers.Model):
        objects = models.Manager()

        class Meta:
            app_label = "core"


@pytest.fixture(scope="module", autouse=True)
def _library(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    tables = [Author, Book, Cover, Audiobook]
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in tables:
                editor.create_model(model)
        authors = [Author.objects.create(name=f"author{n}", bio=f"bio{n}") for n in range(4)]
        users = [User.objects.create_user(f"owner{n}") for n in range(3)]
        for n in range(12):
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


pytestmark = pytest.mark.django_db

ACCESS = {
    "author": lambda book: book.author.name,
    "author's bio": lambda book: book.author.bio,
    "editor": lambda book: book.editor and book.editor.name,
    "owner": lambda book: book.owner.username,
    "cover": lambda book: getattr(book, "cover", None) and book.cover.colour,
    "title": lambda book: book.title,
    "text": lambda book: book.text,
    "siblings": lambda book: sorted(b.title for b in book.author.books.all()),
    "siblings' editors": lambda book: [
        b.editor_id and b.editor.name for b in book.author.books.all()
    ],
}
SHAPES = {
    "all": lambda found: found,
    "odd": lambda found: found.filter(pk__in=range(1, 99, 2)),
    "some": lambda found: found[2:7],
    "deferred": lambda found: found.defer("text", "author__bio"),
    "only": lambda found: found.only("title"),
    "joined": lambda found: found.select_related("author"),
    "joined, only": lambda found: found.select_related("author").only("title", "author__name"),
    "prefetched": lambda found: found.prefetch_related("author__books", "owner"),
    "iterated": lambda found: found.iterator(5),
    "iterated, joined": lambda found: found.select_related("author", "cover").iterator(),
}


def visit(found: Any, accesses: list[tuple[int, str]]) -> tuple[list[Any], int]:
    with CaptureQueriesContext(connection) as queries:
        books = list(found)
        answers = [ACCESS[what](books[at % len(books)]) for at, what in accesses if books]
    return answers, len(queries)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    model=strategies.sampled_from([Book, Audiobook]),
    shape=strategies.sampled_from(sorted(SHAPES)),
    accesses=strategies.lists(
        strategies.tuples(strategies.integers(0, 11), strategies.sampled_from(sorted(ACCESS))),
        max_size=8,
    ),
)
def test_the_answers_are_those_of_django_and_never_take_more_queries(
    model: Any, shape: str, accesses: list[tuple[int, str]]
) -> None:
    ContentType.objects.get_for_model(User)
    books = model.objects.order_by("pk")
    guarded = visit(SHAPES[shape](books), accesses)
    django = visit(SHAPES[shape](books.fetch_mode(models.FETCH_ONE)), accesses)
    assert guarded[0] == django[0]
    assert guarded[1] <= django[1]


@pytest.mark.parametrize("what", ["author", "editor", "owner", "cover"])
def test_a_loop_makes_two_queries_whatever_it_follows(what: str) -> None:
    assert visit(Book.objects.all(), [(n, what) for n in range(12)])[1] <= 3  # cover: getattr twice


def test_what_a_row_leads_to_is_guarded_too() -> None:
    book = Book.objects.select_related("editor").filter(editor__isnull=False).first()
    rows = [
        book,
        book.author,
        book.editor,
        book.author.books.first(),
        book.editor.edited.first(),
        next(Author.objects.iterator()).books.first(),
        Book.objects.odd().first(),
        Author.objects.create(name="new").books.create(title="new"),
    ]
    assert all(row._state.fetch_mode is peers.PEERS for row in rows)
    assert type(Book._base_manager) is models.Manager


@pytest.mark.parametrize(
    ("access", "told"),
    [
        (lambda: Book.objects.first().author, "Book.author .* add select_related('author')"),
        (
            lambda: Book.objects.get(title="title1").cover,
            "Book.cover .* add select_related('cover')",
        ),
        (lambda: Cover.objects.first().book, "Cover.book .* add select_related('book')"),
        (lambda: Book.objects.first().owner, "Book.owner .* add prefetch_related('owner')"),
        (lambda: Book.objects.defer("text").first().text, "Book.text .* take it out of defer()"),
        (lambda: next(Book.objects.iterator()).author, "Book.author .* add select_related"),
        (
            lambda: Template("{% for book in books %}{{ book.author.name }}{% endfor %}").render(
                Context({"books": Book.objects.all()})
            ),
            "Book.author .* add select_related",
        ),
    ],
)
def test_each_kind_of_lazy_fetch_is_named(access: Any, told: str) -> None:
    pattern = told.replace("(", r"\(").replace(")", r"\)")
    with peers.raising(), pytest.raises(FieldFetchBlocked, match=pattern):
        access()
    access()


def test_raising_is_over_after_a_failure_and_nests() -> None:
    with pytest.raises(ZeroDivisionError), peers.raising():
        1 / 0  # noqa: B018
    with peers.raising():
        with peers.raising():
            pass
        with pytest.raises(FieldFetchBlocked):
            print(Book.objects.first().author)
    assert Book.objects.first().author


def test_raising_binds_neither_other_threads_nor_other_tasks() -> None:
    seen: list[bool] = []
    with peers.raising():
        thread = threading.Thread(target=lambda: seen.append(peers.raises.get()))
        thread.start()
        thread.join()

    async def one(event: asyncio.Event) -> None:
        with peers.raising():
            event.set()
            await asyncio.sleep(0.01)
            seen.append(await sync_to_async(peers.raises.get)())  # the thread of this task

    async def two(event: asyncio.Event) -> None:
        await event.wait()
        seen.append(peers.raises.get())

    async def both() -> None:
        event = asyncio.Event()
        await asyncio.gather(one(event), two(event))

    async_to_sync(both)()
    assert seen == [False, False, True]


def test_a_deep_copy_is_guarded() -> None:
    query = User.objects.all()
    assert copy.deepcopy(query)._fetch_mode is peers.PEERS
    assert copy.deepcopy(query.first())._state.fetch_mode is peers.PEERS


def test_a_pickled_row_needs_nothing_of_this_module() -> None:
    user = User.objects.first()
    data = pickle.dumps(user)
    assert b"speed" not in data
    assert pickle.loads(data)._state.fetch_mode is models.FETCH_PEERS
    assert copy.copy(user) == copy.deepcopy(user) == user


def test_a_loop_over_a_large_table_needs_no_memory_for_rows_gone_by() -> None:
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


def test_iterators_keep_their_manners() -> None:
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


def test_the_user_keeps_djangos_manager_and_its_migrations() -> None:
    assert isinstance(User.objects, UserManager)
    assert User._default_manager.create_user("ada", "ADA@EXAMPLE.COM", "secret").email
    assert User.objects.get_by_natural_key("ada").check_password("secret")
    assert User.objects.create_superuser("root").is_superuser
    assert User.objects.with_perm("auth.add_group").get().username == "root"
    assert not User.objects.with_perm("auth.add_group", include_superusers=False)
    call_command("makemigrations", check_changes=True, dry_run=True)
    state = MigrationLoader(connection).project_state().apps.get_model("core", "User")
    assert state.objects.create_user("migrated").pk


def test_zeal_still_sees_what_the_guard_does_not_cover() -> None:
    with zeal_context():
        print([book.author.name for book in Book.objects.all()])
        with pytest.raises(NPlusOneError):
            print([list(author.books.all()) for author in Author.objects.all()])
    with zeal_context(), pytest.raises(NPlusOneError):
        print([b.author.name for b in Book.objects.fetch_mode(models.FETCH_ONE)])


def test_a_manager_without_the_guard_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def among(*found: Any) -> Any:
        monkeypatch.setattr(peers.apps, "get_models", lambda: found)
        return peers.finding()

    assert peers.finding()[0] is True
    holds, show = among(User, Unguarded)
    assert (holds, show()) == (False, "lost by the manager of core.Unguarded")
    assert among(ContentType)[0] is False
