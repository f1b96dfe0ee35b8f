"""Views whose connections do not come back by themselves."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

OPEN = 30  # seconds that a stream stays idle


def count(request: HttpRequest) -> HttpResponse:
    """Make one query."""
    return HttpResponse(str(get_user_model().objects.count()))


def threads(request: HttpRequest) -> HttpResponse:
    """Make queries in threads of the view's own."""
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: get_user_model().objects.count(), range(4)))
    return HttpResponse(str(counts))


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Make a query in the view and another in the stream, then stay idle."""
    first = await get_user_model().objects.acount()

    async def pieces() -> AsyncIterator[str]:
        yield f"{first} {await get_user_model().objects.acount()}\n"
        await asyncio.sleep(OPEN)

    return StreamingHttpResponse(pieces(), content_type="text/event-stream")


async def rows(request: HttpRequest) -> StreamingHttpResponse:
    """Stream rows from a server-side cursor, which must not lose its connection."""

    async def pieces() -> AsyncIterator[str]:
        async for user in get_user_model().objects.order_by("pk").aiterator(chunk_size=2):
            yield f"{user.pk}\n"

    return StreamingHttpResponse(pieces())


async def waiting(request: HttpRequest) -> HttpResponse:
    """Make a query, then wait for something else."""
    users = await get_user_model().objects.acount()
    await asyncio.sleep(4)
    return HttpResponse(str(users))


def locked(request: HttpRequest) -> HttpResponse:
    """Fail in a transaction."""
    with transaction.atomic():
        get_user_model().objects.count()
        raise ZeroDivisionError


urlpatterns = [
    path(f"{view.__name__}/", view) for view in (count, locked, rows, stream, threads, waiting)
]
