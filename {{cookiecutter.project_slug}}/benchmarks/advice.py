"""Django's performance guide, claim by claim: what it advises, tried on the workload.

A claim is a generator function; its docstring is the guide's advice in our words. It yields the
advised way and the one that the guide warns of, which must give equal answers.
"""

import ctypes.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, cast
from unittest import mock

import brotli
import psycopg
import redis
from compressor.filters import cssmin, jsmin
from django.conf import settings
from django.contrib.staticfiles.finders import find
from django.core.cache import caches
from django.db import connection, models, transaction
from django.http import HttpResponse, JsonResponse
from django.template import Context, Engine
from django.templatetags.static import static
from django.test.utils import override_settings
from django.urls import path
from django.utils.functional import cached_property, lazy
from django.utils.html import strip_spaces_between_tags
from django.utils.text import capfirst
from django.views.decorators.cache import cache_page
from django.views.decorators.http import condition
from whitenoise import WhiteNoise

from benchmarks.answers import shown
from benchmarks.measure import Row, Way, WrongAnswer, compare, figure
from benchmarks.settings import WORKLOAD
from benchmarks.site import Answer, Site, counted
from benchmarks.workload import views
from benchmarks.workload.data import sign_in
from benchmarks.workload.models import Category, Item, Tag

TOPICS = "https://docs.djangoproject.com/en/6.1/topics/"
VISITOR: ContextVar[str] = ContextVar("VISITOR", default="")  # session key

Run = Callable[[], object]
Pairs = Iterator[tuple[Way, Way, str]]  # as advised, the other one, a note
Changes = dict[str, Any]  # of settings


def content(given: object) -> object:
    """Return what a visitor sees, however it is sent."""
    return shown(given) if isinstance(given, Answer) else given


@dataclass
class Advice:
    """One claim of the guide; as a decorator it adds itself to `ADVICE`.

    Attributes:
        page: of the documentation.
        anchor: the passage there that says it.
        experiment: label of the way that the guide advises.
        control: label of the way that it warns of.
        on: what both are tried on.
        shows: the dimension that the claim is about.
        expected: the verdict there, if the guide is right.
        same: what of an answer must be equal on both sides.
        ways: gives both; prepares before, cleans up after. Its docstring is the advice.
        name: the claim in a few words.
    """

    page: str
    anchor: str
    experiment: str
    control: str
    on: str
    shows: str = "time"
    expected: str = "less"
    same: Callable[[Any], object] = content
    ways: Callable[[], Pairs] = lambda: iter(())
    name: str = ""

    def __call__(self, ways: Callable[[], Pairs]) -> Callable[[], Pairs]:
        """Take the two ways from `ways`."""
        self.ways, self.name = ways, f"{self.experiment} instead of {self.control}"
        ADVICE.append(self)
        return ways


ADVICE: list[Advice] = []


def measured(advice: Advice, *, cookie: str, **limits: Any) -> Row:
    """Try one claim; if the answers differ or a module is missing, the row says that instead.

    Args:
        advice: one of `ADVICE`.
        cookie: session key of the signed-in visitor.
        limits: `alpha`, `seconds` and `tick` of `compare`.
    """
    row = Row(
        suite="advice",
        name=advice.name,
        scenario=advice.on,
        experiment=advice.experiment,
        control=advice.control,
        claim=advice.shows,
        says=str(getattr(advice.ways, "func", advice.ways).__doc__),
        source=advice.page + advice.anchor,
    )
    VISITOR.set(cookie)
    try:
        with contextmanager(advice.ways)() as (*ways, row.note):
            # Bytes that a build has made: to send them takes no time worth measuring.
            built = advice.shows == "bytes" and isinstance(answer(ways[0]), bytes)
            found = compare(*ways, same=advice.same, **limits | ({"seconds": 0.1} if built else {}))
            found = {} if built else found
            counts = [(*counted(way), size(answer(way))) for way in ways]
    except WrongAnswer as error:
        row.error = f"Wrong answer: {error}"
    except ModuleNotFoundError as error:
        row.error = f"not installed: {error.name}"
    except Exception as error:  # the other rows can still be measured
        row.error = f"{type(error).__name__}: {error}"
    else:
        for name, unit, new, old in zip(*COUNTS, *counts, strict=True):
            if new or old:
                found[name] = figure(unit, new, old)
        row.dimensions = found
        holds = {advice.expected: "yes", "inconclusive": "inconclusive"}
        row.holds = holds.get(found[advice.shows].verdict, "no")
    return row


