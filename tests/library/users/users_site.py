"""Users, their sessions, and requests of the cached user middleware."""

from typing import Any

from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.cached_db import SessionStore
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from djfast.cache import users

User: Any = auth.get_user_model()
MODEL = "django.contrib.auth.backends.ModelBackend"
ALL = "django.contrib.auth.backends.AllowAllUsersModelBackend"
DJANGO = "django.contrib.auth.middleware.AuthenticationMiddleware"
CACHED = "djfast.cache.users.CachedUserMiddleware"


class Picky(ModelBackend):
    """A backend with its own rules for finding users."""

    def get_user(self, user_id: Any) -> Any:
        user: Any = super().get_user(user_id)
        return user if user and user.first_name != "refused" else None


PICKY = f"{__name__}.Picky"


def name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


async def async_name(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username())


urlpatterns = [path("", name), path("async/", async_name)]


def visit(session_key: str | None, method: str = "GET") -> Any:
    """Return a request as the middleware passes it on."""
    request: Any = RequestFactory().generic(method, "/")
    request.session = SessionStore(session_key)
    users.CachedUserMiddleware(lambda request: None).process_request(request)
    return request


def stock(session_key: str | None) -> Any:
    """Return the user that Django finds for the session."""
    request: Any = RequestFactory().get("/")
    request.session = SessionStore(session_key)
    return auth.get_user(request)


def sign_in(user: Any, backend: str = MODEL) -> str:
    """Return the key of a new session."""
    request = visit(None)
    auth.login(request, user, backend=backend)
    request.session.save()
    return str(request.session.session_key)


def end_grace() -> None:
    """Do what the passing of GRACE seconds does to the keys of changed users."""
    store = caches["sessions"]
    last = User.objects.order_by("pk").last()
    for key in [users.key(pk) for pk in range((last.pk if last else 0) + 1)]:
        if store.get(key, "nothing") is None:
            store.delete(key)


def has_entry(key: str) -> bool:
    return isinstance(caches["sessions"].get(key), list)


def create_entry(session_key: str) -> str:
    """Make a request some time after the sign-in, and return the key of the entry it stores."""
    end_grace()
    key = users.key(visit(session_key).user.pk)
    assert has_entry(key)
    return key


def state(user: Any) -> dict[str, Any]:
    """Return all that code can read from a user."""
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
