"""What visitors notice when something around a project breaks, on servers that really break.

Each project is tested as a copy with a PostgreSQL and a Valkey of its own, so that ending them hurts
nobody. `PROJECT=path pytest tests/faults/test_outages.py` tests that project instead of new ones.
"""

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import psutil
import psycopg
import pytest
import redis

WORKERS = 2
PROBE = 3  # seconds: the limit of /health/ready/, 2, and a busy machine
PAGE_WITHOUT_CACHE = 3  # seconds: a session is read and written back, 0.5 each, on a busy machine
PAGE_WITHOUT_DATABASE = 8  # seconds: a page waits 5 for a connection
STOP = 10  # seconds until a server that nobody uses has ended
GIVE_UP = 40  # seconds until it has, although a request hangs
QUIET = 65  # seconds
PASSWORD = "hunter2"  # in an address that cannot be read: must not be printed

Run = Callable[..., str]
Saw = Callable[[str, float], None]

INTERFACES = ["wsgi", "asgi"]
SERVERS = ["granian", "gunicorn"]
PROJECTS = [{"interface": i, "server": s} for i in INTERFACES for s in SERVERS]
if "PROJECT" in os.environ:
    PROJECTS = [{"path": os.environ["PROJECT"]}]


def case(answers: dict[str, str]) -> Any:
    """Return a parameter whose tests stay on one process of pytest-xdist: they share servers."""
    name = "-".join(answers.values())
    return pytest.param(answers, id=name, marks=pytest.mark.xdist_group(f"outages-{name}"))


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Site:
    """A production server that runs."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(
        self, path: str, *, cookie: str = "", form: dict[str, str] | None = None, **headers: str
    ) -> Answer:
        """Request `path`, or post `form` to it; `x_a="b"` becomes the header `x-a: b`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie:
            named["cookie"] = cookie
        if form:
            named["content-type"] = "application/x-www-form-urlencoded"
        start = time.monotonic()
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            peer.request("POST" if form else "GET", path, form and urlencode(form), named)
            answer = peer.getresponse()
            body = answer.read()
            return Answer(answer.status, answer.headers, body, time.monotonic() - start)
        finally:
            peer.close()

    def crowd(self, path: str, cookie: str, times: int = 60) -> set[int]:
        """Request `path` from many visitors at once; return the statuses they saw."""
        with ThreadPoolExecutor(20) as visitors:
            answers = visitors.map(lambda _: self.ask(path, cookie=cookie), range(times))
            return {answer.status for answer in answers}

    def pages(self, cookie: str = "") -> dict[str, Answer]:
        """Request every page and file that links lead to from the home page and the admin."""
        found: dict[str, Answer] = {}
        paths = ["/", "/admin/", "/no/such/page/"]
        while paths and len(found) < 40:
            path = paths.pop(0)
            if path in found:
                continue
            found[path] = self.ask(path, cookie=cookie)
            text = found[path].body.decode(errors="replace")
            links = re.findall(r'(?:href|src)="([^"?#:]+)', text)
            links.append(found[path].headers.get("location", path).partition("?")[0])
            paths += [urljoin(path, link) for link in links]
        return found

    def sign_in(self) -> str:
        """Sign in through the admin's form; return the cookies of the session."""
        form = self.ask("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.body.decode())[1]
        answer = self.ask(
            "/admin/login/?next=/admin/",
            cookie=cookies(form),
            form={"csrfmiddlewaretoken": token, "username": "visitor", "password": "visitor"},
        )
        assert answer.status == 302, answer.body.decode()
        return cookies(answer)

    def ready(self) -> tuple[int, dict[str, str]]:
        """Ask whether the server is ready; return the status and the states."""
        answer = self.ask("/health/ready/")
        assert answer.seconds < PROBE
        return answer.status, json.loads(answer.body)

    def workers(self) -> set[int]:
        """Return the process ids that answer requests."""
        pids = set()
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # ended just now
                if "resource_tracker" not in str(child.cmdline()):
                    pids.add(child.pid)
        return pids


@dataclass(frozen=True)
class Shop:
    """A project with servers of its own."""

    folder: Path
    run: Run
    shell: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start PostgreSQL and Valkey, or what of them is missing."""
        self.python("-m", "djfast.services", "start", DATABASE_URL="", REDIS_URL="")
        text = (self.folder / ".services/env").read_text()
        self.environment.update(line.split("=", 1) for line in text.splitlines())

    def python(self, *arguments: str, code: int | None = 0, **environment: str) -> str:
        """Run the project's Python as in production; an empty value unsets a variable."""
        merged = {name: value for name, value in (self.environment | environment).items() if value}
        python = self.folder / ".venv/bin/python"
        return self.run(python, *arguments, cwd=self.folder, code=code, timeout=60, env=merged)

    @contextmanager
    def serving(self, **environment: str) -> Iterator[Site]:
        """Run the production server until the block ends."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        merged = self.shell | self.environment | {"PORT": str(port)} | environment
        log = self.folder.parent / f"server-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.folder / ".venv/bin/python", "-m", "config.server"],
                cwd=self.folder,
                env={name: value for name, value in merged.items() if value},
                stdout=output,
                stderr=output,
                start_new_session=True,  # so that the workers can be ended with it
            )
        site = Site(port, process, log)
        try:
            until(lambda: site.ask("/health/live/").status == 200, log, seconds=30)
            yield site
        finally:
            process.terminate()
            try:
                process.wait(GIVE_UP)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def redis(self) -> redis.Redis:
        """Connect to Valkey."""
        return redis.Redis.from_url(self.environment["REDIS_URL"], socket_timeout=5)

    def valkey(self) -> psutil.Process:
        """Return the process of Valkey."""
        with self.redis() as client:
            return psutil.Process(client.info("server")["process_id"])

    def postgres(self) -> list[psutil.Process]:
        """Return the processes of PostgreSQL: first the one that is the parent of all others."""
        with self.sql() as connection:
            server = psutil.Process(connection.info.backend_pid).parent()
        return [server, *server.children()]

    def sql(self) -> psycopg.Connection:
        """Connect to PostgreSQL."""
        return psycopg.connect(self.environment["DATABASE_URL"], connect_timeout=5)

    @contextmanager
    def without(self, server: psutil.Process, how: signal.Signals) -> Iterator[None]:
        """End a server with the signal `how`; start it again when the block ends."""
        server.send_signal(how)
        until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def users_locked(self) -> Iterator[Callable[[], int]]:
        """Block every reader of a user until the block ends; yield a count of them."""
        with self.sql() as connection, self.sql() as other:
            connection.execute("LOCK TABLE core_user IN ACCESS EXCLUSIVE MODE")
            other.autocommit = True
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            yield lambda: other.execute(waiting).fetchone()[0]


def cookies(answer: Answer) -> str:
    """Return what a browser sends back."""
    jar = SimpleCookie()
    for header in answer.headers.get_all("set-cookie", []):
        jar.load(header)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())


def until(fulfilled: Callable[[], bool], log: Path | None = None, *, seconds: float = 15) -> float:
    """Wait until a condition holds, return for how long; fail with the log if it takes too long."""
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        with suppress(OSError):  # nobody listens yet
            if fulfilled():
                return passed
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s\n{log.read_text() if log else ''}")


@contextmanager
def frozen(*processes: psutil.Process) -> Iterator[None]:
    """Suspend processes (SIGSTOP): connections stay open, and nothing answers."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@pytest.fixture(scope="module", params=map(case, PROJECTS))
def shop(
    request: pytest.FixtureRequest,
    bake: Callable[..., Path],
    run: Run,
    clean_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    source = request.param.get("path") or bake(**request.param)
    folder = tmp_path_factory.mktemp("outages") / "shop"
    # Without .env, like a production machine: what is not in the environment is missing.
    left_out = shutil.ignore_patterns(".env", ".git", ".services", ".venv", "staticfiles")
    shutil.copytree(source, folder, ignore=left_out)
    run("uv", "sync", "--quiet", cwd=folder)
    shop = Shop(folder, run, clean_environment)
    shop.environment.update(
        LOCAL_HTTP="1", SECRET_KEY=secrets.token_urlsafe(50), WEB_CONCURRENCY=str(WORKERS)
    )
    shop.python("-m", "config.build")
    try:
        shop.start()
        shop.python("manage.py", "migrate", "--verbosity=0")
        user = ["--noinput", "--username=visitor", "--email=visitor@example.com"]
        shop.python("manage.py", "createsuperuser", *user, DJANGO_SUPERUSER_PASSWORD="visitor")
        yield shop
    finally:
        shop.python("-m", "djfast.services", "stop", code=None)
        shutil.rmtree((folder / ".services").resolve(), ignore_errors=True)  # root: not in `folder`


@pytest.fixture(scope="module")
def site(shop: Shop) -> Iterator[Site]:
    with shop.serving() as site:
        yield site


@pytest.fixture
def saw(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Saw:
    """Keep a figure for the end of the run, whose project it is included."""

    def saw(name: str, value: float) -> None:
        record_property(f"{name} ({request.node.callspec.id})", round(value, 1))

    return saw


@pytest.fixture(scope="module")
def visitor(site: Site) -> str:
    """The cookies of a signed-in visitor."""
    return site.sign_in()


# The database's connections ---------------------------------------------------------------------


@dataclass(frozen=True)
class Quiet:
    """A server that was busy, then left alone; with its connections at that moment."""

    site: Site
    backends: Callable[[], set[int]]
    before: set[int]
    since: float


@pytest.fixture(scope="module")
def quiet(shop: Shop, visitor: str) -> Iterator[Quiet]:
    def backends() -> set[int]:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'quiet'"
        with shop.sql() as connection:
            return {pid for (pid,) in connection.execute(query)}

    address = f"{shop.environment['DATABASE_URL']}?application_name=quiet"
    with shop.serving(DATABASE_URL=address) as site:
        assert site.crowd("/admin/", visitor, times=200) == {200}
        yield Quiet(site, backends, backends(), time.monotonic())


def test_two_hundred_requests_open_no_more_backends_than_there_are_slots(
    shop: Shop, quiet: Quiet, saw: Saw
) -> None:
    slots = 4 if (shop.folder / "config/wsgi.py").exists() else 8  # threads, or places in the pool
    assert 0 < len(quiet.before) <= WORKERS * slots
    saw("backends after 200 requests", len(quiet.before))


# A wrong configuration. These tests and those up to the next one with `quiet` fill its minute. ----


@pytest.mark.parametrize("command", ["manage.py check", "-m config.server"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SECRET_KEY", ""),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgres"),
        ("DATABASE_URL", "http://database/app"),
        ("DATABASE_URL", f"postgresql://app:{PASSWORD}@database:port/app"),
        ("REDIS_URL", ""),
        ("REDIS_URL", "cache:6379"),
        ("REDIS_URL", "http://cache/0"),
        ("REDIS_URL", f"redis://:{PASSWORD}@cache:port/0"),
        ("REDIS_SESSIONS_URL", "http://cache/1"),
        ("DEBUG", "perhaps"),
    ],
)
def test_a_variable_that_is_missing_or_wrong_is_one_sentence_that_names_it(
    shop: Shop, command: str, variable: str, value: str
) -> None:
    # Without static files, a server that accepts the value does not start either.
    values = {"STATIC_ROOT": "nowhere", variable: value}
    output = shop.python(*command.split(), code=1, **values)
    assert len(output.splitlines()) == 1, output
    assert variable in output
    assert PASSWORD not in output


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOST", "0.0.0.0"),  # LOCAL_HTTP is on
        ("HOST", "nowhere"),
        ("PORT", "http"),
        ("WEB_CONCURRENCY", "0"),
    ],
)
def test_a_server_that_must_not_start_says_why_in_one_sentence(
    shop: Shop, variable: str, value: str
) -> None:
    values = {"STATIC_ROOT": "nowhere", variable: value}
    output = shop.python("-m", "config.server", code=1, **values)
    assert len(output.splitlines()) == 1, output
    assert variable in output


