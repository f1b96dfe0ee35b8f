"""Scenarios of defaults that need two production servers."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from djfast_bench import client, projects, servers
from djfast_bench.fixture import Dimensions, Fixture, Limits
from djfast_bench.responses import Response, decompress, shown
from djfast_bench.timing import Dimension, WrongResponse, interleave

if TYPE_CHECKING:
    from djfast.rows import Row

DAY = 86400  # seconds


@contextmanager
def two_servers(
    row: "Row", fixture: Fixture, *command: str, static: Path | None = None
) -> Iterator[list[servers.ServerProcess]]:
    """Run the production server twice, the second time with a default reverted.

    Args:
        row: the default.
        fixture: what it is measured with.
        command: arguments of Python that run the second server; empty: the project's server too.
        static: folder of the second server's static files, if it needs its own.
    """
    with ExitStack() as stack:
        env = servers.environment(fixture.database, fixture.static)
        experiment = stack.enter_context(servers.serving(env))
        env = servers.environment(fixture.database, static or fixture.static, BENCH_REVERT=row.name)
        control = stack.enter_context(servers.serving(env, *command))
        for side in (experiment, control):
            side.settle()
        yield [experiment, control]


def served_page(
    row: "Row",
    fixture: Fixture,
    limits: Limits,
    *,
    path: str,
    visitors: int = 1,
    command: tuple[str, ...] = (),
) -> Dimensions:
    """Request a page from two servers, over persistent HTTP connections.

    Args:
        row: the default.
        fixture: what it is measured with.
        limits: what ends the rounds.
        path: of the page.
        visitors: number of concurrent requests.
        command: of the second server; see `two_servers`.
    """
    prepared = client.build_request(path, cookie=fixture.cookie)

    def batch(connections: list[client.KeepAliveConnection], number: int) -> float:
        return client.burst(connections, [prepared], number)[0] / number

    with two_servers(row, fixture, *command) as sides, ExitStack() as stack:
        given = [client.get(side.port, path, cookie=fixture.cookie) for side in sides]
        if shown(given[0]) != shown(given[1]):
            raise WrongResponse(f"{given[0].body!r:.200} is not {given[1].body!r:.200}")
        pairs = [[client.KeepAliveConnection(side.port) for _ in range(visitors)] for side in sides]
        for connection in (*pairs[0], *pairs[1]):
            stack.callback(connection.close)
        made = [database_connections(fixture)]
        warm = []
        for connections in pairs:
            warm.append(batch(connections, 100))
            made.append(database_connections(fixture))
            for connection in connections:  # idle from now on: close them before the server does
                connection.close()
        numbers = [max(10 * visitors, int(0.05 / seconds)) for seconds in warm]
        batches = [partial(batch, *one) for one in zip(pairs, numbers, strict=True)]
        found = {"time": interleave(*batches, **limits)}
        # Where both sides use persistent connections, their number depends on which threads respond.
        if row.group == "settings":
            found["connections"] = Dimension.constant("", *(b - a for a, b in pairwise(made)))
        found["memory"] = Dimension.constant("B", *(side.memory() for side in sides))
        return found


def database_connections(fixture: Fixture) -> int:
    """Return how many connections to the scratch database have been made."""
    time.sleep(1.1)  # seconds: a PostgreSQL process updates its statistics once a second at most
    return servers.connections_made([fixture.database], fixture.maintenance)[0]


def two_visits(
    row: "Row", fixture: Fixture, limits: Limits, *, path: str, bundled: bool = True
) -> Dimensions:
    """Count what a browser fetches for a page at its first visit, and again a day later.

    Args:
        row: the default.
        fixture: what it is measured with.
        limits: not used, as nothing is timed.
        path: of the page.
        bundled: whether the project without the default still builds bundles.
    """
    static = fixture.static.with_name(row.id)
    env = servers.environment(fixture.database, static, BENCH_REVERT=row.name)
    build = projects.build_command(servers.HERE) if bundled else projects.COLLECT
    servers.run_python(*build, env=env)
    (static / "staticfiles.json").touch()  # the production server expects it
    with two_servers(row, fixture, static=static) as sides:
        fetched = [page_and_files(side.port, path) for side in sides]
    pages = [shown(page) for page, *_ in fetched]
    if pages[0] != pages[1] or any(one.status != 200 for side in fetched for one in side):
        raise WrongResponse("the pages differ, or a file is missing")
    # A day later, the page and each file with a shorter lifetime are requested again.
    requests = [len(side) + sum(max_age(one) < DAY for one in side) for side in fetched]
    return {
        "bytes": Dimension.constant("B", *(sum(one.size for one in side) for side in fetched)),
        "requests": Dimension.constant("", *requests),
    }


def page_and_files(port: int, path: str) -> list[Response]:
    """Request a page, then the stylesheets, scripts and images that it names."""
    page = client.get(port, path, accept_encoding=client.ACCEPT)
    document = decompress(page.body, page.headers.get("content-encoding", "")).decode()
    named = re.findall(r'<(?:link|script|img)\s[^>]*?(?:href|src)="(/[^"]+\.\w+)"', document)
    return [page, *(client.get(port, file, accept_encoding=client.ACCEPT) for file in named)]


def max_age(response: Response) -> int:
    """Return for how many seconds a browser uses a response without a new request."""
    found = re.search(r"max-age=(\d+)", response.headers.get("cache-control", ""))
    return int(found[1]) if found else 0
