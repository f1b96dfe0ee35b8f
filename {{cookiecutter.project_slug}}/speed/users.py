"""The signed-in user without a query: a signed copy of the row lies beside the sessions.

Off until `MIDDLEWARE` names `speed.users.CachedUserMiddleware` in place of Django's
`AuthenticationMiddleware`; the line signs nobody in or out, whichever way it is changed.

The copy serves GET and HEAD, for `LIFE` seconds at most; a request that may write gets the row
itself. It holds no password: whatever asks for that gets it from the database. Its signature covers
the hash in the session, so it fits the sessions that Django has verified and no other, and without
SECRET_KEY nobody can make one. Permissions and groups are not in it: `has_perm` asks as ever.

What sends a signal (save, delete: so a new password, a deactivation, a sign-in) and signing out end
the copy at once, for every process. Seen only when it expires: `QuerySet.update`, `bulk_update`, raw
SQL, other programs, and what happens while the cache is out of reach.
"""

import inspect
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.signals import user_logged_out
from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from speed import Finding

LIFE = 60  # seconds from the reading of a row to the end of its copy
SLOW = 5  # seconds: whoever took longer to read the row makes no copy
GRACE = 2 * SLOW  # seconds after a change without a copy: a slow reader may hold the row before it

SECRET = {"password"}  # fields that stay in the database; add those of your user

# A value of another class stays in the database too: a cache outlives the code of a deploy.
PLAIN = {type(None), bool, int, float, str, Decimal, UUID, date, datetime, timedelta}


class CachedUserMiddleware(AuthenticationMiddleware):
    """Django's, with `request.user` and `request.auser()` from the copy where there is one."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        connect()

    def process_request(self, request: Any) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(partial(get_user, request))
        request.auser = partial(aget_user, request)


def get_user(request: Any) -> Any:
    """Do what Django's middleware does, with a query only if there is no copy."""
    if not hasattr(request, "_cached_user"):
        user = recall(request)
        if user is None:
            start = time.monotonic()
            user = auth.get_user(request)
            remember(request, user, start)
        request._cached_user = user
    return request._cached_user


async def aget_user(request: Any) -> Any:
    """Do the same on an event loop."""
    if not hasattr(request, "_acached_user"):
        user = await sync_to_async(recall)(request)
        if user is None:
            start = time.monotonic()
            user = await auth.aget_user(request)
            await sync_to_async(remember)(request, user, start)
        request._acached_user = user
    return request._acached_user


def recall(request: HttpRequest) -> Any:
    """Return the session's user as the copy has it; None: Django has to find and verify it."""
    backend, proof = credentials(request)
    if not proof:
        return None
    model = auth.get_user_model()
    pk = model._meta.pk.to_python(request.session.get(auth.SESSION_KEY))
    match beside_sessions().get(key(pk)):
        case [str(db), dict(row), str(signature)] if constant_time_compare(
            signature, sign(pk, proof, db, row)
        ):
            names = [name for name, _ in columns(model) if name in row]
            user = model.from_db(db, names, [row[name] for name in names])
            user._state.fetch_mode = fetch_mode(model)
            return user if backend.user_can_authenticate(user) else None
    return None


def remember(request: HttpRequest, user: Any, start: float) -> None:
    """Copy a user that Django has just verified; `start` is when it began, on the monotonic clock."""
    _, proof = credentials(request)
    model = auth.get_user_model()
    names = {name for name, _ in columns(model)}
    # One that carries more than its row, like an annotation of the manager, cannot be made from it.
    if not proof or type(user) is not model or vars(user).keys() - names - {"_state"}:
        return
    names -= SECRET
    row = {name: v for name, v in vars(user).items() if name in names and type(v) in PLAIN}
    db: Any = user._state.db
    copy = [db, row, sign(user.pk, proof, db, row)]

    def keep() -> None:
        # After a change, and until GRACE has passed, the key is taken: then nothing is added.
        if time.monotonic() - start < SLOW:
            beside_sessions().add(key(user.pk), copy, LIFE - SLOW)

    # In a transaction the row may hold what is never committed. Without Django's management of
    # transactions there is no telling.
    with suppress(transaction.TransactionManagementError):
        transaction.on_commit(keep, using=db, robust=True)


