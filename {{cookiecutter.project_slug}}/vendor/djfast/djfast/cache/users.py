"""Cached user: `request.user` from a signed cache entry beside the session instead of a query.

    MIDDLEWARE = [..., "djfast.cache.users.CachedUserMiddleware", ...]

takes the place of Django's `AuthenticationMiddleware`. Adding or removing it signs nobody in or out.

An entry is used for GET and HEAD, for at most `LIFE` seconds; a request that may write loads the row.
It contains no password: code that reads `user.password` causes a query. Its signature covers the hash
in the session, so it is valid only for sessions that Django has verified, and only code that knows
SECRET_KEY can create one. It contains no permissions and groups either: `has_perm` queries them.

A signal (save, delete; so also a new password, a deactivation, a sign-in) or a sign-out invalidates the
entry at once, for every process. `QuerySet.update`, `bulk_update`, raw SQL, other programs, and changes
while the cache is unreachable take effect when the entry expires.
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
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

LIFE = 60  # seconds from the query for a row to the end of its entry
SLOW = 5  # seconds: a request that took longer to load the row stores no entry
GRACE = 2 * SLOW  # seconds without an entry after a change: a slow request may have the old row

SECRET = {"password"}  # fields that are never cached; add those of your user model

# Only values of these classes are cached: unlike a pickled object, they load under any release.
PLAIN = {type(None), bool, int, float, str, Decimal, UUID, date, datetime, timedelta}


class CachedUserMiddleware(AuthenticationMiddleware):
    """Django's middleware, with `request.user` and `request.auser()` from the cache if possible."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        connect()

    def process_request(self, request: Any) -> None:
        """Set both attributes; nothing is loaded before one of them is used."""
        super().process_request(request)
        request.user = SimpleLazyObject(partial(get_user, request))
        request.auser = partial(aget_user, request)


def get_user(request: Any) -> Any:
    """Return the user of a request, with a query only if there is no valid entry.

    As in Django, the user is stored in `request._cached_user`, which some packages reset.
    """
    if not hasattr(request, "_cached_user"):
        user = load(request)
        if user is None:
            start = time.monotonic()
            user = auth.get_user(request)
            store(request, user, start)
        request._cached_user = user
    return request._cached_user


async def aget_user(request: Any) -> Any:
    """Return the user of a request on an event loop; see `get_user`."""
    if not hasattr(request, "_acached_user"):
        user = await sync_to_async(load)(request)
        if user is None:
            start = time.monotonic()
            user = await auth.aget_user(request)
            await sync_to_async(store)(request, user, start)
        request._acached_user = user
    return request._acached_user


def load(request: HttpRequest) -> Any:
    """Return the session's user from the cache; None: Django has to load and verify it."""
    backend, session_hash = credentials(request)
    if not session_hash:
        return None
    model = auth.get_user_model()
    pk = model._meta.pk.to_python(request.session.get(auth.SESSION_KEY))
    match session_cache().get(key(pk)):
        case [str(db), dict(row), str(signature)] if constant_time_compare(
            signature, sign(pk, session_hash, db, row)
        ):
            names = [name for name, _ in columns(model) if name in row]
            user = model.from_db(db, names, [row[name] for name in names])
            user._state.fetch_mode = fetch_mode(model)
            return user if backend.user_can_authenticate(user) else None
    return None


