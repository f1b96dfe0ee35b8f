"""The cached user against Django's own, under histories, races, other processes and outages.

Run from a generated project (needs hypothesis):

    DJANGO_SETTINGS_MODULE=config.settings uv run --with hypothesis pytest -p no:cacheprovider \\
        -c pyproject.toml --rootdir . .../template-tests/users
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as conf
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from django.core.management import call_command
from django.db import close_old_connections, connection, connections, reset_queries, transaction
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, override_settings
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from speed import users

pytestmark = pytest.mark.django_db(transaction=True)

User = auth.get_user_model()
MODEL = "django.contrib.auth.backends.ModelBackend"
ALL = "django.contrib.auth.backends.AllowAllUsersModelBackend"


class Picky(ModelBackend):
    """A backend that finds users in a way of its own."""

    def get_user(self, user_id: Any) -> Any:
        user = super().get_user(user_id)
        return user if user and user.first_name != "refused" else None


PICKY = f"{__name__}.Picky"


@pytest.fixture(autouse=True)
def _on() -> Iterator[None]:
    before = conf.MIDDLEWARE
    line = "speed.users.CachedUserMiddleware"
    changed = [line if path.endswith(".AuthenticationMiddleware") else path for path in before]
    with override_settings(MIDDLEWARE=changed):
        users.connect()
        caches["sessions"].clear()
        yield
        caches["sessions"].clear()


def visit(session_key: str | None, method: str = "GET") -> HttpRequest:
    """A request as the middleware leaves it."""
    request = RequestFactory().generic(method, "/")
    request.session = SessionStore(session_key)
    users.CachedUserMiddleware(lambda request: None).process_request(request)  # type: ignore
    return request


def stock(session_key: str | None) -> Any:
    """The user that Django finds for the session."""
    request = RequestFactory().get("/")
    request.session = SessionStore(session_key)
    return auth.get_user(request)


def sign_in(user: Any, backend: str = MODEL) -> str:
    request = visit(None)
    auth.login(request, user, backend=backend)
    request.session.save()
    return str(request.session.session_key)


def grace_passes() -> None:
    """Do what GRACE seconds do to the keys of changed users."""
    store = caches["sessions"]
    for key in [users.key(pk) for pk in range(newest() + 1)]:
        if store.get(key, "nothing") is None:
            store.delete(key)


def newest() -> int:
    last = User.objects.order_by("pk").last()
    return last.pk if last else 0


def copied(key: str) -> bool:
    return isinstance(caches["sessions"].get(key), list)


def settle(session_key: str) -> str:
    """Let a while pass after a sign-in and a visitor come; return the key of the copy."""
    grace_passes()
    key = users.key(visit(session_key).user.pk)
    assert copied(key)
    return key


def state(user: Any) -> dict[str, Any]:
    """All that can be asked of a user."""
    if isinstance(user, AnonymousUser):
        return {}
    fields = {field.attname: getattr(user, field.attname) for field in user._meta.concrete_fields}
    return fields | {
        "permissions": user.get_all_permissions(),
        "groups": [group.pk for group in user.groups.all()],
        "hash": user.get_session_auth_hash(),
        "class": type(user),
        "db": user._state.db,
        "adding": user._state.adding,
        "mode": user._state.fetch_mode,
    }


NAMES = strategies.text(strategies.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
WHO = strategies.integers(0, 1)
SLOT = strategies.integers(0, 2)
BACKEND = strategies.sampled_from([MODEL, ALL, PICKY])


class History(RuleBasedStateMachine):
    """Two users, three browsers, and whatever happens to them: Django and the copy must agree."""

    served = 0  # requests that made no query for the user, over all histories

    def __init__(self) -> None:
        super().__init__()
        reset_queries()  # Django keeps the last 9,000 of a process that debugs, and warns
        Group.objects.all().delete()
        User.objects.all().delete()
        caches["sessions"].clear()
        self.secrets = ["first"]
        self.overridden: Any = None
        self.rotate(0)
        self.group = Group.objects.create(name="staff")
        self.permission = Permission.objects.get(codename="add_group")
        self.users = [User.objects.create_user(f"user{n}", password="a") for n in range(2)]
        self.sessions: list[str | None] = [sign_in(self.users[n]) for n in (0, 0, 1)]
        self.steps = 0

    def teardown(self) -> None:
        self.overridden.disable()

    def rotate(self, keep: int) -> None:
        if self.overridden:
            self.overridden.disable()
        self.overridden = override_settings(
            AUTHENTICATION_BACKENDS=[MODEL, ALL, PICKY],
            SECRET_KEY=self.secrets[-1],
            SECRET_KEY_FALLBACKS=self.secrets[:-1][-keep:] if keep else [],
        )
        self.overridden.enable()

    def user(self, who: int) -> Any:
        """A fresh instance, as another request has it."""
        return User.objects.filter(pk=self.users[who].pk).first()

    @rule(slot=SLOT, who=WHO, backend=BACKEND)
    def signs_in(self, slot: int, who: int, backend: str) -> None:
        if user := self.user(who):
            self.sessions[slot] = sign_in(user, backend)

    @rule(slot=SLOT)
    def signs_out(self, slot: int) -> None:
        request = visit(self.sessions[slot])
        auth.logout(request)
        request.session.save()

    @rule(who=WHO, name=NAMES)
    def is_renamed(self, who: int, name: str) -> None:
        if user := self.user(who):
            user.first_name = name
            user.save()

    @rule(who=WHO)
    def is_refused_by_the_picky_backend(self, who: int) -> None:
        self.is_renamed(who, "refused")

    @rule(who=WHO, active=strategies.booleans())
    def is_switched(self, who: int, active: bool) -> None:
        if user := self.user(who):
            user.is_active = active
            user.save(update_fields=["is_active"])

    @rule(who=WHO, password=strategies.sampled_from("ab"))
    def changes_password(self, who: int, password: str) -> None:
        if user := self.user(who):
            user.set_password(password)
            user.save()

    @rule(slot=SLOT)
    def changes_own_password_and_stays(self, slot: int) -> None:
        request = visit(self.sessions[slot], "POST")
        if request.user.is_authenticated:
            request.user.set_password("c")
            request.user.save()
            auth.update_session_auth_hash(request, request.user)
            request.session.save()
            self.sessions[slot] = request.session.session_key

    @rule(slot=SLOT, name=NAMES)
    def a_view_saves_the_user_that_it_was_given(self, slot: int, name: str) -> None:
        request = visit(self.sessions[slot])
        if request.user.is_authenticated:
            before = User.objects.get(pk=request.user.pk).password
            request.user.last_name = name
            request.user.save()
            after = User.objects.get(pk=request.user.pk)
            assert (after.last_name, after.password) == (name, before)

    @rule(who=WHO)
    def is_deleted_and_made_anew(self, who: int) -> None:
        if user := self.user(who):
            user.delete()
        else:
            self.users[who] = User.objects.create_user(f"user{who}", password="a")

    @rule(who=WHO)
    def is_deleted_by_a_query(self, who: int) -> None:
        User.objects.filter(pk=self.users[who].pk).delete()

    @rule(who=WHO, how=strategies.integers(0, 6))
    def gets_or_loses_permissions(self, who: int, how: int) -> None:
        if not (user := self.user(who)):
            return
        (
            lambda: user.groups.add(self.group),
            lambda: self.group.user_set.remove(user),
            lambda: self.group.user_set.clear(),
            lambda: user.user_permissions.set([self.permission]),
            lambda: self.permission.user_set.clear(),
            lambda: self.group.permissions.add(self.permission),
            lambda: self.permission.group_set.clear(),
        )[how]()

    @rule(who=WHO, slot=SLOT, savepoint=strategies.booleans(), seen=strategies.booleans())
    def a_change_is_rolled_back(self, who: int, slot: int, savepoint: bool, seen: bool) -> None:
        if not (user := self.user(who)):
            return
        with suppress(RuntimeError), transaction.atomic():
            with suppress(RuntimeError), transaction.atomic(savepoint=savepoint):
                user.username = f"never{who}"
                user.is_superuser = True
                user.save()
                grace_passes()
                if seen:  # by a request in that transaction
                    assert visit(self.sessions[slot]).user is not None
                    str(visit(self.sessions[slot]).user)
                raise RuntimeError
            raise RuntimeError

    @rule(who=WHO, slot=SLOT)
    def a_change_that_signals_cannot_see_is_rolled_back(self, who: int, slot: int) -> None:
        caches["sessions"].clear()
        with suppress(RuntimeError), transaction.atomic():
            User.objects.filter(pk=self.users[who].pk).update(is_superuser=True)
            str(visit(self.sessions[slot]).user)
            raise RuntimeError

    @rule()
    def the_cache_is_flushed(self) -> None:
        caches["sessions"].clear()

    @rule()
    def a_while_passes(self) -> None:
        grace_passes()

    @rule(kept=strategies.integers(0, 2))
    def the_secret_key_is_rotated(self, kept: int) -> None:
        self.secrets.append(f"secret {len(self.secrets)}")
        self.rotate(kept)

    @rule(slot=SLOT, other=SLOT)
    def copies_are_exchanged(self, slot: int, other: int) -> None:
        """By somebody who can write to the cache."""
        one, two = (visit(self.sessions[n]).user for n in (slot, other))
        if one.is_authenticated and two.is_authenticated:
            store, keys = caches["sessions"], [users.key(one.pk), users.key(two.pk)]
            values = [store.get(key, "nothing") for key in keys]
            for key, value in zip(keys, reversed(values), strict=True):
                if isinstance(value, list):
                    store.set(key, value)

    @invariant()
    def both_agree(self) -> None:
        self.steps += 1
        if self.steps % 3 == 0:  # a history without pauses and sign-ins would use no copy
            grace_passes()
        if self.steps % 5 == 0:
            self.signs_in(self.steps % 3, self.steps % 2, MODEL)
        for slot, session in enumerate(self.sessions):
            if session is None:
                continue
            with CaptureQueriesContext(connection) as queries:
                request = visit(session)
                bool(request.user.is_authenticated)
            History.served += request.user.is_authenticated and not any(
                "core_user" in query["sql"] for query in queries.captured_queries
            )
            if request.session.modified:
                request.session.save()
            found = state(request.user._wrapped)
            self.sessions[slot] = session = request.session.session_key
            if session is not None:
                assert found == state(stock(session))
            if found:
                raw = repr(caches["sessions"].get(users.key(found["id"])))
                assert found["password"] not in raw
                assert found["hash"] not in raw


def test_the_copy_and_django_agree_about_every_session_through_any_history() -> None:
    History.served = 0
    examples = int(os.environ.get("EXAMPLES", "15"))
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        run_state_machine_as_test(
            History,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    assert History.served > 2 * examples, "the histories show nothing: the copy was hardly used"


def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same protocol, faster: a copy may be made 0.1 s after a change."""
    monkeypatch.setattr(users, "SLOW", 0.05)
    monkeypatch.setattr(users, "GRACE", 0.1)