def test_a_deployment_check_reports_local_http(shop: Shop) -> None:
    command = ["manage.py", "check", "--deploy", "--fail-level=WARNING"]
    production = {"ALLOWED_HOSTS": "example.com", "SECRET_KEY": secrets.token_urlsafe(50)}
    said = shop.python(*command, **production, LOCAL_HTTP="")
    assert {*re.findall(r"\((\w+\.[\w-]+)\)", said)} <= {"speed.interpreter"}  # of this machine
    assert "SECURE_SSL_REDIRECT" in shop.python(*command, **production, LOCAL_HTTP="1", code=1)


@pytest.mark.parametrize(
    ("trusted", "status"),
    [("", 301), ("192.0.2.1", 301), ("127.0.0.1", 200), ("192.0.2.1,127.0.0.0/8", 200)],
)
def test_x_forwarded_proto_counts_from_the_trusted_proxy_only(
    shop: Shop, trusted: str, status: int
) -> None:
    public = {"ALLOWED_HOSTS": "127.0.0.1", "LOCAL_HTTP": "", "TRUSTED_PROXY": trusted}
    with shop.serving(**public) as site:
        assert site.ask("/").status == 301  # to HTTPS
        forwarded = site.ask("/", x_forwarded_proto="https", x_forwarded_for="198.51.100.1")
        assert forwarded.status == status


