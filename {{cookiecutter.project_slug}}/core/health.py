"""Liveness and readiness, for whatever restarts this process or sends it traffic.

`/health/live/` asks whether the process answers, `/health/ready/` whether it can work: 503 only
without the database, since the site works without its cache, only slower. Answers name states;
causes go to the log.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from inspect import iscoroutinefunction, markcoroutinefunction
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from django.core.cache import cache
from django.db import close_old_connections, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django_redis import get_redis_connection

LIMIT = 2  # seconds until a silent component counts as unavailable

logger = logging.getLogger(__name__)


class Question(Future[None]):
    """One question to a component, given up at its deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline = time.monotonic() + LIMIT

    def wait(self) -> None:
        """Return when the component answered; raise its own error, or TimeoutError."""
        self.result(max(0, self.deadline - time.monotonic()))


class Check:
    """Asks one component whether it works, always on the same thread.

    The thread keeps its connection, so a probe needs no free slot on a full server; from a pool it
    borrows one, and a pool that stays exhausted cannot be used. A frozen server
    freezes this thread only: later probes join the open question instead of piling up, and the
    answer, when it comes, ends the outage. The thread is a daemon, so it cannot hold up an exit.
    """

    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self.name = name
        self.ask = ask
        self.lock = Lock()
        self.thread: Thread | None = None
        self.questions: SimpleQueue[Question] = SimpleQueue()
        self.question: Question | None = None

    def begin(self) -> Question:
        """Ask, unless the last question is still open."""
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                # The first probe, or the first in a fork, which leaves the parent's threads behind.
                self.questions, self.question = SimpleQueue(), None
                self.thread = Thread(target=self.work, name=f"health-{self.name}", daemon=True)
                self.thread.start()
            if self.question is None or self.question.done():
                self.question = Question()
                self.questions.put(self.question)
            return self.question

    def work(self) -> None:
        """Answer one question after the other."""
        while True:
            question = self.questions.get()
            try:
                self.ask()
            except Exception as error:  # whatever it is, the component cannot be used
                question.set_exception(error)
            else:
                question.set_result(None)

    def state(self, question: Question) -> str:
        """Wait for the answer: "ok" or "unavailable"."""
        try:
            question.wait()
        except Exception as error:
            logger.error("%s is unavailable: %r", self.name, error)
            return "unavailable"
        return "ok"


def ask_database() -> None:
    """Run a query under the same connection rules as a request: age limit, health check, pool."""
    close_old_connections()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        close_old_connections()


def ask_cache() -> None:
    """Reach the cache server; django-redis would log a failing `cache.get` and return None."""
    try:
        get_redis_connection("default").ping()
    except NotImplementedError:  # not django-redis: errors come through
        cache.get("health")


CHECKS = [Check("database", ask_database), Check("cache", ask_cache)]


def live() -> dict[str, str]:
    """Say that the process answers; needs nothing else, so that no outage restarts it."""
    return {"status": "ok"}


def ready() -> dict[str, str]:
    """Ask every component at once, within LIMIT."""
    questions = [(check, check.begin()) for check in CHECKS]
    states = {check.name: check.state(question) for check, question in questions}
    if states["database"] != "ok":
        return {"status": "unavailable", **states}
    return {"status": "ok" if states["cache"] == "ok" else "degraded", **states}


PROBES = {"/health/live/": live, "/health/ready/": ready}


def answer(request: HttpRequest) -> HttpResponse:
    """Answer a probe; no cache may answer the next one."""
    headers = {"Cache-Control": "no-store"}
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"], headers=headers)
    states = PROBES[request.path_info]()
    status = 503 if states["status"] == "unavailable" else 200
    return JsonResponse(states, status=status, headers=headers)


class HealthMiddleware:
    """Answers probes before anything that asks for HTTPS, a known Host or a session."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.acall(request)
        return answer(request) if request.path_info in PROBES else self.get_response(request)

    async def acall(self, request: HttpRequest) -> Any:
        """Do the same on an event loop, which must not wait for the components."""
        if request.path_info in PROBES:
            return await asyncio.to_thread(answer, request)
        return await self.get_response(request)
