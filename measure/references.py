"""A project's pages against stock Django and against the limit: all sides take turns in one run.

    python -m measure.references FILE

Runs in a generated project with the answers wsgi and granian: with its interpreter, its services, its
group `bench`, and this repository on PYTHONPATH. Stock is what `django-admin startproject` makes, with
nothing changed but what `UNAVOIDABLE` says, under gunicorn; the limit is `measure.raw` under the
project's own server. The versions of Python, Django, psycopg and PostgreSQL are the project's.

Two processes of one program can differ by some percent for as long as they live. So all servers are
started again and again, and a start gives one sample.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import django
from benchmarks import client, results, servers
from benchmarks.answers import visible
from benchmarks.measure import Row, WrongAnswer, figure, sampled
from config.server import granian

VISITORS = 16  # at once: each process has work, though kept connections are not spread evenly
SAMPLE = 0.4  # seconds that a sample takes at least, and
FEWEST = 4 * VISITORS  # answers
WARM = 10 * VISITORS  # lists: until then a server with several threads gets faster
STRANGERS = 4000  # more than ask within a sample
STARTS = 10  # the fewest that give an interval with ALPHA
ALPHA = results.ALPHA / 21  # comparisons: 20 of pages, 1 of what expires
WORKERS = os.cpu_count() or 1
OWN = "this project"
EXPIRY = "the slowest of 100 answers, of a page that expires each second"
LIMIT = "the limit"
GENERATOR = "load generator"  # against a server that does nothing


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that all sides have.

    Attributes:
        path: of the page in plain Django.
        own: its path in this project, where it uses what `speed` has and Django has not.
        anonymous: whether the visitors are strangers, each with other cookies of no concern to the
            page, and one in ten with a parameter that it does not know.
        beside: further pages of this project, by what they are.
    """

    path: str
    own: str = ""
    anonymous: bool = False
    beside: dict[str, str] = field(default_factory=dict)


PAGES = {
    "hello": Page(path="/catalogue/hello/"),
    "count": Page(path="/catalogue/count/"),
    "list": Page(path="/catalogue/"),
    "list, in a fragment": Page(path="/catalogue/", own="/catalogue/kept/fragment/"),
    "list for anybody, kept": Page(
        path="/catalogue/about/",
        own="/catalogue/kept/about/",
        anonymous=True,
        beside={
            "its hello": "/catalogue/hello/",
            "Django's cache_page": "/catalogue/kept/by-django/",
        },
    ),
}

# A page that lives for a second, asked for by a crowd while it expires again and again.
EXPIRING = {OWN: "/catalogue/kept/expiring/", "Django's cache_page": "/catalogue/kept/by-django/1/"}
CROWD = 64  # visitors at once
EXPIRIES = 3  # seconds

UNAVOIDABLE = {
    "stock/settings.py": """
import os
from urllib.parse import urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
DATABASES["default"] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": url.path.strip("/"),
    "USER": url.username,
    "PASSWORD": url.password,
    "HOST": url.hostname,
    "PORT": url.port,
    "CONN_MAX_AGE": int(os.environ["AGE"]),
}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS += ["benchmarks.workload"]
""",
    "stock/urls.py": """
from django.urls import include
from benchmarks.workload.views import hello

urlpatterns += [
    path("catalogue/", include("benchmarks.workload.urls")),
    path("health/live/", hello),
]
""",
}


@dataclass(frozen=True, eq=False)
class Side:
    """A server to start, and the cookie of its visitor."""

    name: str
    cookie: str
    env: dict[str, str]
    command: tuple[str, ...] = ()
    project: Path = servers.PROJECT
    python: str = sys.executable

    def serving(self) -> AbstractContextManager[servers.Server]:
        """Start it."""
        return servers.serving(self.env, *self.command, project=self.project, python=self.python)