# The cache --------------------------------------------------------------------------------------


def test_without_the_cache_every_page_answers_as_before(
    shop: Shop, site: Site, visitor: str, saw: Saw
) -> None:
    before = {who: site.pages(who) for who in ("", visitor)}
    assert len(before[visitor]) > 10
    saw("pages that answer without the cache", sum(map(len, before.values())))
    with shop.without(shop.valkey(), signal.SIGKILL):
        for who, pages in before.items():
            for path, answer in site.pages(who).items():
                assert answer.status == pages[path].status < 500, path
        assert site.ready() == (
            200,
            {"status": "degraded", "database": "ok", "cache": "unavailable"},
        )
        assert site.ask("/admin/", cookie=site.sign_in()).status == 200


def test_a_cache_that_is_back_is_used_again(shop: Shop, site: Site, visitor: str) -> None:
    with shop.without(shop.valkey(), signal.SIGKILL):
        assert site.crowd("/admin/", visitor) == {200}
    until(lambda: site.ready()[1]["status"] == "ok", site.log)
    with shop.redis() as client:
        assert client.info("keyspace") == {}
        assert site.crowd("/admin/", visitor) == {200}
        assert client.info("keyspace") != {}  # the session


def test_a_cache_that_hangs_costs_a_page_its_time_limit_and_no_more(
    shop: Shop, site: Site, visitor: str, saw: Saw
) -> None:
    pages = [("/", ""), ("/", visitor), ("/admin/", visitor), ("/admin/login/", "")]
    with frozen(shop.valkey()):
        answers = [site.ask(path, cookie=who) for path, who in pages]
        assert [answer.status for answer in answers] == [200] * len(pages)
        slowest = max(answer.seconds for answer in answers)
        assert slowest < PAGE_WITHOUT_CACHE
        saw("seconds of the slowest page while the cache hangs", slowest)
        assert site.ready()[1]["status"] == "degraded"
    until(lambda: site.ready()[1]["status"] == "ok", site.log)