def in_threads(*works: Callable[[], None]) -> None:
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
    counts = {"served": 0, "asked": 0}

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
            counts["asked" if queries.captured_queries else "served"] += 1
            assert int(user.first_name) >= known

    in_threads(write, *(lambda seed=seed: read(seed) for seed in range(6)))
    assert counts["served"] > 100, counts
    assert sum(committed) > 20


def test_who_read_the_row_before_a_change_keeps_no_copy_of_it_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    settle(session)
    caches["sessions"].clear()
    django = auth.get_user

    def slowly(request: Any) -> Any:
        found = django(request)
        monkeypatch.setattr(auth, "get_user", django)
        user.username = "bob"
        in_threads(user.save)
        return found

    monkeypatch.setattr(auth, "get_user", slowly)
    assert visit(session).user.get_username() == "ada"  # it was, when the request began
    assert visit(session).user.get_username() == "bob"


def test_who_took_too_long_to_read_the_row_keeps_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    session = sign_in(User.objects.create_user("ada"))
    key = settle(session)
    caches["sessions"].clear()
    monkeypatch.setattr(users, "SLOW", 0)
    assert visit(session).user.get_username() == "ada"
    assert not copied(key)


def test_between_commit_and_the_end_of_the_transaction_no_old_copy_is_left() -> None:
    """A process that dies in between has ended the copy before."""
    user = User.objects.create_user("ada")
    session = sign_in(user)
    key = settle(session)
    with transaction.atomic():
        user.username = "bob"
        user.save()
        in_threads(lambda: check(visit(session).user.get_username() == "ada"))
        assert not copied(key)


