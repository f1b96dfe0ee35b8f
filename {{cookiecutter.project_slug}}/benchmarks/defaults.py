"""Each default of `speed/defaults.py` against Django's own choice, in the scenario that its row names."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict
from unittest import mock

from django.conf import settings
from django.core.cache import caches
from django.db import models
from django.db.models.fields.related_descriptors import ManyToManyDescriptor
from django.test.utils import override_settings

from benchmarks import client, servers
from benchmarks.answers import decoded, shown
from benchmarks.measure import Dimension, Row, Way, WrongAnswer, compare, figure, rounds
from benchmarks.settings import undone
from benchmarks.site import Answer, Site, counted
from speed.defaults import Default
from speed.effects import find

Dimensions = dict[str, Dimension]

# At once, where visitors come at once: enough for each process to have work, as connections that are
# kept are not spread evenly.
VISITORS = 16
DAY = 86400  # seconds
CACHED_USER = "speed.users.CachedUserMiddleware"


class Limits(TypedDict):
    """What ends the rounds of a row."""

    alpha: float
    seconds: float
    tick: Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What a scenario is measured with.

    Attributes:
        alpha: the probability that an interval misses, already divided by the number of rows.
        seconds: how long the rounds of one row may take.
        database: URL of the scratch database.
        static: folder that the project's static files were built into.
        session: session key of the signed-in visitor.
        tick: is told the share of `seconds` that has gone.
    """

    alpha: float
    seconds: float
    database: str
    static: Path
    session: str
    tick: Callable[[float], None] = lambda share: None

    def compare(
        self, ways: list[Way], same: Callable[[Any], object] = lambda given: given
    ) -> Dimensions:
        """Measure two ways of this process; `same` tells what their answers must share."""
        limits: Limits = {"alpha": self.alpha, "seconds": self.seconds, "tick": self.tick}
        return compare(*ways, same=same, **limits)

    def rounds(self, experiment: Callable[[], float], control: Callable[[], float]) -> Dimension:
        """Measure two batches, each of which times itself."""
        limits: Limits = {"alpha": self.alpha, "seconds": self.seconds, "tick": self.tick}
        return rounds(experiment, control, **limits)


@dataclass(frozen=True)
class Scenario:
    """How a row is measured, and the dimension that its default is about."""

    measure: Callable[[Lab, str], Dimensions]
    claim: str = "time"


def changes(name: str) -> dict[str, Any]:
    """Return the settings that undo a default, to lay over those of this process."""
    own = {key: getattr(settings, key) for key in dir(settings) if key.isupper()}
    return undone(name, own)


def both(count: Callable[[Way], float], ways: list[Way], unit: str = "") -> Dimension:
    """Take one figure on each side."""
    return figure(unit, *map(count, ways))


def page(path: str, lab: Lab, name: str, **headers: str) -> Dimensions:
    """Ask for a page in this process, as the signed-in visitor."""
    headers["cookie"] = lab.session
    return pages(lab, (Site(), path), (Site(**changes(name)), path), **headers)


def views(path: str, other: str, lab: Lab, name: str, *, anonymous: bool = False) -> Dimensions:
    """Ask for a page of which Django's own choice is another view."""
    cookie = "" if anonymous else lab.session
    return pages(lab, (Site(), path), (Site(), other), cookie=cookie)


def cached_user(lab: Lab, name: str) -> Dimensions:
    """Ask for a page with the line that turns the default on, and without it."""
    django, ours = "django.contrib.auth.middleware.AuthenticationMiddleware", CACHED_USER
    on = [ours if path == django else path for path in settings.MIDDLEWARE]
    off = [django if path == ours else path for path in settings.MIDDLEWARE]
    path = "/catalogue/account/"
    # For some seconds after a sign-in there is no copy.
    caches[settings.SESSION_CACHE_ALIAS].clear()
    sites = Site(MIDDLEWARE=on), Site(MIDDLEWARE=off)
    return pages(lab, *((site, path) for site in sites), cookie=lab.session)


def pages(lab: Lab, *sides: tuple[Site, str], **headers: str) -> Dimensions:
    """Ask two sites for a page each."""
    ways = [Way(partial(site.get, path, **headers), site.open) for site, path in sides]
    found = lab.compare(ways, same=shown)
    found["bytes"] = both(lambda way: len(answer(way).body), ways, "B")
    found["queries"] = both(lambda way: counted(way)[0], ways)
    found["rows"] = both(lambda way: counted(way)[1], ways)
    return found


def answer(way: Way) -> Answer:
    """Let one way give its answer."""
    with way.within():
        given = way.run()
    assert isinstance(given, Answer)
    return given