def forget(instance: models.Model, using: str | None, **signal: Any) -> None:
    """End the copy of a user whose row has changed, and take its place until every reader knows."""

    pk = instance.pk  # which Django takes from an object that it has deleted

    def occupy(seconds: int) -> None:
        beside_sessions().set(key(pk), None, seconds)

    occupy(LIFE)  # for a process that dies between commit and the next line
    with suppress(transaction.TransactionManagementError):
        transaction.on_commit(partial(occupy, GRACE), using=using, robust=True)


def forget_signed_out(user: Any, **signal: Any) -> None:
    """End the copy of a user who signs out."""
    if user is not None:
        forget(user, user._state.db)


def credentials(request: HttpRequest) -> tuple[Any, Any]:
    """Return the backend of the session and the hash that proves it; no proof, no copy."""
    path: Any = request.session.get(auth.BACKEND_SESSION_KEY)
    if request.method not in ("GET", "HEAD") or path not in settings.AUTHENTICATION_BACKENDS:
        return None, None
    backend = auth.load_backend(path)
    own = type(backend)
    if own.get_user is not ModelBackend.get_user or own.aget_user is not ModelBackend.aget_user:
        return None, None  # it finds users in a way of its own
    return backend, request.session.get(auth.HASH_SESSION_KEY)


def sign(pk: Any, proof: str, db: str, row: dict[str, Any]) -> str:
    """Bind a row to its key, to sessions with this hash, and to the fields of the model as they are."""
    content = repr((key(pk), proof, db, row, columns(auth.get_user_model())))
    return salted_hmac(__name__, content, algorithm="sha256").hexdigest()


def key(pk: Any) -> str:
    """Return the key of a user's copy."""
    return f"{__name__}:{auth.get_user_model()._meta.pk.to_python(pk)}"


def beside_sessions() -> BaseCache:
    """Return the cache that the sessions are in."""
    return caches[settings.SESSION_CACHE_ALIAS]


@cache
def columns(model: type[models.Model]) -> tuple[tuple[str, str], ...]:
    """Return the fields of a model that have a column, with their types."""
    return tuple(
        (field.attname, field.get_internal_type()) for field in model._meta.concrete_fields
    )


@cache
def fetch_mode(model: Any) -> Any:
    """Return the mode in which the manager loads users, for what is loaded through them."""
    return model._default_manager.get_queryset()._fetch_mode


def ready() -> None:
    """Watch for changes in each process of a project that uses this, commands and workers too."""
    if installed():
        connect()


def installed() -> bool:
    """Say whether the middleware, or one derived from it, is in `MIDDLEWARE`."""
    classes = [
        found for path in settings.MIDDLEWARE if inspect.isclass(found := import_string(path))
    ]
    return any(issubclass(found, CachedUserMiddleware) for found in classes)


def connect() -> None:
    """Watch every model that shares rows with the user: proxies, parents, children."""
    user: Any = auth.get_user_model()._meta.concrete_model
    for model in apps.get_models():
        if issubclass(model, user) or issubclass(user, model):
            post_save.connect(forget, sender=model)
            post_delete.connect(forget, sender=model)
    user_logged_out.connect(forget_signed_out)


def finding() -> Finding:
    """See whether the middleware is in use, and on a cache that all processes share."""
    if not installed():
        return None, lambda: "off: each request of a signed-in visitor reads its user"
    store = beside_sessions()
    if isinstance(store, (DummyCache, LocMemCache)):
        return False, lambda: f"{type(store).__name__} hides a change from other processes"
    return True, lambda: f"kept for {LIFE} s at most in the cache {settings.SESSION_CACHE_ALIAS!r}"