COUNTS = ("queries", "rows", "bytes"), ("", "", "B")


def answer(way: Way) -> Any:
    """Let one way give its answer."""
    with way.within():
        return way.run()


def size(given: object) -> int:
    """Return the bytes of a body, if it is one."""
    body = given.body if isinstance(given, Answer) else given
    return len(body) if isinstance(body, bytes) else 0


def pair(*ways: Way | Run, note: str = "") -> tuple[Way, Way, str]:
    """Make what a claim yields of two ways; a function is one that needs no preparation."""
    advised, other = (way if isinstance(way, Way) else Way(way) for way in ways)
    return advised, other, note


def template(source: str, **others: str) -> Callable[..., str]:
    """Return a function that renders `source` with its arguments; `others` are what it includes."""
    sources = "django.template.loaders.locmem.Loader", {"page": source, **others}
    loader = "django.template.loaders.cached.Loader", [sources]
    page = Engine(loaders=[loader], builtins=["django.templatetags.cache"]).get_template("page")
    return lambda **context: page.render(Context(context))


def visit(address: str, changed: Changes | None = None, **headers: str) -> Way:
    """Ask for a page under changed settings; `headers` are those of `Site.get`."""
    site = Site(**(changed or {}))
    return Way(partial(site.get, address, **headers), site.open)


# Databases ---------------------------------------------------------------------------------------

guide = partial(Advice, f"{TOPICS}performance/#")
database = partial(Advice, f"{TOPICS}db/optimization/#")
LEVEL = "work-at-the-appropriate-level"
SHOWN = "don-t-overuse-contains-count-and-exists"
WORK = "do-database-work-in-the-database-rather-than-in-python"
AT_ONCE = "use-queryset-select-related-and-prefetch-related"
ALL, PAGE, FEW = "all items", "a page of 50 items", "the items with a stock of 7"

# None of them is evaluated: each use begins with all(), which makes a new one.
items = Item.objects.all()
page = items[:50].fetch_mode(models.FETCH_ONE)
joined, peers = page.select_related("category"), page.fetch_mode(models.FETCH_PEERS)
labelled = page.prefetch_related("tags")
few, restocked = items.filter(stock=7), items.filter(stock=107)

category, price = attrgetter("category.name"), attrgetter("name", "price")


def names(rows: Iterable[Any]) -> str:
    """Use rows."""
    return ", ".join(row.name for row in rows)


@database("use-queryset-count", "count()", "len()", ALL)
def count() -> Pairs:
    """Let the database count rows when nothing but their number is wanted."""
    yield pair(items.count, lambda: len(items.all()))


@guide(LEVEL, "len()", "{{ items|length }}", ALL)
def length() -> Pairs:
    """Count in Python rather than in a template, whose language costs more."""
    render = template("{{ items|length }}")
    yield pair(lambda: str(len(items.all())), lambda: render(items=items.all()))


@database("use-queryset-exists", "exists()", "a queryset as a condition", ALL)
def exists() -> Pairs:
    """Ask whether there is a row instead of fetching them all."""
    yield pair(items.exists, lambda: bool(items.all()))


def before_use(look: Callable[[Any], object]) -> object:
    """Learn something about rows, then use them."""
    rows = page.all()
    return look(rows), names(rows)


@database(SHOWN, "len() of rows that are used", "count() before", PAGE, "queries")
def count_of_used() -> Pairs:
    """Do not let the database count rows that are fetched anyway: fetch them, then count."""
    yield pair(partial(before_use, len), partial(before_use, models.QuerySet.count))


@database(SHOWN, "rows that are used as a condition", "exists() before", PAGE, "queries")
def exists_of_used() -> Pairs:
    """Do not ask whether there are rows that are fetched anyway: fetch them, then look."""
    yield pair(partial(before_use, bool), partial(before_use, models.QuerySet.exists))


