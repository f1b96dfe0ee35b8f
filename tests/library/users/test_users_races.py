"""The cached user under concurrent requests and changes."""

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.contrib import auth
from django.core.cache import caches
from django.db import close_old_connections, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from djfast.cache import users
from users_site import (
    User,
    create_entry,
    has_entry,
    sign_in,
    visit,
)

pytestmark = pytest.mark.django_db(transaction=True)


def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times: an entry may be stored 0.1 s after a change."""
    monkeypatch.setattr(users, "SLOW", 0.05)
    monkeypatch.setattr(users, "GRACE", 0.1)


def in_threads(*works: Callable[[], None]) -> None:
    """Run functions at the same time, and raise the first of their exceptions."""
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_no_request_gets_another_user_or_one_older_than_its_last_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurried(monkeypatch)
    people = [User.objects.create_user(f"user{n}", first_name="0") for n in range(6)]
    sessions = [sign_in(user) for user in people]
    committed = [0] * len(people)
    end = time.monotonic() + 8
    counts = {"served": 0, "queried": 0}

    def write() -> None:
        random = Random(1)
        while time.monotonic() < end:
            who = random.randrange(len(people))
            number = committed[who] + 1
            with transaction.atomic():
                user = User.objects.get(pk=people[who].pk)
                user.first_name = str(number)
                user.save()
                time.sleep(random.random() / 50)
            committed[who] = number
            time.sleep(random.random() / 10)

    def read(seed: int) -> None:
        random = Random(seed)
        while time.monotonic() < end:
            close_old_connections()
            who = random.randrange(len(people))
            known = committed[who]
            with CaptureQueriesContext(connection) as queries:
                user = visit(sessions[who]).user
                assert user.pk == people[who].pk
                assert user.get_username() == f"user{who}"
            counts["queried" if queries.captured_queries else "served"] += 1
            assert int(user.first_name) >= known

    in_threads(write, *(lambda seed=seed: read(seed) for seed in range(6)))
    assert counts["served"] > 100, counts
    assert sum(committed) > 20


def test_a_request_that_read_the_row_before_a_change_stores_no_entry_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    create_entry(session)
    caches["sessions"].clear()
    django = auth.get_user

    def slowly(request: Any) -> Any:
        found = django(request)
        monkeypatch.setattr(auth, "get_user", django)
        user.username = "bob"
        in_threads(user.save)
        return found

    monkeypatch.setattr(auth, "get_user", slowly)
    assert visit(session).user.get_username() == "ada"  # right when the request began
    assert visit(session).user.get_username() == "bob"


def test_a_request_that_took_too_long_to_read_the_row_stores_no_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = sign_in(User.objects.create_user("ada"))
    key = create_entry(session)
    caches["sessions"].clear()
    monkeypatch.setattr(users, "SLOW", 0)
    assert visit(session).user.get_username() == "ada"
    assert not has_entry(key)


def test_no_old_entry_is_left_between_the_commit_and_what_follows_it() -> None:
    """A process may die in between."""
    user = User.objects.create_user("ada")
    session = sign_in(user)
    key = create_entry(session)
    with transaction.atomic():
        user.username = "bob"
        user.save()
        in_threads(lambda: check(visit(session).user.get_username() == "ada"))
        assert not has_entry(key)


def check(condition: bool) -> None:
    assert condition
