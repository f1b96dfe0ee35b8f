"""What a cache entry of a user contains, and what it is used for."""

import os
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as conf
from django.contrib import auth
from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from djfast.cache import users
from users_site import (
    ALL,
    MODEL,
    PICKY,
    User,
    create_entry,
    end_grace,
    has_entry,
    sign_in,
    state,
    stock,
    visit,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_entry_expires_within_a_minute() -> None:
    session = sign_in(User.objects.create_user("ada"))
    store: Any = caches["sessions"]
    assert 0 < store.ttl(create_entry(session)) <= users.LIFE - users.SLOW <= 60


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
def test_a_change_in_another_process_takes_effect_at_once(tmp_path: Path, command: str) -> None:
    """Also in one without middleware: a command or a worker."""
    session = sign_in(User.objects.create_user("ada", email="ada@example.com"))
    key = create_entry(session)
    (tmp_path / "with_middleware.py").write_text(
        "from config.settings import *\n"
        f"MIDDLEWARE = {conf.MIDDLEWARE!r}\n"
        f"CACHES = {deepcopy(conf.CACHES)!r}\n"
        f"DATABASES['default']['NAME'] = {connection.settings_dict['NAME']!r}\n"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "with_middleware",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd()), *sys.path]),
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
    assert not has_entry(key)
    user = users.get_user(visit(session))
    assert state(user) == state(stock(session))
    assert user.is_authenticated == (command == "code")


def test_without_a_cache_each_request_loads_the_user() -> None:
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


def test_a_request_that_may_write_loads_the_row() -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    create_entry(session)
    User.objects.filter(pk=user.pk).update(username="bob")  # no signal
    assert visit(session).user.get_username() == "ada"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert visit(session, method).user.get_username() == "bob"


def test_only_the_password_causes_a_query_and_only_where_it_is_read() -> None:
    session = sign_in(User.objects.create_user("ada", password="secret"))
    create_entry(session)
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


def test_event_loops_use_entries_too() -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    key = create_entry(session)

    @async_to_sync
    async def load() -> Any:
        return await visit(session).auser()

    with CaptureQueriesContext(connection) as queries:
        assert load().get_username() == "ada"
    assert len(queries) == 0
    user.username = "bob"
    user.save()
    assert load().get_username() == "bob"
    end_grace()
    assert load().get_username() == "bob"
    assert has_entry(key)


def test_signals_of_proxies_are_connected() -> None:
    assert all(
        users.post_save.has_listeners(model)
        for model in users.apps.get_models()
        if issubclass(model, User)
    )


def test_two_requests_never_share_an_instance() -> None:
    session = sign_in(User.objects.create_user("ada"))
    create_entry(session)
    one, two = users.get_user(visit(session)), users.get_user(visit(session))
    one.username = "eve"
    assert two.username == "ada"
    assert visit(session).user.get_username() == "ada"


def test_an_entry_of_another_user_with_the_same_password_is_not_used() -> None:
    """Rows created in bulk may share a password hash, and so the hash in their sessions."""
    one = User.objects.create_user("ada", password="secret")
    two = User.objects.create(username="eve", password=one.password)
    sessions = [sign_in(one), sign_in(two)]
    keys = [create_entry(session) for session in sessions]
    values = caches["sessions"].get_many(keys)
    for key, other in zip(keys, reversed(keys), strict=True):
        caches["sessions"].set(key, values[other])
    assert [str(visit(session).user) for session in sessions] == ["ada", "eve"]


def test_an_entry_is_not_used_for_a_session_that_django_would_end() -> None:
    user = User.objects.create_user("ada", password="secret")
    session, stale = sign_in(user), SessionStore(sign_in(user))
    create_entry(session)
    for session_hash in ("0" * 64, "", None):
        stale.update(
            {
                auth.SESSION_KEY: str(user.pk),
                auth.BACKEND_SESSION_KEY: MODEL,
                auth.HASH_SESSION_KEY: session_hash,
            }
        )
        stale.create()
        assert not visit(stale.session_key).user.is_authenticated
    assert visit(session).user.is_authenticated


@override_settings(AUTHENTICATION_BACKENDS=[MODEL, ALL, PICKY])
def test_the_backend_of_the_session_decides_who_is_authenticated() -> None:
    user = User.objects.create_user("ada", is_active=False)
    sessions = [sign_in(user, backend) for backend in (ALL, MODEL, PICKY)]
    create_entry(sessions[0])
    assert [bool(str(visit(session).user)) for session in sessions]
    assert [visit(session).user.is_authenticated for session in sessions] == [True, False, False]
    user.is_active, user.first_name = True, "refused"
    user.save()
    create_entry(sessions[1])
    assert [visit(session).user.is_authenticated for session in sessions] == [True, True, False]
    with override_settings(AUTHENTICATION_BACKENDS=[MODEL]):
        found = [visit(session).user.is_authenticated for session in sessions]
    assert found == [False, True, False]


def test_an_entry_of_a_model_with_other_fields_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    session = sign_in(User.objects.create_user("ada"))
    now = users.columns
    with monkeypatch.context() as before:
        before.setattr(users, "columns", lambda model: (*now(model), ("level", "IntegerField")))
        create_entry(session)
    with CaptureQueriesContext(connection) as queries:
        assert visit(session).user.is_active
    assert len(queries) == 1


def test_a_value_of_another_class_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    session = sign_in(User.objects.create_user("ada", first_name="Ada"))
    monkeypatch.setattr(users, "PLAIN", users.PLAIN - {str})
    create_entry(session)
    user = users.get_user(visit(session))
    assert user.get_deferred_fields() >= {"first_name", "email", "username", "password"}
    assert state(user) == state(stock(session))


def test_a_user_that_has_more_than_its_row_is_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = sign_in(User.objects.create_user("ada"))
    end_grace()
    django = auth.get_user

    def annotated(request: Any) -> Any:
        user = django(request)
        user.posts = 3
        return user

    monkeypatch.setattr(auth, "get_user", annotated)
    assert [visit(session).user.posts for _ in range(3)] == [3, 3, 3]


def test_the_admin_accepts_the_middleware() -> None:
    call_command("check", "--tag", "admin", fail_level="WARNING")


def test_code_that_manages_transactions_itself_can_save_users() -> None:
    user = User.objects.create_user("ada")
    session = sign_in(user)
    key = create_entry(session)
    transaction.set_autocommit(False)
    try:
        user.username = "bob"
        user.save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert not has_entry(key)
    assert visit(session).user.get_username() == "bob"
