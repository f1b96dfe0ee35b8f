"""Advice about templates."""

from functools import partial

from djfast_bench.advice.base import LOOP, VISITOR, Changes, Pairs, guide, pair, template, visit
from djfast_bench.advice.database import joined
from djfast_bench.layering import WORKLOAD

in_memory = partial(guide, "template-performance", on="50 rows in memory")
ROW = "<li>{{ item.name }} {{ item.price }}</li>"


def rendered(advised: str, other: str, **pieces: str) -> Pairs:
    """Return variants that render rows which were fetched before."""
    rows = list(joined.all())
    renders = (template(source, **pieces) for source in (advised, other))
    yield pair(*(partial(render, items=rows) for render in renders))


@in_memory("{% block %}", "{% include %}")
def block() -> Pairs:
    """Override a block of a parent template rather than include another template."""
    child = "{% extends 'parent' %}{% block row %}" + ROW + "{% endblock %}"
    parent, other = map(LOOP.format, ("{% block row %}{% endblock %}", "{% include 'row' %}"))
    return rendered(child, other, parent=parent, row=ROW)


@in_memory("one template", "many small ones")
def fragments() -> Pairs:
    """Do not assemble a page from many small templates."""
    pieces = {name: f"<b>{{{{ item.{name} }}}}</b>" for name in ("name", "slug", "price", "stock")}
    included = "".join(f"{{% include '{name}' %}}" for name in pieces)
    return rendered(LOOP.format("".join(pieces.values())), LOOP.format(included), **pieces)


@in_memory("{% url %} before a loop", "{% url %} in it")
def url_once() -> Pairs:
    """Compute values that are the same for all rows before the loop."""
    before, link = "{% url 'catalogue:list' as here %}", "{}?{{{{ item.pk }}}} ".format
    inside = LOOP.format(link("{% url 'catalogue:list' %}"))
    return rendered(before + LOOP.format(link("{{ here }}")), inside)


@in_memory("get_absolute_url()", "{% url %}")
def absolute_url() -> Pairs:
    """Compute a URL in Python rather than in a template."""
    sources = "{{ item.get_absolute_url }}", "{% url 'catalogue:item' item.slug %}"
    return rendered(*map(LOOP.format, sources))


DJANGO = {"BACKEND": "django.template.backends.django.DjangoTemplates"}
UNCACHED = {"OPTIONS": {"loaders": ["django.template.loaders.app_directories.Loader"]}}
JINJA2 = {
    "BACKEND": "django.template.backends.jinja2.Jinja2",
    "DIRS": [WORKLOAD / "jinja2"],
    "OPTIONS": {"environment": "djfast_bench.workload.jinja.environment"},
}
on_list = partial(guide, on="a list page of 50 rows")


def engines(*engines: Changes) -> Pairs:
    """Return variants that request a page with different template engines."""
    changes = ({"TEMPLATES": [engine]} for engine in engines)
    yield pair(*(visit("/catalogue/", changed, cookie=VISITOR.get()) for changed in changes))


@on_list("the-cached-template-loader", "the cached loader", "another loader")
def loader() -> Pairs:
    """Read and parse templates once."""
    return engines(DJANGO | {"APP_DIRS": True}, DJANGO | UNCACHED)


@on_list("alternatives-to-django-s-template-language", "Jinja2", "Django's templates")
def jinja2() -> Pairs:
    """Try another template engine if rendering takes most of the time."""
    return engines(JINJA2, DJANGO | {"APP_DIRS": True})
