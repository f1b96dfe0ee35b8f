"""A page with everything that the engine's template modules replace; also a URLconf."""

from datetime import UTC, datetime
from decimal import Decimal

from django.template import Context, Engine
from django.urls import path

BUILTINS = [f"djfast.engine.{name}" for name in ("urls", "loops", "formats")]
SOURCE = """{% for row in rows %}{{ forloop.counter }} <a href="{% url 'item' row.slug %}">{{ row.name }}</a>
{% if row.price > 5 %}{{ row.price|floatformat:2 }}{% else %}{{ row.nothing }}{% endif %}
{% for tag in row.tags %}{{ tag|upper }}{% empty %}-{% endfor %}
{{ row.day|date:"j F Y, H:i" }} {% url 'item' slug=row.slug as there %}{{ there }}
{% endfor %}"""
JINJA2 = """{% for row in rows %}<a href="{{ url('item', row.slug) }}">{{ row.name }}</a>
{{ row.day|date("j F Y, H:i") }}{% endfor %}"""
VALUES = {
    "rows": [
        {
            "name": f"<{number}>",
            "slug": f"item-{number}",
            "price": Decimal(number) / 3,
            "tags": ["a", "b & c"] if number % 2 else [],
            "day": datetime(2026, 3, 1, 23, number, tzinfo=UTC),
        }
        for number in range(40)
    ]
}
urlpatterns = [path("items/<slug:slug>/", lambda request, slug: None, name="item")]  # type: ignore[arg-type,return-value]


def rendered(builtins: list[str] = BUILTINS) -> str:
    """Return the page; it is rendered often enough for its loops to be compiled."""
    template = Engine(builtins=builtins).from_string(SOURCE)
    pages = {template.render(Context(VALUES)) for _ in range(5)}
    assert len(pages) == 1
    return pages.pop()


def rendered_by_jinja2() -> str:
    """Return a page of the Jinja2 environment, with the same links and dates."""
    from config.jinja2 import environment

    return environment(autoescape=True).from_string(JINJA2).render(VALUES)