@dataclass(frozen=True)
class Contender:
    """A page of a server, and what its visitors send."""

    side: Side
    path: str
    anonymous: bool = False

    def requests(self) -> list[bytes]:
        """Prepare the requests of its visitors."""
        request = partial(client.request, accept_encoding=client.ACCEPT)
        if not self.anonymous:
            return [request(self.path, cookie=self.side.cookie)]
        seen = uuid4().hex  # no value of the parameter was there before
        return [
            request(
                f"{self.path}?click={seen}-{visitor}" if visitor % 10 == 0 else self.path,
                cookie=f"theme=dark; _ga=GA1.1.{visitor}.{visitor}",
            )
            for visitor in range(STRANGERS)
        ]

    def ask(self, port: int, **headers: str) -> client.Answer:
        """Ask once."""
        cookie = "theme=dark" if self.anonymous else self.side.cookie
        return client.ask(port, self.path, cookie=cookie, **headers)


def contenders(page: Page, sides: list[Side]) -> dict[str, Contender]:
    """Return who is measured with a page: this project first, the load generator last."""
    own, *stock, limit, generator = sides
    found = {OWN: Contender(own, page.own or page.path, page.anonymous)}
    found |= {side.name: Contender(side, page.path, page.anonymous) for side in stock}
    found |= {name: Contender(own, path, page.anonymous) for name, path in page.beside.items()}
    if not page.own:
        found[LIMIT] = Contender(limit, page.path)
    return found | {GENERATOR: Contender(generator, "/")}


def startproject(folder: Path, env: dict[str, str]) -> tuple[str, str]:
    """Make the stock project with its tables; return its interpreter and a session key."""
    uv = os.environ.get("UV") or shutil.which("uv")
    python = str(folder / ".venv/bin/python")
    packages = [f"{name}=={version(name)}" for name in ("django", "psycopg", "psycopg-binary")]
    for command in (
        ["venv", "--python", sys.executable, str(folder / ".venv")],
        ["pip", "install", "--python", python, *packages, "gunicorn>=27,<28"],
    ):
        subprocess.run([str(uv), "--quiet", *command], check=True)
    run = partial(servers.run, env=env, project=folder, python=python)
    run("-m", "django", "startproject", "stock", ".")
    for name, text in UNAVOIDABLE.items():
        with (folder / name).open("a") as file:
            file.write(text)
    shutil.copytree(servers.PROJECT / "benchmarks/workload", folder / "benchmarks/workload")
    run("manage.py", "migrate", "--run-syncdb", "--verbosity=0")
    seed = "from benchmarks.workload.data import seed; print(seed())"
    session = run("manage.py", "shell", "--no-imports", f"--command={seed}").split()[-1]
    servers.vacuum(env["DATABASE_URL"])
    return python, session