@guide("laziness-in-django", "an unused queryset", "an unused list", ALL, "queries")
def unused() -> Pairs:
    """Pass querysets around: what turns out not to be needed costs no query."""
    render = template("{% if wanted %}{{ items|length }}{% endif %}")
    yield pair(lambda: render(items=items.all()), lambda: render(items=list(items.all())))


@database("understand-queryset-evaluation", "one queryset", "two alike", PAGE, "queries")
def evaluated_once() -> Pairs:
    """Keep a queryset that is used twice: it holds its rows once it has been evaluated."""
    yield pair(partial(before_use, names), lambda: (names(page.all()), names(page.all())))


@database("use-the-with-template-tag", "{% with %}", "a repeated lookup", PAGE, "queries")
def with_tag() -> Pairs:
    """Name what a template looks up twice: each lookup of related rows is a query."""
    look = "{{ rows|length }}{% for row in rows %}{{ row }}{% endfor %}"
    named = "{% with rows=category.items.all %}" + look + "{% endwith %}"
    renders = map(template, (named, look.replace("rows", "category.items.all")))
    yield pair(*(partial(render, category=Category.objects.all()[0]) for render in renders))


@database("use-iterator", "iterator()", "all()", ALL, "memory")
def iterator() -> Pairs:
    """Read many rows in chunks: a queryset keeps all of them."""
    note = "What a cursor of the server sends in chunks is not counted as rows."
    yield pair(lambda: names(items.iterator(chunk_size=100)), lambda: names(items.all()), note=note)


def each(rows: Any, use: Callable[[Any], object]) -> Run:
    """Fetch rows anew and use one after the other."""
    return lambda: [use(row) for row in rows.all()]


def tags(item: Item) -> str:
    """Use the rows at the other end of a many-to-many relation."""
    return names(item.tags.all())


@database(WORK, "aggregate()", "sum()", ALL)
def aggregated() -> Pairs:
    """Let the database add up."""
    total = {"total": models.Sum("price")}
    yield pair(lambda: items.aggregate(**total)["total"], lambda: sum(i.price for i in items.all()))


@database(WORK, "annotate()", "a count for each row", "all categories")
def annotated() -> Pairs:
    """Let the database count what belongs to each row, in the query that fetches them."""
    rows = Category.objects.annotate(number=models.Count("items")).order_by("name")
    yield pair(each(rows, lambda c: c.number), each(Category.objects, lambda c: c.items.count()))


def sql(query: str) -> list[Any]:
    """Run a query without the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [*cursor.fetchall()]


@database("use-raw-sql", "raw SQL", "values_list()", PAGE)
def raw() -> Pairs:
    """Write SQL by hand where the ORM is not enough."""
    query = f"SELECT name, price FROM {Item._meta.db_table} ORDER BY name LIMIT 50"
    yield pair(partial(sql, query), lambda: list(page.values_list("name", "price")))


@contextmanager
def undone() -> Iterator[None]:
    """Take back what is done to the database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@database("use-standard-db-optimization-techniques", "an index", "none", "100,000 rows")
def index() -> Pairs:
    """Give an index to the columns that rows are looked up by."""
    table = "CREATE TEMPORARY TABLE advice AS SELECT id AS plain, id AS indexed"
    queries = [f"SELECT plain FROM advice WHERE {column} = 7" for column in ("indexed", "plain")]
    with undone(), connection.cursor() as cursor:
        cursor.execute(f"{table} FROM generate_series(1, 100000) AS id")
        cursor.execute("CREATE INDEX advice_indexed ON advice (indexed); ANALYZE advice")
        plans = [sql(f"EXPLAIN {query}")[0][0].split("  (")[0] for query in queries]
        yield pair(*(partial(sql, q) for q in queries), note=f"EXPLAIN: {', not '.join(plans)}.")


@database(AT_ONCE, "select_related()", "a query for each row", PAGE)
def related() -> Pairs:
    """Fetch the row that a foreign key leads to with a join."""
    yield pair(each(joined, category), each(page, category))


@Advice(f"{TOPICS}db/fetch-modes/#", "available-modes", "FETCH_PEERS", "FETCH_ONE", PAGE)
def fetch_peers() -> Pairs:
    """Fetch what is missing for all rows of a queryset when the first of them needs it."""
    yield pair(each(peers, category), each(page, category))