# The server's own processes ---------------------------------------------------------------------


def test_a_killed_worker_is_replaced(site: Site, saw: Saw) -> None:
    before = site.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    gap = until(lambda: len(site.workers() - {victim}) == WORKERS, site.log)
    saw("seconds until a killed worker is replaced", gap)
    assert site.workers() & before == before - {victim}
    assert site.crowd("/", "") == {200}


def test_a_server_that_is_told_to_stop_finishes_the_requests_under_way(
    shop: Shop, visitor: str
) -> None:
    with shop.serving() as site, ThreadPoolExecutor() as visitors:
        with shop.users_locked() as waiting:
            pages = [visitors.submit(site.ask, "/admin/", cookie=visitor) for _ in range(4)]
            until(lambda: waiting() == len(pages), site.log)
            site.process.terminate()
            time.sleep(2)
        assert [page.result().status for page in pages] == [200] * len(pages)
        assert site.process.wait(STOP) == 0


def test_a_server_that_is_told_to_stop_while_it_starts_ends_at_once(shop: Shop, saw: Saw) -> None:
    with shop.serving() as site:  # one worker answers, the other may not be there yet
        site.process.terminate()
        start = time.monotonic()
        assert site.process.wait(STOP) == 0
        saw("seconds to stop while starting", time.monotonic() - start)