def store(request: HttpRequest, user: Any, start: float) -> None:
    """Cache a user that Django has just verified.

    Args:
        request: whose session it was verified for.
        user: as Django's backend returned it.
        start: time before the row was loaded, in seconds on the monotonic clock.
    """
    _, session_hash = credentials(request)
    model = auth.get_user_model()
    names = {name for name, _ in columns(model)}
    # A user that has more than its row, like an annotation of the manager, cannot be restored.
    if not session_hash or type(user) is not model or vars(user).keys() - names - {"_state"}:
        return
    names -= SECRET
    row = {name: v for name, v in vars(user).items() if name in names and type(v) in PLAIN}
    db: Any = user._state.db
    entry = [db, row, sign(user.pk, session_hash, db, row)]

    def add() -> None:
        # From a change until the end of GRACE the key is occupied, and add() stores nothing.
        if time.monotonic() - start < SLOW:
            session_cache().add(key(user.pk), entry, LIFE - SLOW)

    # Inside a transaction the row may have values that are never committed. Code that manages
    # transactions itself gives no way to know, so nothing is stored.
    with suppress(transaction.TransactionManagementError):
        transaction.on_commit(add, using=db, robust=True)


def invalidate(instance: models.Model, using: str | None, **signal: Any) -> None:
    """Remove the entry of a user whose row has changed, and prevent a new one for a while."""
    pk = instance.pk  # Django sets it to None after deleting an object

    def occupy(seconds: int) -> None:
        session_cache().set(key(pk), None, seconds)

    occupy(LIFE)  # before the commit, in case that the process dies right after it
    with suppress(transaction.TransactionManagementError):
        transaction.on_commit(partial(occupy, GRACE), using=using, robust=True)


def invalidate_signed_out(user: Any, **signal: Any) -> None:
    """Remove the entry of a user who signs out."""
    if user is not None:
        invalidate(user, user._state.db)


def credentials(request: HttpRequest) -> tuple[Any, Any]:
    """Return the backend of the session and its hash of the password; no hash: use no entry."""
    path: Any = request.session.get(auth.BACKEND_SESSION_KEY)
    if request.method not in ("GET", "HEAD") or path not in settings.AUTHENTICATION_BACKENDS:
        return None, None
    backend = auth.load_backend(path)
    own = type(backend)
    if own.get_user is not ModelBackend.get_user or own.aget_user is not ModelBackend.aget_user:
        return None, None  # the backend has its own rules for finding users
    return backend, request.session.get(auth.HASH_SESSION_KEY)


def sign(pk: Any, session_hash: str, db: str, row: dict[str, Any]) -> str:
    """Return a signature of a row, its key, the hash in its sessions, and the fields of the model."""
    content = repr((key(pk), session_hash, db, row, columns(auth.get_user_model())))
    return salted_hmac(__name__, content, algorithm="sha256").hexdigest()


def key(pk: Any) -> str:
    """Return the cache key of a user."""
    return f"{__name__}:{auth.get_user_model()._meta.pk.to_python(pk)}"


def session_cache() -> BaseCache:
    """Return the cache of the sessions, which holds the entries, too."""
    return caches[settings.SESSION_CACHE_ALIAS]


@cache
def columns(model: type[models.Model]) -> tuple[tuple[str, str], ...]:
    """Return the name and the type of each field of a model that has a column."""
    return tuple(
        (field.attname, field.get_internal_type()) for field in model._meta.concrete_fields
    )


@cache
def fetch_mode(model: Any) -> Any:
    """Return the fetch mode of the model's default manager, which applies to related objects."""
    return model._default_manager.get_queryset()._fetch_mode


def installed() -> bool:
    """Return whether the middleware, or a subclass of it, is in `MIDDLEWARE`."""
    classes = [
        found for path in settings.MIDDLEWARE if inspect.isclass(found := import_string(path))
    ]
    return any(issubclass(found, CachedUserMiddleware) for found in classes)


def ready() -> None:
    """Connect the signals at startup, so that commands and workers invalidate entries, too."""
    if installed():
        connect()


def connect() -> None:
    """Connect the signals of every model that shares rows with the user: proxies, parents, children."""
    user: Any = auth.get_user_model()._meta.concrete_model
    for model in apps.get_models():
        if issubclass(model, user) or issubclass(user, model):
            post_save.connect(invalidate, sender=model)
            post_delete.connect(invalidate, sender=model)
    user_logged_out.connect(invalidate_signed_out)
