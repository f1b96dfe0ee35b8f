"""Advice about reading from the database."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from operator import attrgetter
from typing import Any
from unittest import mock

from django.db import connection, models, transaction

from djfast_bench.advice.base import TOPICS, Advice, Pairs, Run, guide, pair, template
from djfast_bench.site import Site
from djfast_bench.timing import Variant
from djfast_bench.workload.models import Category, Item

optimization = partial(Advice, f"{TOPICS}db/optimization/#")
LEVEL = "work-at-the-appropriate-level"
SHOWN = "don-t-overuse-contains-count-and-exists"
WORK = "do-database-work-in-the-database-rather-than-in-python"
AT_ONCE = "use-queryset-select-related-and-prefetch-related"
ALL, PAGE, FEW = "all items", "a page of 50 items", "the items with a stock of 7"

# Never evaluated: each use begins with all(), which returns a new queryset.
items = Item.objects.all()
page = items[:50].fetch_mode(models.FETCH_ONE)
joined, peers = page.select_related("category"), page.fetch_mode(models.FETCH_PEERS)
labelled = page.prefetch_related("tags")
few, restocked = items.filter(stock=7), items.filter(stock=107)

category, price = attrgetter("category.name"), attrgetter("name", "price")


def names(rows: Iterable[Any]) -> str:
    """Return the names of rows."""
    return ", ".join(row.name for row in rows)


@optimization("use-queryset-count", "count()", "len()", ALL)
def count() -> Pairs:
    """Let the database count rows if only their number is needed."""
    yield pair(items.count, lambda: len(items.all()))


@guide(LEVEL, "len()", "{{ items|length }}", ALL)
def length() -> Pairs:
    """Count in Python rather than in a template, whose language is slower."""
    render = template("{{ items|length }}")
    yield pair(lambda: str(len(items.all())), lambda: render(items=items.all()))


@optimization("use-queryset-exists", "exists()", "a queryset as a condition", ALL)
def exists() -> Pairs:
    """Check whether a row exists instead of fetching all rows."""
    yield pair(items.exists, lambda: bool(items.all()))


def before_use(look: Callable[[Any], object]) -> object:
    """Check rows, then use them."""
    rows = page.all()
    return look(rows), names(rows)


@optimization(SHOWN, "len() of rows that are used", "count() before", PAGE, "queries")
def count_of_used() -> Pairs:
    """Count rows that are fetched anyway in Python, not with another query."""
    yield pair(partial(before_use, len), partial(before_use, models.QuerySet.count))


@optimization(SHOWN, "rows that are used as a condition", "exists() before", PAGE, "queries")
def exists_of_used() -> Pairs:
    """Check rows that are fetched anyway in Python, not with another query."""
    yield pair(partial(before_use, bool), partial(before_use, models.QuerySet.exists))


@guide("laziness-in-django", "an unused queryset", "an unused list", ALL, "queries")
def unused() -> Pairs:
    """Pass querysets around: an unused one makes no query."""
    render = template("{% if wanted %}{{ items|length }}{% endif %}")
    yield pair(lambda: render(items=items.all()), lambda: render(items=list(items.all())))


@optimization("understand-queryset-evaluation", "one queryset", "two alike", PAGE, "queries")
def evaluated_once() -> Pairs:
    """Use one queryset twice rather than two: it caches its rows when it is evaluated."""
    yield pair(partial(before_use, names), lambda: (names(page.all()), names(page.all())))


@optimization("use-the-with-template-tag", "{% with %}", "a repeated lookup", PAGE, "queries")
def with_tag() -> Pairs:
    """Name a value that a template uses twice: each lookup of related rows is a query."""
    look = "{{ rows|length }}{% for row in rows %}{{ row }}{% endfor %}"
    named = "{% with rows=category.items.all %}" + look + "{% endwith %}"
    renders = map(template, (named, look.replace("rows", "category.items.all")))
    yield pair(*(partial(render, category=Category.objects.all()[0]) for render in renders))


@optimization("use-iterator", "iterator()", "all()", ALL, "memory")
def iterator() -> Pairs:
    """Read many rows in chunks: a queryset caches all of them."""
    note = "Rows that a server-side cursor sends in chunks are not counted."
    yield pair(lambda: names(items.iterator(chunk_size=100)), lambda: names(items.all()), note=note)


def each(rows: Any, use: Callable[[Any], object]) -> Run:
    """Fetch rows and use one after the other."""
    return lambda: [use(row) for row in rows.all()]


def tags(item: Item) -> str:
    """Return the names of an item's tags."""
    return names(item.tags.all())


@optimization(WORK, "aggregate()", "sum()", ALL)
def aggregated() -> Pairs:
    """Let the database calculate a sum."""
    total = {"total": models.Sum("price")}
    yield pair(lambda: items.aggregate(**total)["total"], lambda: sum(i.price for i in items.all()))


@optimization(WORK, "annotate()", "a count for each row", "all categories")
def annotated() -> Pairs:
    """Let the database count related rows in the query that fetches the rows."""
    rows = Category.objects.annotate(number=models.Count("items")).order_by("name")
    yield pair(each(rows, lambda c: c.number), each(Category.objects, lambda c: c.items.count()))


