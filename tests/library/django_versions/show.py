"""Print, as JSON, what the installed Django and the engine make of the app `shop`.

    DJANGO_SETTINGS_MODULE=shop.settings ENGINE=true|false python show.py

Keys: the release of Django; by module, whether it is active and what differs from its fingerprints; the
messages of the checks about inactive modules; the page under ASGI and the attributes of all rows; what the modules
did for them.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import django

django.setup()

from django.core.checks import run_checks  # noqa: E402
from django.db import connection  # noqa: E402
from djfast import engine  # noqa: E402
from djfast.engine.handler import get_asgi_application  # noqa: E402
from shop.models import Category, Item, Tag  # noqa: E402


def fill() -> None:
    """Create the tables and their rows."""
    with connection.schema_editor() as editor:
        for model in (Category, Tag, Item):
            editor.create_model(model)
    categories = Category.objects.bulk_create(Category(name=f"category {n}") for n in range(3))
    tags = Tag.objects.bulk_create(Tag(name=f"tag <{n}>") for n in range(4))
    start = datetime(2026, 11, 30, tzinfo=UTC)
    for n in range(130):
        item = Item.objects.create(
            name=f"item & {n}",
            price=Decimal(n) / 7,
            published=start + timedelta(hours=n),
            category=categories[n % 3] if n % 4 else None,
        )
        item.tags.set(tags[: n % 5])


def page() -> str:
    """Return the response to a request under ASGI."""
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": b""}])

    async def receive() -> Any:
        if (message := next(messages, None)) is None:
            await asyncio.Event().wait()
        return message

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b""}
    handler: Any = get_asgi_application()
    asyncio.run(handler(scope | {"headers": [(b"host", b"testserver")]}, receive, send))
    return str(sent[0]["status"]) + b"".join(part.get("body", b"") for part in sent).decode()


def attributes() -> list[str]:
    """Return all attributes of all rows, and those of their state that the N+1 guard does not set."""
    found = []
    for model in (Category, Tag, Item):
        for row in model.objects.order_by("pk"):
            values = vars(row) | {"_state": (row._state.adding, row._state.db)}
            found.append(repr(values))
    return found


USED = ("urls", "loops", "formats", "instances")

fill()
messages = [message for message in run_checks(tags=["speed"]) if "inactive" in message.msg]
print(
    json.dumps(
        {
            "django": django.get_version(),
            "active": {module: engine.active(module) for module in engine.MODULES},
            "changed": {name: found for name in engine.MODULES if (found := engine.changed(name))},
            "infos": [[message.level, message.id] for message in messages],
            "output": [page(), *attributes()],
            "evidence": {name: getattr(engine, name).evidence() for name in USED},
        }
    )
)