@contextmanager
def ready() -> Iterator[list[Side]]:
    """Make all sides: this project, stock Django in three ways, the limit, the generator's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="references-")))
        databases = [
            stack.enter_context(servers.scratch_database(name)) for name in ("own", "stock")
        ]
        os.environ["MAINTENANCE_URL"] = os.environ["DATABASE_URL"]
        own = servers.environment(databases[0], folder / "static")
        os.environ.update(own)  # its settings tell how its server is started
        env = own | {"DATABASE_URL": databases[1], "DJANGO_SETTINGS_MODULE": "stock.settings"}
        stock = folder / "stock"
        python, session = startproject(stock, env | {"AGE": "0"})
        cookie = f"sessionid={session}"

        def gunicorn(name: str, workers: int, age: int) -> Side:
            options = ("--bind=127.0.0.1:PORT", f"--workers={workers}", "--no-control-socket")
            command = ("-m", "gunicorn", *options, "stock.wsgi")
            return Side(name, cookie, env | {"AGE": str(age)}, command, stock, python)

        # The project's own options, of which the first three name what it serves.
        options = ("-m", "granian", *granian("127.0.0.1", "PORT", WORKERS)[3:])
        yield [
            Side(OWN, f"sessionid={servers.prepare(own)}", own),
            gunicorn("informed stock", WORKERS, 60),
            gunicorn("stock, a worker per core", WORKERS, 0),
            gunicorn("stock, one worker", 1, 0),
            Side(LIMIT, cookie, env, (*options, "measure.raw:application")),
            Side(GENERATOR, "", env, (*options, "measure.raw:idle")),
        ]


def shown(page: Page, found: dict[str, Contender], ports: dict[Side, int]) -> dict[str, int]:
    """Check that all give the same page, the limit to the byte.

    Returns:
        How many bytes of body a browser gets from each.

    Raises:
        WrongAnswer: they do not.
    """
    sizes: dict[str, int] = {}
    seen: dict[str, object] = {}
    plain = b""
    for name, one in found.items():
        if name == GENERATOR or (one.path != page.path and one.path == PAGES["hello"].path):
            continue
        answer = one.ask(ports[one.side], accept_encoding=client.ACCEPT)
        seen[name] = visible(answer.status, answer.headers, answer.body)
        sizes[name] = len(answer.body)
        if name == LIMIT and answer.body != plain:
            raise WrongAnswer(f"{page.path} of the limit is not stock's to the byte")
        plain = answer.body
    if any(one != seen[OWN] for one in seen.values()):
        raise WrongAnswer(f"{page.path} is not the same on all sides")
    return sizes | {GENERATOR: len(plain)}


def pace(port: int, one: Contender, before: int) -> float:
    """Return the seconds per answer that a server takes for its visitors, after `before` answers."""
    peers = [client.Peer(port) for _ in range(VISITORS)]
    warm = client.burst(peers, one.requests(), before)[0] / before
    number = max(FEWEST, int(SAMPLE / warm))
    taken = client.burst(peers, one.requests(), number)[0] / number
    for peer in peers:
        peer.close()
    return taken


def slowest(port: int, path: str) -> float:
    """Return the seconds that 99 of 100 answers stay below while a page expires for a crowd."""
    peers = [client.Peer(port) for _ in range(CROWD)]
    prepared = [client.request(path, accept_encoding=client.ACCEPT)]
    answers = 20 * CROWD
    warm = client.burst(peers, prepared, answers)[0] / answers
    _, *taken = client.burst(peers, prepared, int(EXPIRIES / warm))
    for peer in peers:
        peer.close()
    return statistics.quantiles(taken, n=100)[-1]


def measured(sides: list[Side]) -> list[Row]:
    """Start all sides again and again, and let them take turns with each page."""
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, dict[str, int]] = {}
    late: dict[str, list[float]] = {name: [] for name in EXPIRING}
    for start in range(STARTS):
        print(f"start {start + 1} of {STARTS}", flush=True)
        with ExitStack() as stack:
            running = {side: stack.enter_context(side.serving()) for side in sides}
            for server in running.values():
                server.settle()
            ports = {side: server.port for side, server in running.items()}
            for title, page in PAGES.items():
                found = contenders(page, sides)
                sizes[title] = shown(page, found, ports)
                turns, first = [*found], start % len(found)
                for name in turns[first:] + turns[:first]:
                    one = found[name]
                    if name == GENERATOR:
                        one = replace(one, path=f"/?{sizes[title][GENERATOR]}")
                    before = WARM if title == "list" else FEWEST
                    taken[title][name].append(pace(ports[one.side], one, before))
            for name, path in EXPIRING.items():
                late[name].append(slowest(ports[sides[0]], path))
    expiry = Row(
        suite="reference",
        name=EXPIRY,
        scenario=f"{CROWD} visitors at once",
        experiment=OWN,
        control="Django's cache_page",
        dimensions={"time": sampled("s", *late.values(), ALPHA)},
    )
    return [row for title in PAGES for row in rows(title, taken[title], sizes[title])] + [expiry]


def rows(title: str, samples: dict[str, list[float]], sizes: dict[str, int]) -> Iterator[Row]:
    """Compare this project with each of the others; what was bound by the generator says so."""
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name in samples:
        if name == OWN:
            continue
        # The generator must be able to send twice what is reported, else it is what was measured.
        bound = min(medians[OWN], medians[name]) < 2 * medians[GENERATOR]
        row = Row(
            suite="reference",
            name=title,
            scenario=f"{VISITORS} visitors at once",
            experiment=OWN,
            control=name,
            error="generator-bound" if bound else "",
            dimensions={"time": sampled("s", samples[OWN], samples[name], ALPHA)},
        )
        if name in sizes and name != GENERATOR:
            row.dimensions["bytes"] = figure("B", sizes[OWN], sizes[name])
        yield row


def main() -> None:
    """Measure all pages and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m measure.references", description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with ready() as sides:
        found = measured(sides)
        django.setup()
        known = results.conditions()
    results.save("reference", found, known, options.file.parent).replace(options.file)


if __name__ == "__main__":
    main()