def test_a_visitor_who_only_keeps_a_connection_does_not_hold_up_the_stop(
    shop: Shop, saw: Saw
) -> None:
    with shop.serving() as site:
        peer = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
        peer.request("GET", "/")
        peer.getresponse().read()
        site.process.terminate()
        start = time.monotonic()
        assert site.process.wait(STOP) == 0
        saw("seconds to stop with an idle visitor", time.monotonic() - start)
        peer.close()


def test_a_request_that_hangs_does_not_hold_up_the_stop_for_ever(shop: Shop, visitor: str) -> None:
    with shop.serving() as site, ThreadPoolExecutor() as visitors, shop.users_locked() as waiting:
        visitors.submit(site.ask, "/admin/", cookie=visitor)
        until(lambda: waiting() == 1, site.log)
        site.process.terminate()
        site.process.wait(GIVE_UP)


# After the minute -------------------------------------------------------------------------------


def test_connections_outlive_a_minute_of_quiet(quiet: Quiet, visitor: str) -> None:
    time.sleep(max(0, quiet.since + QUIET - time.monotonic()))
    assert quiet.backends() == quiet.before
    assert quiet.site.crowd("/admin/", visitor) == {200}
    assert quiet.backends() >= quiet.before


# The database: these end the connections of every server above ------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_the_first_requests_after_the_database_is_back_succeed(
    shop: Shop, site: Site, visitor: str, how: signal.Signals
) -> None:
    assert site.crowd("/admin/", visitor) == {200}  # each thread has a connection to lose
    with shop.without(shop.postgres()[0], how):
        pass
    assert site.crowd("/admin/", visitor) == {200}


def test_without_the_database_only_what_needs_it_fails_and_in_time(
    shop: Shop, site: Site, visitor: str
) -> None:
    with shop.without(shop.postgres()[0], signal.SIGINT):
        page = site.ask("/admin/", cookie=visitor)
        assert page.status == 500
        assert page.seconds < PAGE_WITHOUT_DATABASE
        assert site.ask("/").status == 200
        live = site.ask("/health/live/")
        assert live.status == 200
        assert live.seconds < 1
        assert site.ready() == (
            503,
            {"status": "unavailable", "database": "unavailable", "cache": "ok"},
        )
        time.sleep(10)  # so long that whoever tries again now and then has begun to pause
    assert site.crowd("/admin/", visitor) == {200}
    until(lambda: site.ready()[0] == 200, site.log)


def test_a_database_that_hangs_is_reported_in_time(shop: Shop, site: Site) -> None:
    with frozen(*shop.postgres()):
        assert site.ask("/health/live/").seconds < 1
        assert [site.ready()[0] for _ in range(3)] == [503] * 3
        assert site.ask("/").status == 200
    until(lambda: site.ready()[0] == 200, site.log)