@database(AT_ONCE, "select_related()", "FETCH_PEERS", PAGE)
def related_beforehand() -> Pairs:
    """Say beforehand which related rows are needed: one query instead of two."""
    yield pair(each(joined, category), each(peers, category))


@database(AT_ONCE, "prefetch_related()", "a query for each row's tags", PAGE)
def prefetched() -> Pairs:
    """Fetch the many rows that belong to each with one query for all."""
    yield pair(each(labelled, tags), each(page, tags))


@database(AT_ONCE, "Prefetch(to_attr)", "prefetch_related()", PAGE)
def to_attr() -> Pairs:
    """Keep what was prefetched in a list: all() makes a queryset for each row."""
    lists = page.prefetch_related(models.Prefetch("tags", to_attr="listed"))
    yield pair(each(lists, lambda item: names(item.listed)), each(labelled, tags))


@database("use-queryset-values-and-values-list", "values()", "objects", PAGE)
def values() -> Pairs:
    """Fetch dictionaries where nothing of the model is needed."""
    yield pair(each(page.values("name", "price"), lambda r: (*r.values(),)), each(page, price))


@database("use-queryset-values-and-values-list", "values_list()", "objects", PAGE)
def values_list() -> Pairs:
    """Fetch tuples where nothing of the model is needed."""
    yield pair(each(page.values_list("name", "price"), tuple), each(page, price))


@database("use-queryset-defer-and-only", "only()", "all columns", PAGE)
def only() -> Pairs:
    """Leave out columns that are not needed, long texts above all."""
    yield pair(each(page.only("name", "price"), price), each(page, price))


@database("use-queryset-defer-and-only", "all columns", "only() without a needed one", PAGE)
def not_deferred() -> Pairs:
    """Do not leave out a column that will be needed: it is then fetched row by row."""
    yield pair(each(page, price), each(page.only("name"), price))


@database("use-foreign-key-values-directly", "category_id", "category.pk", PAGE, "queries")
def foreign_key() -> Pairs:
    """Take the value of a foreign key from the row that has it."""
    yield pair(each(page, lambda i: i.category_id), each(page, lambda i: i.category.pk))


@database("don-t-order-results-if-you-don-t-care", "order_by()", "Meta.ordering", ALL, same=sorted)
def unordered() -> Pairs:
    """Take the ordering of the model away where order does not matter."""
    keys = items.values_list("pk", flat=True)
    yield pair(lambda: list(keys.order_by()), lambda: list(keys.all()))


def written(state: Run, advised: Run, other: Run) -> Pairs:
    """Change rows, look what has become of them, take it back."""

    def run(change: Run) -> object:
        with undone():
            change()
            return state()

    yield pair(partial(run, advised), partial(run, other))


def save(rows: Iterable[models.Model]) -> None:
    """Store rows one by one."""
    for row in rows:
        row.save()


def restock() -> list[Item]:
    """Fetch rows and change them without storing them."""
    rows = list(few.all())
    for item in rows:
        item.stock += 100
    return rows


def new_tags() -> list[Tag]:
    """Make rows without storing them."""
    return [Tag(name=f"new {number}", slug=f"new-{number}") for number in range(50)]


@database("create-in-bulk", "bulk_create()", "save() of new rows", "50 tags")
def bulk_create() -> Pairs:
    """Insert many rows with one query."""
    insert = Tag.objects.bulk_create
    return written(Tag.objects.count, lambda: insert(new_tags()), lambda: save(new_tags()))


@database("update-in-bulk", "bulk_update()", "save() of each", FEW)
def bulk_update() -> Pairs:
    """Store many changed rows with one query."""
    update = partial(items.bulk_update, fields=["stock"])
    return written(restocked.count, lambda: update(restock()), lambda: save(restock()))


@database("use-queryset-update-and-delete", "update() with F()", "save() of each", FEW)
def updated() -> Pairs:
    """Change rows in the database, without fetching them."""
    update = partial(few.update, stock=models.F("stock") + 100)
    return written(restocked.count, update, lambda: save(restock()))


@database("use-queryset-update-and-delete", "delete() of a queryset", "delete() of each", FEW)
def deleted() -> Pairs:
    """Delete many rows with one query for each table."""
    return written(items.count, few.delete, each(few, Item.delete))


