"""Templates, rows and querysets for the tests of fragments."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Count, Prefetch, QuerySet, Window
from django.db.models.functions import RowNumber
from django.template import Context, Engine
from django.test.utils import CaptureQueriesContext

TEMPLATES: dict[str, str] = {}
ENGINE = Engine(
    builtins=["django.templatetags.cache", "djfast.cache.fragments"],
    loaders=[("django.template.loaders.locmem.Loader", TEMPLATES)],
)
ROW = "<li>{{ one.pk }} {{ one.name }}: {% for group in one.group_set.all %}{{ group.name }},{% endfor %}</li>"
LOOP = ENGINE.from_string("{% for one in rows %}" + ROW + "{% empty %}none{% endfor %}")
EACH = ENGINE.from_string(
    '{% cache_each 60 row one in rows by "name" vary %}'
    + ROW
    + "{% empty %}none{% endcache_each %}"
)
CACHE = settings.CACHES["default"] | {
    "KEY_PREFIX": settings.CACHES["default"]["KEY_PREFIX"] + "-rows",
}

GROUPS = Prefetch("group_set", Group.objects.order_by("name"))


def fill(number: int) -> None:
    """Create permissions, each of them in up to three groups."""
    kind = ContentType.objects.first()
    groups = Group.objects.bulk_create([Group(name=f"group {n}") for n in range(3)])
    made = [
        Permission(name=f"p{n:03}", codename=f"c{n % 3}x{n}", content_type=kind)
        for n in range(number)
    ]
    through: Any = Group.permissions.through
    through.objects.bulk_create(
        through(group=group, permission=one)
        for n, one in enumerate(Permission.objects.bulk_create(made))
        for group in groups[: n % 4]
    )


def base() -> QuerySet[Permission]:
    """Return an unevaluated queryset of the permissions."""
    return Permission.objects.filter(name__startswith="p0").prefetch_related(GROUPS)


def queries(work: Callable[[], str]) -> tuple[str, list[str]]:
    """Return the result of a function and the queries that it made."""
    with CaptureQueriesContext(connection) as captured:
        html = work()
    return html, [query["sql"] for query in captured.captured_queries]


def render(rows: Any, vary: Any = "") -> str:
    """Return the rows as `cache_each` renders them."""
    return EACH.render(Context({"rows": rows, "vary": vary}))


SHAPES: dict[str, Callable[[QuerySet[Permission]], Any]] = {
    "ordered": lambda rows: rows.order_by("name"),
    "reversed": lambda rows: rows.order_by("-name"),
    "reversed by method": lambda rows: rows.order_by("name").reverse(),
    "by a related field": lambda rows: rows.order_by("content_type__model", "codename"),
    "sliced": lambda rows: rows.order_by("name")[3:9],
    "sliced twice": lambda rows: rows.order_by("name")[2:12][1:5],
    "sliced beyond the end": lambda rows: rows.order_by("name")[100:200],
    "related": lambda rows: rows.select_related("content_type").order_by("name"),
    "only": lambda rows: rows.only("codename").order_by("name"),
    "deferred": lambda rows: rows.defer("name").order_by("name"),
    "counted": lambda rows: rows.annotate(n=Count("group")).filter(n__gt=0).order_by("-n", "name"),
    "aliased": lambda rows: rows.alias(n=Count("group")).order_by("-n", "name")[:7],
    "distinct": lambda rows: rows.filter(group__isnull=False).distinct().order_by("name"),
    "distinct on": lambda rows: rows.order_by("content_type", "name").distinct("content_type"),
    "doubled": lambda rows: rows.filter(group__name__startswith="g").order_by("name"),
    "united": lambda rows: (
        rows.filter(name__lt="p005").union(rows.filter(name="p009")).order_by("name")
    ),
    "or": lambda rows: (rows.filter(name="p001") | rows.filter(name="p002")).order_by("name"),
    "excluded": lambda rows: rows.exclude(group__name="group 1").order_by("name"),
    "prefetched otherwise": lambda rows: (
        rows.prefetch_related(None)
        .prefetch_related(Prefetch("group_set", Group.objects.order_by("-name")))
        .order_by("name")
    ),
    "locked": lambda rows: rows.select_for_update().order_by("name"),
    "extra": lambda rows: rows.extra(select={"x": "1"}).order_by("name"),
    "named database": lambda rows: rows.using("default").order_by("name"),
    "random versions": lambda rows: rows.order_by("codename"),
    "evaluated": lambda rows: (list(rows), rows)[1],
    "list": lambda rows: list(rows.order_by("name")),
    "tuple": lambda rows: tuple(rows.order_by("name")),
    "generator": lambda rows: (one for one in list(rows.order_by("name"))),
    "iterator": lambda rows: rows.order_by("name").iterator(chunk_size=10),
    "list with one twice": lambda rows: [*rows, *rows[:1]],
    "unsaved": lambda rows: [Permission(name="new"), Permission(name="newer")],
    "raw": lambda rows: Permission.objects.raw(
        "SELECT * FROM auth_permission WHERE name LIKE 'p0%%'"
    ),
    "none": lambda rows: rows.none(),
    "None": lambda rows: None,
    "no list": lambda rows: "",
    "page": lambda rows: Paginator(rows.order_by("name"), 5).page(2),
    "objects of a page": lambda rows: Paginator(rows.order_by("name"), 5).page(1).object_list,
    "numbered": lambda rows: rows.annotate(n=Window(RowNumber(), order_by="name")).order_by("-n"),
    "manager's": lambda rows: Group.objects.order_by("name")[0].permissions.order_by("name"),
    "prefetched manager's": lambda rows: (
        Group.objects.order_by("name").prefetch_related("permissions")[0].permissions.all()
    ),
}
