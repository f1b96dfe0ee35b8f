"""Each default of djfast.rows against Django's own choice, in the scenario that its row names."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from django.conf import settings
from django.core.cache import caches
from django.test.utils import override_settings

from djfast_bench import client, projects, servers
from djfast_bench.responses import Response, decompress, shown
from djfast_bench.site import Site, count_queries
from djfast_bench.timing import (
    Dimension,
    Measurement,
    Variant,
    WrongResponse,
    compare_variants,
    interleave,
)

if TYPE_CHECKING:  # a project may have no djfast, or another version
    from djfast.rows import Row

Dimensions = dict[str, Dimension]

# Concurrent visitors: enough to keep each process busy, since persistent connections are not spread
# evenly over processes.
VISITORS = 16
DAY = 86400  # seconds
REVERTED = ("reverted", "inactive", "your choice")  # states in which a row has no effect to measure


class Limits(TypedDict):
    """What ends the rounds of a comparison; arguments of `interleave`."""

    alpha: float
    seconds: float
    tick: Callable[[float], None]


class Lab(NamedTuple):
    """What a scenario needs.

    Attributes:
        database: URL of the scratch database.
        maintenance: URL of the project's own database, on the same server.
        static: folder of the project's static files, already built.
        cookie: value of the Cookie header of the signed-in visitor.
    """

    database: str
    maintenance: str
    static: Path
    cookie: str


Scenario = Callable[["Row", Lab, Limits], Dimensions]


def current_settings() -> dict[str, Any]:
    """Return all settings of this process, Django's defaults included."""
    return {name: getattr(settings, name) for name in dir(settings) if name.isupper()}


def sites(row: "Row") -> tuple[Site, Site]:
    """Return the project with a default, turned on if it is an opt-in, and with Django's choice."""
    now = current_settings()
    return Site(**row.enable(now)), Site(**row.revert(now))


def same_page(
    row: "Row", lab: Lab, limits: Limits, *, path: str, other: str = "", **headers: str
) -> Dimensions:
    """Request a page in this process, as the signed-in visitor unless `headers` has a cookie.

    Args:
        row: the default.
        lab: what it is measured with.
        limits: what ends the rounds.
        path: of the page with the default.
        other: of the page with Django's choice, if that is another view.
        headers: of the requests.
    """
    headers = {"cookie": lab.cookie, **headers}
    variants = [
        Variant(partial(site.get, page, **headers), site.open)
        for site, page in zip(sites(row), (path, other or path), strict=True)
    ]
    found = compare_variants(*variants, same=shown, **limits)
    counts = [(*count_queries(variant), len(respond(variant).body)) for variant in variants]
    for name, unit, new, old in zip(
        ("queries", "rows", "bytes"), ("", "", "B"), *counts, strict=True
    ):
        found[name] = Dimension.constant(unit, new, old)
    return found


def respond(variant: Variant) -> Response:
    """Run a variant once."""
    with variant.context():
        response = variant.run()
    assert isinstance(response, Response)
    return response


def second_visit(row: "Row", lab: Lab, limits: Limits, *, path: str) -> Dimensions:
    """Request a page that the visitor already has and that has not changed."""
    first: list[Response] = []
    variants = []
    for site in sites(row):
        first.append(respond(Variant(partial(site.get, path), site.open)))
        etag = first[-1].headers.get("etag", "")
        variants.append(Variant(partial(site.get, path, if_none_match=etag), site.open))
    if shown(first[0]) != shown(first[1]):
        raise WrongResponse("the first visits differ")

    def same(response: Response) -> object:
        return shown(first[0] if response.status == 304 else response)

    found = compare_variants(*variants, same=same, **limits)
    sizes = [len(respond(variant).body) for variant in variants]
    return found | {"bytes": Dimension.constant("B", *sizes)}


def cached_value(row: "Row", lab: Lab, limits: Limits) -> Dimensions:
    """Read fifty rows from the cache."""
    value = [{"pk": number, "name": f"Item {number}", "price": number / 7} for number in range(50)]

    @contextmanager
    def filled(overrides: dict[str, Any]) -> Iterator[None]:
        with override_settings(**overrides):
            caches["default"].set("rows", value, 60)
            yield

    def read() -> object:
        return caches["default"].get("rows")

    def same(given: object) -> object:
        if given != value:
            raise WrongResponse("the cache does not return what was stored")
        return given

    now = current_settings()
    variants = [Variant(read, partial(filled, o)) for o in (row.enable(now), row.revert(now))]
    return compare_variants(*variants, same=same, **limits)


@contextmanager
def two_servers(
    row: "Row", lab: Lab, *command: str, static: Path | None = None
) -> Iterator[list[servers.ServerProcess]]:
    """Run the production server twice, the second time with a default reverted.

    Args:
        row: the default.
        lab: what it is measured with.
        command: arguments of Python that run the second server; empty: the project's server too.
        static: folder of the second server's static files, if it needs its own.
    """
    with ExitStack() as stack:
        env = servers.environment(lab.database, lab.static)
        experiment = stack.enter_context(servers.serving(env))
        env = servers.environment(lab.database, static or lab.static, BENCH_REVERT=row.name)
        control = stack.enter_context(servers.serving(env, *command))
        for side in (experiment, control):
            side.settle()
        yield [experiment, control]


