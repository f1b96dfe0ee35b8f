"""The cached user against Django's own, through arbitrary histories of users and sessions."""

import os
from contextlib import suppress
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.models import Group, Permission
from django.core.cache import caches
from django.db import connection, reset_queries, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from djfast.cache import users
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from users_site import ALL, MODEL, PICKY, User, end_grace, sign_in, state, stock, visit

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = strategies.text(strategies.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
WHO = strategies.integers(0, 1)
SLOT = strategies.integers(0, 2)
BACKEND = strategies.sampled_from([MODEL, ALL, PICKY])


class History(RuleBasedStateMachine):
    """Two users with three browsers; after each event, Django and the cache must agree."""

    served = 0  # requests that made no query for the user, in all histories

    def __init__(self) -> None:
        super().__init__()
        reset_queries()  # Django records the last 9,000 while DEBUG is on, and warns
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

    def rotate(self, fallbacks: int) -> None:
        if self.overridden:
            self.overridden.disable()
        self.overridden = override_settings(
            AUTHENTICATION_BACKENDS=[MODEL, ALL, PICKY],
            SECRET_KEY=self.secrets[-1],
            SECRET_KEY_FALLBACKS=self.secrets[:-1][-fallbacks:] if fallbacks else [],
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
    def a_view_saves_the_user_of_the_request(self, slot: int, name: str) -> None:
        request = visit(self.sessions[slot])
        if request.user.is_authenticated:
            before = User.objects.get(pk=request.user.pk).password
            request.user.last_name = name
            request.user.save()
            after = User.objects.get(pk=request.user.pk)
            assert (after.last_name, after.password) == (name, before)

    @rule(who=WHO)
    def is_deleted_or_created_again(self, who: int) -> None:
        if user := self.user(who):
            user.delete()
        else:
            self.users[who] = User.objects.create_user(f"user{who}", password="a")

    @rule(who=WHO)
    def is_deleted_by_a_query(self, who: int) -> None:
        User.objects.filter(pk=self.users[who].pk).delete()

    @rule(who=WHO, how=strategies.integers(0, 6))
    def is_given_or_loses_permissions(self, who: int, how: int) -> None:
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
                end_grace()
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
    def grace_ends(self) -> None:
        end_grace()

    @rule(fallbacks=strategies.integers(0, 2))
    def the_secret_key_is_rotated(self, fallbacks: int) -> None:
        self.secrets.append(f"secret {len(self.secrets)}")
        self.rotate(fallbacks)

    @rule(slot=SLOT, other=SLOT)
    def entries_are_exchanged(self, slot: int, other: int) -> None:
        """An attacker who can write to the cache exchanges two entries."""
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
        if self.steps % 3 == 0:  # a history without pauses and sign-ins would use no entry
            end_grace()
        if self.steps % 5 == 0:
            self.signs_in(self.steps % 3, self.steps % 2, MODEL)
        for slot, session in enumerate(self.sessions):
            if session is None:
                continue
            with CaptureQueriesContext(connection) as queries:
                request = visit(session)
                bool(request.user.is_authenticated)
            History.served += request.user.is_authenticated and not any(
                User._meta.db_table in query["sql"] for query in queries.captured_queries
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


def test_the_cache_and_django_agree_about_every_session_in_any_history() -> None:
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
    assert History.served > 2 * examples, "the histories prove little: hardly any entry was used"
