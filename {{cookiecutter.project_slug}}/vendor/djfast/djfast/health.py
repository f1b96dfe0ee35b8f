"""Health probes, for orchestrators and load balancers: `HealthMiddleware`, first in MIDDLEWARE.

`/health/live/` answers 200 while the process can answer at all. `/health/ready/` answers 503 when the
database cannot be used, and 200 with the status `degraded` when only the cache cannot: the site then
works, but slower. A response contains states; errors are logged.
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

LIMIT = 2  # seconds: a component that takes longer is unavailable

logger = logging.getLogger(__name__)


class Question(Future[None]):
    """One query to a component, with a deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline = time.monotonic() + LIMIT

    def wait(self) -> None:
        """Return when the component has answered.

        Raises:
            TimeoutError: it did not answer before the deadline.
            Exception: it raised this.
        """
        self.result(max(0, self.deadline - time.monotonic()))


class Check:
    """Checks one component, always on the same thread.

    The thread has a persistent connection, so a probe needs no free slot on a full server; from a pool
    it takes one, and a pool that stays exhausted is unavailable. A server that hangs blocks this
    thread only: later probes wait for the pending query instead of starting more threads, and the
    component is available again when it returns. The thread is a daemon, so it does not delay the
    exit of the process.
    """

    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self.name = name
        self.ask = ask
        self.lock = Lock()
        self.thread: Thread | None = None
        self.questions: SimpleQueue[Question] = SimpleQueue()
        self.question: Question | None = None

    def begin(self) -> Question:
        """Return a new question, or the last one while it is pending."""
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                # The first probe, or the first in a forked process, which has none of the threads.
                self.questions, self.question = SimpleQueue(), None
                self.thread = Thread(target=self.work, name=f"health-{self.name}", daemon=True)
                self.thread.start()
            if self.question is None or self.question.done():
                self.question = Question()
                self.questions.put(self.question)
            return self.question

    def work(self) -> None:
        """Process the questions, one after the other."""
        while True:
            question = self.questions.get()
            try:
                self.ask()
            except Exception as error:  # of any kind: the component cannot be used
                question.set_exception(error)
            else:
                question.set_result(None)

    def state(self, question: Question) -> str:
        """Wait for the answer, log an error, and return "ok" or "unavailable"."""
        try:
            question.wait()
        except Exception as error:
            logger.error("%s is unavailable: %r", self.name, error)
            return "unavailable"
        return "ok"


def ask_database() -> None:
    """Run a query as a request would: with the same age limit, health check and pool."""
    close_old_connections()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        close_old_connections()


def ask_cache() -> None:
    """Ping the cache server: with django-redis, `cache.get` logs an error instead of raising it."""
    try:
        get_redis_connection("default").ping()
    except NotImplementedError:  # another backend, which raises errors
        cache.get("health")


CHECKS = [Check("database", ask_database), Check("cache", ask_cache)]


def live() -> dict[str, str]:
    """Return the status of a process that answers: no outage of a component restarts it."""
    return {"status": "ok"}


def ready() -> dict[str, str]:
    """Check all components at once, within LIMIT, and return their states and the status."""
    questions = [(check, check.begin()) for check in CHECKS]
    states = {check.name: check.state(question) for check, question in questions}
    if states["database"] != "ok":
        return {"status": "unavailable", **states}
    return {"status": "ok" if states["cache"] == "ok" else "degraded", **states}


PROBES = {"/health/live/": live, "/health/ready/": ready}


def answer(request: HttpRequest) -> HttpResponse:
    """Return the response to a probe, which no cache may store."""
    headers = {"Cache-Control": "no-store"}
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"], headers=headers)
    states = PROBES[request.path_info]()
    status = 503 if states["status"] == "unavailable" else 200
    return JsonResponse(states, status=status, headers=headers)


class HealthMiddleware:
    """Answers probes before any other middleware: they need no HTTPS, known Host or session."""

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
        """Do the same under ASGI; a thread waits for the components, not the event loop."""
        if request.path_info in PROBES:
            return await asyncio.to_thread(answer, request)
        return await self.get_response(request)