@contextmanager
def connected(seconds: int) -> Iterator[None]:
    """Keep a connection for so long, without a pool."""
    connection.close()
    options = {**connection.settings_dict["OPTIONS"], "pool": None}
    own = {"CONN_MAX_AGE": seconds, "OPTIONS": options}
    with mock.patch.dict(connection.settings_dict, own), closing(connection):
        yield


@guide("other-database-related-tips", "CONN_MAX_AGE=600", "CONN_MAX_AGE=0", "a page with one query")
def persistent() -> Pairs:
    """Keep connections open between requests."""
    site = Site()
    with site.open():
        get = partial(site.get, "/catalogue/count/")
        yield pair(*(Way(get, partial(connected, age)) for age in (600, 0)))


# Python ------------------------------------------------------------------------------------------

lazily = partial(guide, "understanding-laziness", on="10,000 numbers")
NUMBERS = range(10_000)


@lazily("any() of a generator", "any() of a list")
def stopped() -> Pairs:
    """Compute values when they are asked for: the rest is never computed."""
    yield pair(lambda: any(n > 9 for n in NUMBERS), lambda: any([n > 9 for n in NUMBERS]))  # noqa: C419


@lazily("sum() of a generator", "sum() of a list")
@lazily("a generator in sum()", "a list in sum()", shows="memory")
def generator() -> Pairs:
    """Use a generator expression for what is gone through once: no list is made."""
    yield pair(lambda: sum(n * n for n in NUMBERS), lambda: sum([n * n for n in NUMBERS]))


@guide("cached-property", "cached_property", "property", "a sum that is used three times")
def cached() -> Pairs:
    """Keep what a method of an object computes, if it is asked for more than once."""

    def use(decorator: Callable[..., Any]) -> Run:
        basket = type("Basket", (), {"total": decorator(lambda self: sum(range(100)))})
        return lambda: [one.total for one in [basket()] * 3]

    yield pair(use(cached_property), use(property))


@guide("laziness-in-django", "keep_lazy()", "an eager function", "a text that is not shown")
def kept_lazy() -> Pairs:
    """Let a function of a lazy text wait as well: the text may never be needed."""
    render, text = template("{% if wanted %}{{ text }}{% endif %}"), lazy(names, str)
    kinds = capfirst, cast(Any, capfirst).__wrapped__  # Django decorates it with keep_lazy_text
    yield pair(*(partial(lambda f: render(text=f(text(page.all()))), kind) for kind in kinds))


# HTTP --------------------------------------------------------------------------------------------

http = partial(guide, on="a list page of 50 rows")
conditionally = partial(Advice, f"{TOPICS}conditional-view-processing/#", on="a second visit")
ABOUT, NEW = "/catalogue/about/", "/catalogue/new/"
GZIP = "django.middleware.gzip.GZipMiddleware"
ANY = "django_http_compression.middleware.HttpCompressionMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
FETCH, UPDATE = (f"django.middleware.cache.{n}CacheMiddleware" for n in ("FetchFrom", "Update"))
WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"


def at_new(view: Callable[..., Any]) -> Changes:
    """Put a view at the address NEW."""
    others = import_module(settings.ROOT_URLCONF).urlpatterns
    return {"ROOT_URLCONF": (path(NEW[1:], view), *others)}


def middleware(*above: str, below: tuple[str, ...] = ()) -> Changes:
    """Put middleware around the project's, of which compression is left out."""
    names = tuple(f".{name.rpartition('.')[2]}" for name in (GZIP, ANY, *above))
    own = (name for name in settings.MIDDLEWARE if not name.endswith(names))
    return {"MIDDLEWARE": [*above, *own, *below]}


def etag(given: Answer) -> str:
    """Tell a page by its ETag: an answer 304 has nothing else."""
    return given.headers["etag"]


def second_visit(address: str, changed: Changes) -> Way:
    """Ask for a page that the visitor has already."""
    return visit(address, changed, if_none_match=etag(answer(visit(address, changed))))


@http("conditionalgetmiddleware", "a 304", "the page again", shows="bytes", same=etag)
def conditional() -> Pairs:
    """Answer a visitor who has the page already without sending it again."""
    changed = middleware(CONDITIONAL)
    yield pair(second_visit(ABOUT, changed), visit(ABOUT, changed))