class WithDjangosInstances(Site):
    """The project whose models load their rows, and make their managers, as Django does."""

    @contextmanager
    def open(self) -> Iterator[None]:
        ours = import_module("speed.instances")
        with ExitStack() as stack:
            django = vars(models.Model)["from_db"]
            stack.enter_context(mock.patch.object(ours.Model, "from_db", django))
            for model in ours.inheriting():
                for name, one in list(vars(model).items()):
                    if isinstance(one, ours.CopyingDescriptor):
                        plain: Any = ManyToManyDescriptor(one.rel, one.reverse)
                        stack.enter_context(mock.patch.object(model, name, plain))
            stack.enter_context(super().open())
            yield


def rows_as_django(path: str, lab: Lab, name: str) -> Dimensions:
    """Ask for a page whose rows become objects in Django's way."""
    return pages(lab, (Site(), path), (WithDjangosInstances(), path), cookie=lab.session)


def second_visit(lab: Lab, name: str) -> Dimensions:
    """Ask for a page that the visitor has, and that has not changed."""
    ways = []
    kept: list[Answer] = []
    for site in (Site(), Site(**changes(name))):
        first = answer(Way(partial(site.get, "/catalogue/about/"), site.open))
        kept.append(first)
        etag = {"if_none_match": first.headers["etag"]} if "etag" in first.headers else {}
        ways.append(Way(partial(site.get, "/catalogue/about/", **etag), site.open))

    def same(given: Answer) -> object:
        return shown(kept[0] if given.status == 304 else given)

    if shown(kept[0]) != shown(kept[1]):
        raise WrongAnswer("the first visits differ")
    found = lab.compare(ways, same=same)
    found["bytes"] = both(lambda way: len(answer(way).body), ways, "B")
    return found


def cached_value(lab: Lab, name: str) -> Dimensions:
    """Read fifty rows that were cached before."""
    value = [{"pk": number, "name": f"Item {number}", "price": number / 7} for number in range(50)]

    @contextmanager
    def within(**changed: Any) -> Iterator[None]:
        with override_settings(**changed):
            caches["default"].set("rows", value, 60)
            yield

    def read() -> object:
        return caches["default"].get("rows")

    def same(given: object) -> object:
        if given != value:
            raise WrongAnswer("the cache does not give back what was put in")
        return given

    return lab.compare([Way(read, within), Way(read, partial(within, **changes(name)))], same)


@contextmanager
def two_servers(
    lab: Lab, name: str, command: tuple[str, ...] = (), static: Path | None = None
) -> Iterator[list[servers.Server]]:
    """Run the production server twice, the second time with one default undone."""
    with ExitStack() as stack:
        env = servers.environment(lab.database, lab.static)
        ours = stack.enter_context(servers.serving(env))
        env = servers.environment(lab.database, static or lab.static, UNDONE=name)
        theirs = stack.enter_context(servers.serving(env, *command))
        for side in (ours, theirs):
            side.settle()
        yield [ours, theirs]


def visits(
    lab: Lab,
    name: str,
    path: str,
    visitors: int = 1,
    command: tuple[str, ...] = (),
    *,
    connecting: bool = True,
) -> Dimensions:
    """Ask two servers for a page, over connections that stay open.

    Which thread answers is chance, and each makes a connection once: where both sides do so and no
    more, `connecting` is false, and the number of these tells nothing.
    """
    cookie = f"{settings.SESSION_COOKIE_NAME}={lab.session}"
    prepared = client.request(path, cookie=cookie)
    with two_servers(lab, name, command) as sides:
        given = [client.ask(side.port, path, cookie=cookie) for side in sides]
        if shown(given[0]) != shown(given[1]):
            raise WrongAnswer(f"{given[0].body!r:.200} is not {given[1].body!r:.200}")

        def batch(peers: list[client.Peer], number: int) -> float:
            return client.burst(peers, [prepared], number)[0] / number

        pairs = [[client.Peer(side.port) for _ in range(visitors)] for side in sides]
        made = [servers.connections_made(lab.database)]
        warm = []
        for peers in pairs:
            warm.append(batch(peers, 100))
            made.append(servers.connections_made(lab.database))
            for peer in peers:  # before the server does: they have been idle
                peer.close()
        numbers = [max(10 * visitors, int(0.05 / seconds)) for seconds in warm]
        found = {"time": lab.rounds(*map(partial, [batch, batch], pairs, numbers))}
        if connecting:
            found["connections"] = figure("", *(after - before for before, after in pairwise(made)))
        found["memory"] = figure("B", *(side.memory() for side in sides))
        for peer in (*pairs[0], *pairs[1]):
            peer.close()
        return found


def files(port: int, page: str) -> list[client.Answer]:
    """Ask for a page and then for the stylesheets, scripts and images that it names."""
    first = client.ask(port, page, accept_encoding=client.ACCEPT)
    document = decoded(first.body, first.headers.get("content-encoding", "")).decode()
    named = re.findall(r'<(?:link|script|img)\s[^>]*?(?:href|src)="(/[^"]+\.\w+)"', document)
    return [first, *(client.ask(port, path, accept_encoding=client.ACCEPT) for path in named)]


