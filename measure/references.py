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
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import django
from benchmarks import client, results, servers
from benchmarks.answers import visible
from benchmarks.measure import Row, WrongAnswer, sampled
from config.server import granian

VISITORS = 8  # at once: enough for all cores to have work
SAMPLE = 0.4  # seconds that a sample takes at least
STARTS = 9  # the fewest that give an interval with ALPHA
ALPHA = results.ALPHA / 12  # three pages, four references
PAGES = {"hello": "/catalogue/hello/", "count": "/catalogue/count/", "list": "/catalogue/"}
WORKERS = os.cpu_count() or 1
GENERATOR = "load generator"  # against a server that does nothing

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

    def request(self, page: str, size: int) -> bytes:
        """Prepare the request for a page of so many bytes."""
        path = f"/?{size}" if self.name == GENERATOR else PAGES[page]
        return client.request(path, cookie=self.cookie)


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
    return python, run("manage.py", "shell", "--no-imports", f"--command={seed}").split()[-1]


@contextmanager
def ready() -> Iterator[list[Side]]:
    """Make all sides: this project, stock Django in three ways, the limit, the load generator's own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="references-")))
        databases = [
            stack.enter_context(servers.scratch_database(name)) for name in ("own", "stock")
        ]
        os.environ["MAINTENANCE_URL"] = os.environ["DATABASE_URL"]
        own = servers.environment(databases[0], folder / "static")
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
            Side("this project", f"sessionid={servers.prepare(own)}", own),
            gunicorn("informed stock", WORKERS, 60),
            gunicorn("stock, a worker per core", WORKERS, 0),
            gunicorn("stock, one worker", 1, 0),
            Side("the limit", cookie, env, (*options, "measure.raw:application")),
            Side(GENERATOR, "", env, (*options, "measure.raw:idle")),
        ]


def size(page: str, ports: dict[Side, int]) -> int:
    """Check that all sides give the same page, the limit to the byte; return how long it is.

    Raises:
        WrongAnswer: they do not.
    """
    *sides, _ = ports
    given = [client.ask(ports[side], PAGES[page], cookie=side.cookie) for side in sides]
    shown = [visible(answer.status, answer.headers, answer.body) for answer in given]
    if any(one != shown[0] for one in shown) or given[-1].body != given[-2].body:
        raise WrongAnswer(f"{page} is not the same on all sides")
    return len(given[-1].body)


def pace(port: int, prepared: bytes) -> float:
    """Return the seconds per answer that a server takes for its visitors."""
    peers = [client.Peer(port) for _ in range(VISITORS)]
    least = 6 * VISITORS  # of which each thread of each process gets some
    warm = client.burst(peers, [prepared], least)[0] / least
    number = max(least, int(SAMPLE / warm))
    taken = client.burst(peers, [prepared], number)[0] / number
    for peer in peers:
        peer.close()
    return taken


def measured(sides: list[Side]) -> list[Row]:
    """Start all sides again and again, and let them take turns with each page."""
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for start in range(STARTS):
        print(f"start {start + 1} of {STARTS}", flush=True)
        with ExitStack() as stack:
            ports = {side: stack.enter_context(side.serving()).port for side in sides}
            for page in PAGES:
                length, first = size(page, ports), start % len(sides)
                for side in sides[first:] + sides[:first]:
                    sample = pace(ports[side], side.request(page, length))
                    taken[page][side.name].append(sample)
    return [row for page, samples in taken.items() for row in rows(page, samples)]


def rows(page: str, samples: dict[str, list[float]]) -> Iterator[Row]:
    """Compare this project with each of the others; what was bound by the generator says so."""
    own, *others = samples
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name in others:
        # The generator must be able to send twice what is reported, else it is what was measured.
        bound = min(medians[own], medians[name]) < 2 * medians[GENERATOR]
        yield Row(
            suite="reference",
            name=page,
            scenario=f"{VISITORS} visitors at once",
            experiment=own,
            control=name,
            error="generator-bound" if bound else "",
            dimensions={"time": sampled("s", samples[own], samples[name], ALPHA)},
        )


def main() -> None:
    """Measure all pages and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m measure.references", description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with ready() as sides:
        found = measured(sides)
        os.environ.update(sides[0].env)
        django.setup()
        known = results.conditions()
    results.save("reference", found, known, options.file.parent).replace(options.file)


if __name__ == "__main__":
    main()