def sql(query: str) -> list[Any]:
    """Run a query without the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [*cursor.fetchall()]


@optimization("use-raw-sql", "raw SQL", "values_list()", PAGE)
def raw() -> Pairs:
    """Write SQL where the ORM is not enough."""
    query = f"SELECT name, price FROM {Item._meta.db_table} ORDER BY name LIMIT 50"
    yield pair(partial(sql, query), lambda: list(page.values_list("name", "price")))


@contextmanager
def rolled_back() -> Iterator[None]:
    """Roll back all changes of the block."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@optimization("use-standard-db-optimization-techniques", "an index", "none", "100,000 rows")
def index() -> Pairs:
    """Index the columns that rows are looked up by."""
    table = "CREATE TEMPORARY TABLE advice AS SELECT id AS plain, id AS indexed"
    queries = [f"SELECT plain FROM advice WHERE {column} = 7" for column in ("indexed", "plain")]
    with rolled_back(), connection.cursor() as cursor:
        cursor.execute(f"{table} FROM generate_series(1, 100000) AS id")
        cursor.execute("CREATE INDEX advice_indexed ON advice (indexed); ANALYZE advice")
        plans = [sql(f"EXPLAIN {query}")[0][0].split("  (")[0] for query in queries]
        advised, other = (partial(sql, query) for query in queries)
        yield pair(advised, other, note=f"EXPLAIN: {', not '.join(plans)}.")


@optimization(AT_ONCE, "select_related()", "a query for each row", PAGE)
def related() -> Pairs:
    """Fetch the row of a foreign key with a join."""
    yield pair(each(joined, category), each(page, category))


@Advice(f"{TOPICS}db/fetch-modes/#", "available-modes", "FETCH_PEERS", "FETCH_ONE", PAGE)
def fetch_peers() -> Pairs:
    """Fetch a missing relation for all rows of a queryset at once."""
    yield pair(each(peers, category), each(page, category))


@optimization(AT_ONCE, "select_related()", "FETCH_PEERS", PAGE)
def related_beforehand() -> Pairs:
    """Name the needed relations in advance: one query instead of two."""
    yield pair(each(joined, category), each(peers, category))


@optimization(AT_ONCE, "prefetch_related()", "a query for each row's tags", PAGE)
def prefetched() -> Pairs:
    """Fetch the related rows of all rows with one query."""
    yield pair(each(labelled, tags), each(page, tags))


@optimization(AT_ONCE, "Prefetch(to_attr)", "prefetch_related()", PAGE)
def to_attr() -> Pairs:
    """Prefetch into a list: all() creates a queryset for each row."""
    lists = page.prefetch_related(models.Prefetch("tags", to_attr="listed"))
    yield pair(each(lists, lambda item: names(item.listed)), each(labelled, tags))


@optimization("use-queryset-values-and-values-list", "values()", "objects", PAGE)
def values() -> Pairs:
    """Fetch dictionaries where no model methods are needed."""
    yield pair(each(page.values("name", "price"), lambda r: (*r.values(),)), each(page, price))


@optimization("use-queryset-values-and-values-list", "values_list()", "objects", PAGE)
def values_list() -> Pairs:
    """Fetch tuples where no model methods are needed."""
    yield pair(each(page.values_list("name", "price"), tuple), each(page, price))


@optimization("use-queryset-defer-and-only", "only()", "all columns", PAGE)
def only() -> Pairs:
    """Omit columns that are not needed, especially long texts."""
    yield pair(each(page.only("name", "price"), price), each(page, price))


@optimization("use-queryset-defer-and-only", "all columns", "only() without a needed one", PAGE)
def not_deferred() -> Pairs:
    """Do not omit a column that will be needed: it is then fetched row by row."""
    yield pair(each(page, price), each(page.only("name"), price))


@optimization("use-foreign-key-values-directly", "category_id", "category.pk", PAGE, "queries")
def foreign_key() -> Pairs:
    """Use the value of a foreign key instead of fetching the related row."""
    yield pair(each(page, lambda i: i.category_id), each(page, lambda i: i.category.pk))


@optimization(
    "don-t-order-results-if-you-don-t-care", "order_by()", "Meta.ordering", ALL, same=sorted
)
def unordered() -> Pairs:
    """Remove the default ordering where the order does not matter."""
    keys = items.values_list("pk", flat=True)
    yield pair(lambda: list(keys.order_by()), lambda: list(keys.all()))


@contextmanager
def connected(seconds: int) -> Iterator[None]:
    """Use a connection without a pool.

    Args:
        seconds: CONN_MAX_AGE.
    """
    connection.close()
    options = {**connection.settings_dict["OPTIONS"], "pool": None}
    own = {"CONN_MAX_AGE": seconds, "OPTIONS": options}
    with mock.patch.dict(connection.settings_dict, own), closing(connection):
        yield


@guide("other-database-related-tips", "CONN_MAX_AGE=600", "CONN_MAX_AGE=0", "a page with one query")
def persistent() -> Pairs:
    """Use persistent connections."""
    site = Site()
    with site.open():
        get = partial(site.get, "/catalogue/count/")
        yield pair(*(Variant(get, partial(connected, age)) for age in (600, 0)))