def check(condition: bool) -> None:
    assert condition


def test_a_copy_lives_no_longer_than_it_says() -> None:
    session = sign_in(User.objects.create_user("ada"))
    store: Any = caches["sessions"]
    assert 0 < store.ttl(settle(session)) <= users.LIFE - users.SLOW <= 60


PROCESS = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.cached_db import SessionStore
user = get_user_model().objects.get(username="ada")
user.first_name = "Ada"
user.save()
"""


@pytest.mark.parametrize("command", ["code", "changepassword"])
def test_a_change_in_another_process_counts_at_once(tmp_path: Path, command: str) -> None:
    """Also in one that has no middleware: a command or a worker."""
    session = sign_in(User.objects.create_user("ada", email="ada@example.com"))
    key = settle(session)
    (tmp_path / "with_the_line.py").write_text(
        "from config.settings import *\n"
        f"MIDDLEWARE = {conf.MIDDLEWARE!r}\n"
        f"CACHES = {deepcopy(conf.CACHES)!r}\n"
        f"DATABASES['default']['NAME'] = {connection.settings_dict['NAME']!r}\n"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "with_the_line",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}",
    }
    code = PROCESS
    if command == "changepassword":
        code = (
            "import getpass, django\ndjango.setup()\n"
            "getpass.getpass = lambda prompt: 'a long enough one'\n"
            "from django.core.management import call_command\n"
            "call_command('changepassword', 'ada')\n"
        )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not copied(key)
    user = users.get_user(visit(session))
    assert state(user) == state(stock(session))
    assert user.is_authenticated == (command == "code")


def test_without_a_cache_it_is_as_django_does_it() -> None:
    caches_off = deepcopy(conf.CACHES)
    caches_off["sessions"]["LOCATION"] = "redis://127.0.0.1:1/0"
    with override_settings(CACHES=caches_off):
        user = User.objects.create_user("ada")
        session = sign_in(user)
        for name in ("bob", "eve"):
            user.username = name
            user.save()
            assert visit(session).user.get_username() == name
        user.delete()
        assert not visit(session).user.is_authenticated


def test_a_request_that_may_write_gets_the_row_itself() -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    settle(session)
    User.objects.filter(pk=user.pk).update(username="bob")  # no signal
    assert visit(session).user.get_username() == "ada"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert visit(session, method).user.get_username() == "bob"


def test_only_the_password_costs_a_query_and_only_where_it_is_asked_for() -> None:
    session = sign_in(User.objects.create_user("ada", password="secret"))
    settle(session)
    with CaptureQueriesContext(connection) as queries:
        user = visit(session).user
        assert user.email == ""
        assert user.last_login
        assert user.is_active
        assert str(user) == "ada"
    assert len(queries) == 0
    assert user.check_password("secret")
    assert not user.check_password("wrong")
    assert user.get_session_auth_hash() == stock(session).get_session_auth_hash()
    assert pickle.loads(pickle.dumps(user)).pk == user.pk


def test_it_serves_event_loops_too() -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    key = settle(session)

    @async_to_sync
    async def ask() -> Any:
        return await visit(session).auser()

    with CaptureQueriesContext(connection) as queries:
        assert ask().get_username() == "ada"
    assert len(queries) == 0
    user.username = "bob"
    user.save()
    assert ask().get_username() == "bob"
    grace_passes()
    assert ask().get_username() == "bob"
    assert copied(key)


def test_signals_of_proxies_are_seen() -> None:
    assert all(
        users.post_save.has_listeners(model)
        for model in users.apps.get_models()
        if issubclass(model, User)
    )


def test_two_requests_never_share_an_instance() -> None:
    session = sign_in(User.objects.create_user("ada"))
    settle(session)
    one, two = users.get_user(visit(session)), users.get_user(visit(session))
    one.username = "eve"
    assert two.username == "ada"
    assert visit(session).user.get_username() == "ada"


def test_a_copy_of_another_user_with_the_same_password_is_not_used() -> None:
    """Rows that were made in bulk share a password hash, and so the hash in their sessions."""
    one = User.objects.create_user("ada", password="secret")
    two = User.objects.create(username="eve", password=one.password)
    sessions = [sign_in(one), sign_in(two)]
    keys = [settle(session) for session in sessions]
    values = caches["sessions"].get_many(keys)
    for key, other in zip(keys, reversed(keys), strict=True):
        caches["sessions"].set(key, values[other])
    assert [str(visit(session).user) for session in sessions] == ["ada", "eve"]


def test_a_copy_fits_no_session_that_django_would_end() -> None:
    user = User.objects.create_user("ada", password="secret")
    session, stale = sign_in(user), SessionStore(sign_in(user))
    settle(session)
    for proof in ("0" * 64, "", None):
        stale.update(
            {
                auth.SESSION_KEY: str(user.pk),
                auth.BACKEND_SESSION_KEY: MODEL,
                auth.HASH_SESSION_KEY: proof,
            }
        )
        stale.create()
        assert not visit(stale.session_key).user.is_authenticated
    assert visit(session).user.is_authenticated


@override_settings(AUTHENTICATION_BACKENDS=[MODEL, ALL, PICKY])
def test_the_backend_of_the_session_decides_who_may_come_in() -> None:
    user = User.objects.create_user("ada", is_active=False)
    sessions = [sign_in(user, backend) for backend in (ALL, MODEL, PICKY)]
    settle(sessions[0])
    assert [bool(str(visit(session).user)) for session in sessions]
    assert [visit(session).user.is_authenticated for session in sessions] == [True, False, False]
    user.is_active, user.first_name = True, "refused"
    user.save()
    settle(sessions[1])
    assert [visit(session).user.is_authenticated for session in sessions] == [True, True, False]
    with override_settings(AUTHENTICATION_BACKENDS=[MODEL]):
        found = [visit(session).user.is_authenticated for session in sessions]
    assert found == [False, True, False]


def test_a_copy_by_code_with_other_fields_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    session = sign_in(User.objects.create_user("ada"))
    now = users.columns
    with monkeypatch.context() as before:
        before.setattr(users, "columns", lambda model: (*now(model), ("level", "IntegerField")))
        settle(session)
    with CaptureQueriesContext(connection) as queries:
        assert visit(session).user.is_active
    assert len(queries) == 1


def test_a_value_that_is_not_plain_stays_in_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    session = sign_in(User.objects.create_user("ada", first_name="Ada"))
    monkeypatch.setattr(users, "PLAIN", users.PLAIN - {str})
    settle(session)
    user = users.get_user(visit(session))
    assert user.get_deferred_fields() >= {"first_name", "email", "username", "password"}
    assert state(user) == state(stock(session))


def test_a_user_that_carries_more_than_its_row_is_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = sign_in(User.objects.create_user("ada"))
    grace_passes()
    django = auth.get_user

    def annotated(request: Any) -> Any:
        user = django(request)
        user.posts = 3
        return user

    monkeypatch.setattr(auth, "get_user", annotated)
    assert [visit(session).user.posts for _ in range(3)] == [3, 3, 3]


def test_the_admin_accepts_the_line() -> None:
    call_command("check", "--tag", "admin", fail_level="WARNING")


def test_manual_transactions_still_save_users() -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    key = settle(session)
    transaction.set_autocommit(False)
    try:
        user.username = "bob"
        user.save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert not copied(key)
    assert visit(session).user.get_username() == "bob"
