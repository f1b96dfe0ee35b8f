"""Read settings from environment variables; each error is one sentence that says what to set.

    read_env(BASE_DIR / ".env")
    DEBUG = env.bool("DEBUG", False)
    DATABASES = {"default": database(required("DATABASE_URL", "postgresql://user@host/name"))}
    redis_url = redis("REDIS_URL", required("REDIS_URL", "redis://host:6379/0"))

environs parses variables (`env` is its reader), dj-database-url and redis-py parse URLs.
"""

from copy import deepcopy
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from dotenv import load_dotenv
from environs import Env, EnvError
from redis.connection import UnixDomainSocketConnection, parse_url

__all__ = [
    "EnvError",
    "database",
    "env",
    "networks",
    "read_env",
    "redis",
    "redis_location",
    "required",
    "smtp",
]

# The schemes of dj-database-url whose backends derive from Django's for PostgreSQL, and for SQLite.
POSTGRESQL = {"cockroach", "pgsql", "postgis", "postgres", "postgresql", "redshift"}
POSTGRESQL |= {"timescale", "timescalegis"}
SQLITE = {"spatialite", "sqlite"}

env = Env()


def read_env(file: Path) -> None:
    """Set the variables of a .env file that the process environment does not have.

    Processes that this one starts inherit them. A file that does not exist changes nothing.
    """
    load_dotenv(file)


def required(name: str, example: str) -> str:
    """Return the value of an environment variable that the project cannot do without.

    Args:
        name: the variable.
        example: a value for the error message.

    Raises:
        ImproperlyConfigured: the variable is empty.
    """
    if value := env.str(name, ""):
        return value
    raise ImproperlyConfigured(f"Set {name}, for example to {example}")


def database(
    url: str,
    *,
    postgresql: dict[str, Any] | None = None,
    sqlite: dict[str, Any] | None = None,
    **defaults: Any,
) -> dict[str, Any]:
    """Return the entry of `DATABASES` for a URL.

    The scheme chooses the options, so `ENGINE` can be replaced by that of a package afterwards.

    Args:
        url: as dj-database-url reads it. Its query (`?sslmode=require`) becomes OPTIONS.
        postgresql: OPTIONS of a backend for PostgreSQL, such as PostGIS, that the query does not have.
        sqlite: OPTIONS of a backend for SQLite that the query does not have.
        defaults: further keys of the entry, such as `CONN_MAX_AGE`.

    Raises:
        ImproperlyConfigured: it is no database URL.
    """
    scheme = url.partition(":")[0]
    try:
        if scheme not in SQLITE:
            refuse_split(url)
        entry = {**dj_database_url.parse(url), **defaults}
    except ValueError:
        raise ImproperlyConfigured(
            "Set DATABASE_URL to a URL like postgresql://user:password@host:5432/name, with every "
            "character of the password that is neither letter nor digit as %XX"
        ) from None
    options: dict[str, Any] | None = None
    if scheme in POSTGRESQL:
        options = postgresql
    elif scheme in SQLITE:
        options = sqlite
    return {**entry, "OPTIONS": deepcopy(options or {}) | entry.get("OPTIONS", {})}


def refuse_split(url: str) -> None:
    """Refuse a URL that an unescaped character of its password ends too early.

    The part before a `#`, `/` or `?` can be valid: `redis://user:1#2@host` leads to a host `user`.

    Raises:
        ValueError: the host is behind such a character.
    """
    parts = urlsplit(url)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if any("@" in part for part in (parts.path, parts.fragment, *names)):
        raise ValueError("an @ follows the host")


def networks(name: str, values: list[str]) -> list[str]:
    """Return IP addresses and networks after checking them.

    Args:
        name: the environment variable that they are from, for the error message.
        values: such as "10.0.0.0/8" or "::1".

    Raises:
        ImproperlyConfigured: one of them is neither.
    """
    try:
        for value in values:
            ip_network(value)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"Set {name} to addresses or networks like 10.0.0.0/8: {error}"
        ) from None
    return values


def redis(name: str, url: str) -> str:
    """Return a Redis URL as it is, after checking it: it may also be that of Celery or channels_redis.

    Args:
        name: the environment variable that the URL is from, for the error message.
        url: as redis-py reads it: `redis://`, `rediss://` (TLS) or `unix://` (a socket).

    Raises:
        ImproperlyConfigured: it is no Redis URL, or leads to several servers.
    """
    try:
        if parse_url(url).get("connection_class") is not UnixDomainSocketConnection:
            refuse_split(url)
            int(urlsplit(url).path.strip("/") or 0)  # redis-py ignores a path that is no number
    except ValueError:
        raise ImproperlyConfigured(
            f"Set {name} to a URL of one server like redis://:password@host:6379/0 (rediss: TLS, "
            "unix:///run/redis.sock?db=0: a socket), with every character of the password that is "
            "neither letter nor digit as %XX"
        ) from None
    return url


def redis_location(url: str, offset: int = 0) -> str:
    """Return the LOCATION in `CACHES` for a Redis URL.

    Args:
        url: as `redis` returns it, with the database number in the path or in `?db=`.
        offset: added to the number.
    """
    number = parse_url(url).get("db", 0) + offset
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query.pop("db", None)
    if "ssl_cert_reqs" in query:  # Celery's names are CERT_NONE and others, those of redis-py none
        query["ssl_cert_reqs"] = query["ssl_cert_reqs"].removeprefix("CERT_").lower()
    path = f"/{number}"
    if parts.scheme == "unix":  # the path is that of the socket
        path, query["db"] = parts.path, str(number)
    # Not with urlunsplit, which drops slashes of a unix URL.
    parameters = f"?{urlencode(query)}" if query else ""
    # django-redis splits a LOCATION at commas.
    return f"{parts.scheme}://{parts.netloc}{path}{parameters}".replace(",", "%2C")


def smtp(url: str) -> dict[str, Any]:
    """Return the OPTIONS of Django's SMTP backend for a URL.

    Args:
        url: `smtp+tls://` (STARTTLS), `smtps://` (TLS from the first byte) or `smtp://` (none).

    Raises:
        ImproperlyConfigured: it is no URL of a mail server.
    """
    encryption = {"smtp": {}, "smtp+tls": {"use_tls": True}, "smtps": {"use_ssl": True}}
    try:
        refuse_split(url)
        parts = urlsplit(url)
        return {
            "host": parts.hostname,
            "port": parts.port,
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "timeout": 10,  # seconds; Django's default waits without limit
            **encryption[parts.scheme],
        }
    except (KeyError, ValueError):
        raise ImproperlyConfigured(
            "Set EMAIL_URL to a URL like smtp+tls://user:password@host:587 (smtps: TLS from the first "
            "byte, smtp: none)"
        ) from None