def served_page(
    row: "Row",
    lab: Lab,
    limits: Limits,
    *,
    path: str,
    visitors: int = 1,
    command: tuple[str, ...] = (),
) -> Dimensions:
    """Request a page from two servers, over persistent HTTP connections.

    Args:
        row: the default.
        lab: what it is measured with.
        limits: what ends the rounds.
        path: of the page.
        visitors: number of concurrent requests.
        command: of the second server; see `two_servers`.
    """
    prepared = client.build_request(path, cookie=lab.cookie)

    def batch(connections: list[client.KeepAliveConnection], number: int) -> float:
        return client.burst(connections, [prepared], number)[0] / number

    with two_servers(row, lab, *command) as sides, ExitStack() as stack:
        given = [client.get(side.port, path, cookie=lab.cookie) for side in sides]
        if shown(given[0]) != shown(given[1]):
            raise WrongResponse(f"{given[0].body!r:.200} is not {given[1].body!r:.200}")
        pairs = [[client.KeepAliveConnection(side.port) for _ in range(visitors)] for side in sides]
        for connection in (*pairs[0], *pairs[1]):
            stack.callback(connection.close)
        made = [database_connections(lab)]
        warm = []
        for connections in pairs:
            warm.append(batch(connections, 100))
            made.append(database_connections(lab))
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


def database_connections(lab: Lab) -> int:
    """Return how many connections to the scratch database have been made."""
    time.sleep(1.1)  # seconds: a PostgreSQL process updates its statistics once a second at most
    return servers.connections_made([lab.database], lab.maintenance)[0]


def two_visits(
    row: "Row", lab: Lab, limits: Limits, *, path: str, bundled: bool = True
) -> Dimensions:
    """Count what a browser fetches for a page at its first visit, and again a day later.

    Args:
        row: the default.
        lab: what it is measured with.
        limits: not used, as nothing is timed.
        path: of the page.
        bundled: whether the project without the default still builds bundles.
    """
    static = lab.static.with_name(row.id)
    env = servers.environment(lab.database, static, BENCH_REVERT=row.name)
    build = projects.build_command(servers.HERE) if bundled else projects.COLLECT
    servers.run_python(*build, env=env)
    (static / "staticfiles.json").touch()  # the production server expects it
    with two_servers(row, lab, static=static) as sides:
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


LIST = "/catalogue/"
RUNSERVER = ("-m", "django", "runserver", "--noreload", "127.0.0.1:PORT")

# By the scenario that rows name.
SCENARIOS: dict[str, Scenario] = {
    "a page without a query": partial(served_page, path="/catalogue/hello/", visitors=VISITORS),
    "a page with one query": partial(served_page, path="/catalogue/count/"),
    "concurrent visitors": partial(
        served_page, path="/catalogue/count/", visitors=VISITORS, command=RUNSERVER
    ),
    "a value read from the cache": cached_value,
    "a page that shows the name of the signed-in user": partial(
        same_page, path="/catalogue/account/"
    ),
    "the sign-in page of the admin": partial(same_page, path="/admin/login/"),
    "a list page of 50 rows": partial(same_page, path=LIST),
    "a list page of 50 rows, sent to a browser": partial(
        same_page, path=LIST, accept_encoding=client.ACCEPT
    ),
    "a list page of 50 rows, cached as a fragment": partial(
        same_page, path="/catalogue/cached/fragment/"
    ),
    "a list page of 50 rows, none of them changed": partial(
        same_page, path="/catalogue/cached/rows/", other=LIST
    ),
    "a list page of 50 rows for anonymous visitors": partial(
        same_page,
        path="/catalogue/cached/page/",
        other="/catalogue/cached/django-page/",
        cookie="",
    ),
    "a list of 50 rows whose view omits select_related": partial(
        same_page, path="/catalogue/n-plus-one/guarded/", other="/catalogue/n-plus-one/forgotten/"
    ),
    "a second visit": partial(second_visit, path="/catalogue/about/"),
    "the sign-in page of the admin, and again a day later": partial(
        two_visits, path="/admin/login/"
    ),
    "the home page, and again a day later": partial(two_visits, path="/", bundled=False),
}


def measure_row(row: "Row", lab: Lab, limits: Limits) -> Measurement:
    """Measure one default; a wrong response leaves it without figures."""
    found = Measurement(
        suite="defaults",
        name=row.name,
        scenario=row.scenario,
        experiment="with the default",
        control=row.django,
        claim=row.claim,
        benefit=row.benefit,
    )
    try:
        state, evidence = row.finding()
        if state in REVERTED:
            found.note = (
                f"This project has reverted it, so no difference is expected: {evidence()}."
            )
        if row.scenario not in SCENARIOS:
            raise LookupError(f"this version of djfast-bench has no scenario {row.scenario!r}")
        found.dimensions = SCENARIOS[row.scenario](row, lab, limits)
    except WrongResponse as error:
        found.error = f"Wrong response: {error}"
    except (Exception, SystemExit) as error:  # the other rows can still be measured
        found.error = f"{type(error).__name__}: {error}"
    return found