@conditionally("the-condition-decorator", "@condition", "ConditionalGetMiddleware", same=etag)
def condition_decorator() -> Pairs:
    """Tell by something cheap, such as the newest date, that a page is the same: do not render it."""

    def version(request: object) -> Any:
        return known.get(items.aggregate(newest=models.Max("created"))["newest"])

    known = {items.latest("created").created: etag(answer(visit(ABOUT, middleware(CONDITIONAL))))}
    changed = middleware(CONDITIONAL) | at_new(condition(version)(views.public))
    yield pair(second_visit(NEW, changed), second_visit(ABOUT, changed))


def compressed(coding: str, name: str) -> Pairs:
    """Compress pages, which saves bandwidth; the guide does not say what it costs the server."""
    body = answer(visit(ABOUT)).body
    ask = partial(visit, NEW, middleware(name) | at_new(lambda request: HttpResponse(body)))
    yield pair(ask(accept_encoding=coding), ask())


for coding, name in (("gzip", GZIP), ("br", ANY), ("zstd", ANY)):
    ready = partial(guide, "gzipmiddleware", on="the list page, ready")
    ready(f"a page in {coding}", "as it is", shows="bytes")(partial(compressed, coding, name))
    ready(f"the work of {coding}", "none", expected="more")(partial(compressed, coding, name))


@guide("static-files", "WhiteNoise around Django", "WhiteNoise as middleware", "a stylesheet")
def whitenoise() -> Pairs:
    """Serve static files before Django sees the request (WhiteNoise's advice, not the guide's)."""
    address, site = static("catalogue/catalogue.css"), Site()

    @contextmanager
    def around() -> Iterator[None]:
        with site.open():
            around_it = WhiteNoise(site.handler, settings.STATIC_ROOT, settings.STATIC_URL)
            site.handler = cast(Any, around_it)
            yield

    yield pair(Way(partial(site.get, address), around), visit(address, middleware(WHITENOISE)))


# Sessions and cache ------------------------------------------------------------------------------

sessions = partial(Advice, f"{TOPICS}http/sessions/#", on="a page for a signed-in visitor")
ENGINE = "django.contrib.sessions.backends."
DB = {"SESSION_ENGINE": f"{ENGINE}db", "SESSION_SAVE_EVERY_REQUEST": False}


def signed_in(*changes: Changes) -> Pairs:
    """Keep sessions where they are read faster than from the database."""
    greeting = at_new(lambda request: HttpResponse(request.user.get_username()))
    ways = []
    with ExitStack() as stack:
        for changed in changes:
            with override_settings(**changed):
                key = sign_in()
                stack.callback(import_module(settings.SESSION_ENGINE).SessionStore(key).delete)
            ways.append(visit(NEW, changed | greeting, cookie=key))
        yield pair(*ways)


for engine in ("cached_db", "cache", "signed_cookies", "file"):
    faster = partial(signed_in, DB | {"SESSION_ENGINE": ENGINE + engine}, DB)
    sessions("configuring-the-session-engine", f"{engine} sessions", "db sessions")(faster)


@sessions("when-sessions-are-saved", "SESSION_SAVE_EVERY_REQUEST off", "on")
def saved() -> Pairs:
    """Save a session only when it has changed."""
    return signed_in(DB, DB | {"SESSION_SAVE_EVERY_REQUEST": True})


@contextmanager
def cache() -> Iterator[None]:
    """Add an alias to the project's cache whose keys are its own; delete them at the end."""
    own = {**settings.CACHES["default"], "KEY_PREFIX": "benchmarks-advice"}
    with override_settings(CACHES={**settings.CACHES, "advice": own}), ExitStack() as stack:
        stack.callback(cast(Any, caches["advice"]).delete_pattern, "*")
        yield


caching = partial(Advice, f"{TOPICS}cache/#", on="a list page of 50 rows")


@caching("the-per-site-cache", "a cache of the site", "none")
def per_site() -> Pairs:
    """Cache all pages of a site that is the same for everybody."""
    changed = middleware(UPDATE, below=(FETCH,)) | {"CACHE_MIDDLEWARE_ALIAS": "advice"}
    with cache():
        yield pair(visit(ABOUT, changed), visit(ABOUT, middleware()))