def two_visits(lab: Lab, name: str, page: str) -> Dimensions:
    """Count what a browser fetches for a page at its first visit, and what it asks for a day later."""
    static = lab.static.with_name(name.replace(" ", "-"))
    env = servers.environment(lab.database, static, UNDONE=name)
    if name == "bundles":
        servers.run("manage.py", "collectstatic", "--no-input", env=env)
    else:
        servers.run("-m", "config.build", env=env)
    (static / "staticfiles.json").touch()  # what the production server looks for
    with two_servers(lab, name, static=static) as sides:
        fetched = [files(side.port, page) for side in sides]
    pages = [shown(a) for a, *_ in fetched]
    if pages[0] != pages[1] or any(a.status != 200 for side in fetched for a in side):
        raise WrongAnswer("the pages differ, or a file is missing")
    # A day later the page is asked for again, and every file that the browser may not keep so long.
    return {
        "bytes": figure("B", *(sum(a.size for a in side) for side in fetched)),
        "requests": figure("", *(len(side) + sum(age(a) < DAY for a in side) for side in fetched)),
    }


def age(given: client.Answer) -> int:
    """Return for how many seconds a browser uses an answer without asking again."""
    found = re.search(r"max-age=(\d+)", given.headers.get("cache-control", ""))
    return int(found[1]) if found else 0


LIST = partial(page, "/catalogue/")
DEVELOPMENT = ("manage.py", "runserver", "--noreload", "127.0.0.1:PORT")

SCENARIOS = {
    # {% if cookiecutter.interface == "wsgi" %}
    "persistent connections": Scenario(partial(visits, path="/catalogue/count/")),
    "health check": Scenario(partial(visits, path="/catalogue/count/", connecting=False)),
    # {% else %}
    "connection pool": Scenario(partial(visits, path="/catalogue/count/")),
    "context switches": Scenario(partial(visits, path="/catalogue/hello/", visitors=VISITORS)),
    # {% endif %}
    "lean middleware": Scenario(partial(page, "/catalogue/hello/")),
    "redis cache": Scenario(cached_value),
    "cached sessions": Scenario(partial(page, "/catalogue/account/")),
    # {% if cookiecutter.template_engine == "jinja2" %}
    "jinja2": Scenario(LIST),
    # {% endif %}
    "cached template loader": Scenario(partial(page, "/admin/login/")),
    "whitespace": Scenario(LIST, claim="bytes"),
    "compiled urls": Scenario(LIST),
    # {% if cookiecutter.template_engine == "django" %}
    "compiled loops": Scenario(LIST),
    # {% endif %}
    "prepared formats": Scenario(LIST),
    "model instances": Scenario(partial(rows_as_django, "/catalogue/")),
    "N+1 guard": Scenario(
        partial(views, "/catalogue/kept/guarded/", "/catalogue/kept/forgotten/"), claim="queries"
    ),
    "cached user": Scenario(cached_user),
    "two-tier cache": Scenario(partial(page, "/catalogue/kept/fragment/")),
    "fragments": Scenario(partial(views, "/catalogue/kept/rows/", "/catalogue/")),
    "page cache": Scenario(
        partial(views, "/catalogue/kept/about/", "/catalogue/kept/by-django/", anonymous=True)
    ),
    "compression": Scenario(partial(LIST, accept_encoding=client.ACCEPT), claim="bytes"),
    "conditional GET": Scenario(second_visit, claim="bytes"),
    "static files": Scenario(partial(two_visits, page="/admin/login/"), claim="bytes"),
    "bundles": Scenario(partial(two_visits, page="/"), claim="requests"),
    "translation off": Scenario(LIST),
    "server": Scenario(
        partial(visits, path="/catalogue/count/", visitors=VISITORS, command=DEVELOPMENT)
    ),
}


def measured(default: Default, lab: Lab) -> Row:
    """Measure one row; a wrong answer leaves it without a figure."""
    scenario = SCENARIOS[default.name]
    row = Row(
        suite="defaults",
        name=default.name,
        scenario=default.scenario,
        experiment="with the default",
        control=default.django,
        claim=scenario.claim,
        says=default.buys,
    )
    holds, show = find(default)
    if holds is False:
        row.note = f"This project has undone it, so there is nothing to find: {show()}."
    try:
        row.dimensions = scenario.measure(lab, default.name)
    except WrongAnswer as error:
        row.error = f"Wrong answer: {error}"
    except (Exception, SystemExit) as error:  # the other rows can still be measured
        row.error = f"{type(error).__name__}: {error}"
    return row