@caching("the-per-view-cache", "cache_page()", "no cache of the view")
def per_view() -> Pairs:
    """Cache the pages of one view."""
    with cache():
        view = cache_page(60, cache="advice")(views.public)
        yield pair(visit(NEW, at_new(view)), visit(ABOUT))


@caching("template-fragment-caching", "{% cache %}", "no cache of the fragment", on=PAGE)
def fragment() -> Pairs:
    """Cache the part of a page that is expensive: its rows are then not even asked for."""
    look = LOOP.format("{{ item.name }} {{ item.category }} {{ item.price }}")
    kept = template("{% cache 60 page using='advice' %}" + look + "{% endcache %}")
    plain = template(look)
    with cache():
        yield pair(lambda: kept(items=joined.all()), lambda: plain(items=joined.all()))


# Static files ------------------------------------------------------------------------------------


@http("manifeststaticfilesstorage", "hashed names", "plain names", expected="no difference")
def manifest() -> Pairs:
    """Give files names that a browser may keep for ever: looking them up costs a page nothing."""
    storage = "django.contrib.staticfiles.storage.{}StaticFilesStorage".format
    storages = ({"staticfiles": {"BACKEND": storage(name)}} for name in ("Manifest", ""))
    yield pair(*(visit(ABOUT, {"STORAGES": settings.STORAGES | own}) for own in storages))


def minified(source: str, minify: Callable[[str], str], send: Callable[[bytes], bytes]) -> Pairs:
    """Take out of what is sent what only its authors need."""
    page = source == ABOUT
    text = answer(visit(source)).body.decode() if page else Path(str(find(source))).read_text()
    yield pair(*(partial(bytes, send(sent.encode())) for sent in (minify(text), text)))


for kind, source, minify in (
    ("CSS", "admin/css/base.css", lambda text: cssmin.rCSSMinFilter(text).output()),
    ("JS", "admin/js/inlines.js", lambda text: jsmin.rJSMinFilter(text).output()),
    ("HTML", ABOUT, strip_spaces_between_tags),
):
    for how, send, read in (("", bytes, bytes), (" in brotli", brotli.compress, brotli.decompress)):
        labels = f"minified {kind}{how}", f"{kind}{how}"
        same = lambda sent, minify=minify, read=read: minify(read(sent).decode())  # noqa: E731
        smaller = guide("minification", *labels, source, "bytes", same=same)
        smaller(partial(minified, source, minify, send))

# Templates ---------------------------------------------------------------------------------------

memory = partial(guide, "template-performance", on="50 rows in memory")
LOOP, ROW = "{{% for item in items %}}{}{{% endfor %}}", "<li>{{ item.name }} {{ item.price }}</li>"


def rendered(advised: str, other: str, **pieces: str) -> Pairs:
    """Render rows that were fetched before."""
    rows = list(joined.all())
    renders = (template(source, **pieces) for source in (advised, other))
    yield pair(*(partial(render, items=rows) for render in renders))


@memory("{% block %}", "{% include %}")
def block() -> Pairs:
    """Fill a block of a parent template rather than include another template."""
    child = "{% extends 'parent' %}{% block row %}" + ROW + "{% endblock %}"
    parent, other = map(LOOP.format, ("{% block row %}{% endblock %}", "{% include 'row' %}"))
    return rendered(child, other, parent=parent, row=ROW)


@memory("one template", "many small ones")
def fragments() -> Pairs:
    """Do not assemble a page from many small templates."""
    pieces = {name: f"<b>{{{{ item.{name} }}}}</b>" for name in ("name", "slug", "price", "stock")}
    included = "".join(f"{{% include '{name}' %}}" for name in pieces)
    return rendered(LOOP.format("".join(pieces.values())), LOOP.format(included), **pieces)


@memory("{% url %} before a loop", "{% url %} in it")
def url_once() -> Pairs:
    """Compute before a loop what is the same in each of its turns."""
    before, link = "{% url 'catalogue:list' as here %}", "{}?{{{{ item.pk }}}} ".format
    inside = LOOP.format(link("{% url 'catalogue:list' %}"))
    return rendered(before + LOOP.format(link("{{ here }}")), inside)


@memory("get_absolute_url()", "{% url %}")
def absolute_url() -> Pairs:
    """Compute an address in Python rather than in a template."""
    ways = "{{ item.get_absolute_url }}", "{% url 'catalogue:item' item.slug %}"
    return rendered(*map(LOOP.format, ways))


DJANGO = {"BACKEND": "django.template.backends.django.DjangoTemplates"}
UNCACHED = {"OPTIONS": {"loaders": ["django.template.loaders.app_directories.Loader"]}}
JINJA2 = {
    "BACKEND": "django.template.backends.jinja2.Jinja2",
    "DIRS": [WORKLOAD / "jinja2"],
    "OPTIONS": {"environment": "benchmarks.workload.jinja.environment"},
}


def engines(*engines: Changes) -> Pairs:
    """Ask for a page that one or the other engine renders."""
    changes = ({"TEMPLATES": [engine]} for engine in engines)
    yield pair(*(visit("/catalogue/", changed, cookie=VISITOR.get()) for changed in changes))


@http("the-cached-template-loader", "the cached loader", "another loader")
def loader() -> Pairs:
    """Read and parse templates once."""
    return engines(DJANGO | {"APP_DIRS": True}, DJANGO | UNCACHED)


@http("alternatives-to-django-s-template-language", "Jinja2", "Django's templates")
def jinja2() -> Pairs:
    """Try another template engine when rendering is what takes the time."""
    return engines(JINJA2, DJANGO | {"APP_DIRS": True})


# Implementations in C ----------------------------------------------------------------------------

compiled = partial(guide, "c-implementations-of-python-libraries")


def without(package: str, *modules: str) -> Any:
    """Import a package a second time, as where its compiled `modules` are not installed.

    Raises:
        ModuleNotFoundError: the last of them is not installed at all.
    """
    import_module(modules[-1])
    with mock.patch.dict(sys.modules):
        for name in [*sys.modules]:
            if name.partition(".")[0] == package:
                del sys.modules[name]
        sys.modules.update(cast(Any, dict.fromkeys(modules)))
        return import_module(package)


@compiled("psycopg in C", "psycopg in Python", ALL)
def psycopg_in_c() -> Pairs:
    """Talk to the database through compiled code."""
    # The one in C brings its libpq: let the other use that too, a machine need not have one.
    libpq = next(Path(psycopg.__file__).parents[1].glob("psycopg_binary*/**/libpq[-.]*"), None)
    with mock.patch.object(ctypes.util, "find_library", return_value=str(libpq)):
        other = without("psycopg", "psycopg_c", "psycopg_binary")
    url, query = os.environ["DATABASE_URL"], f"SELECT * FROM {Item._meta.db_table}"
    with psycopg.connect(url) as c, other.connect(url) as python:
        yield pair(lambda: c.execute(query).fetchall(), lambda: python.execute(query).fetchall())


@compiled("hiredis", "redis-py alone", "50 values of 100 bytes")
def hiredis() -> Pairs:
    """Read the cache's replies with compiled code."""
    url, other = str(settings.CACHES["default"]["LOCATION"]), without("redis", "hiredis")
    script = "local r = {} for i = 1, 50 do r[i] = string.rep('x', 100) end return r"
    with redis.from_url(url) as c, other.from_url(url) as python:
        yield pair(partial(c.eval, script, 0), partial(python.eval, script, 0))


@compiled("orjson", "JsonResponse", "50 rows", same=json.loads)
def orjson() -> Pairs:
    """Encode JSON with compiled code."""
    library, rows = import_module("orjson"), {"items": views.rows()}
    encode = partial(library.dumps, rows, default=str, option=library.OPT_UTC_Z)
    yield pair(lambda: HttpResponse(encode()).content, lambda: JsonResponse(rows).content)


@compiled("MarkupSafe in C", "MarkupSafe in Python", "50 descriptions")
def markupsafe() -> Pairs:
    """Escape with compiled code."""
    texts = [item.description for item in page.all()]
    c, python = import_module("markupsafe"), without("markupsafe", "markupsafe._speedups")
    yield pair(lambda: [*map(c.escape, texts)], lambda: [*map(python.escape, texts)])
