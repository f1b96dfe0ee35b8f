"""Read settings from environment variables; each error is one sentence that says what to set.

    read_env(BASE_DIR / ".env")
    DEBUG = env.bool("DEBUG", False)
    DATABASES = {"default": database(required("DATABASE_URL", "postgresql://user@host/name"))}

environs parses variables (`env` is its reader), dj-database-url and redis-py parse URLs.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from dotenv import load_dotenv
from environs import Env, EnvError
from redis.connection import parse_url

__all__ = [
    "EnvError",
    "database",
    "database_number",
    "env",
    "is_postgresql",
    "networks",
    "read_env",
    "redis",
    "required",
    "smtp",
]

env = Env()


def read_env(file: Path) -> None:
    """Set the variables of a .env file that the process environment does not have.

    Processes that this one starts inherit them. A file that does not exist changes nothing.
    """
    load_dotenv(file)


def required(name: str, example: str, *, in_development: bool = False) -> str:
    """Return the value of an environment variable that production cannot do without.

    Args:
        name: the variable.
        example: a value for the error message.
        in_development: whether it is also required while `DEBUG` is on. Otherwise development may
            leave it empty: `manage.py` and pytest start their own servers, and commands that need
            no server get none.

    Raises:
        ImproperlyConfigured: the variable is empty.
    """
    value = env.str(name, "")
    if value or (env.bool("DEBUG", False) and not in_development):
        return value
    otherwise = "" if in_development else ", or DEBUG=1 in .env for development"
    raise ImproperlyConfigured(f"Set {name}, for example to {example}{otherwise}")


def database(url: str) -> dict[str, Any]:
    """Return the entry of `DATABASES` for a URL, whose query (`?sslmode=require`) becomes OPTIONS.

    Args:
        url: as dj-database-url reads it; an empty one gives a backend that raises an error when
            something uses it.

    Raises:
        ImproperlyConfigured: it is no database URL.
    """
    if not url:
        return {"ENGINE": "djfast.no_database", "OPTIONS": {}}
    try:
        return {"OPTIONS": {}, **dj_database_url.parse(url)}
    except ValueError:
        raise ImproperlyConfigured(
            "Set DATABASE_URL to a URL like postgresql://user:password@host:5432/name, with every "
            "character of the password that is neither letter nor digit as %XX"
        ) from None


def is_postgresql(database: dict[str, Any]) -> bool:
    """Return whether an entry of `DATABASES` is for PostgreSQL, with Django's backend or one based on it.

    Args:
        database: its ENGINE is not imported: PostGIS reads settings, which are not complete yet.
    """
    families = ("postgres", "postgis", "timescale", "cockroach", "psqlextra")
    return any(name in database["ENGINE"] for name in families)


def database_number(url: str, offset: int) -> str:
    """Return a Redis URL with `offset` added to its database number and everything else preserved.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with the number in the path or in `?db=`.
        offset: added to the number.

    Raises:
        ValueError: redis-py cannot parse the URL.
    """
    number = parse_url(url).get("db", 0) + offset
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query.pop("db", None)
    path = f"/{number}"
    if parts.scheme == "unix":  # the path is that of the socket
        path, query["db"] = parts.path, str(number)
    # Not with urlunsplit, which drops slashes of a unix URL.
    parameters = f"?{urlencode(query)}" if query else ""
    return f"{parts.scheme}://{parts.netloc}{path}{parameters}"


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
    """Return a Redis URL as it was given, so that other packages can use it, after checking it.

    Args:
        name: the environment variable that the URL is from, for the error message.
        url: as redis-py reads it.

    Raises:
        ImproperlyConfigured: it is no Redis URL.
    """
    try:
        parse_url(url)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"Set {name} to a URL like redis://host:6379/0. {error}"
        ) from None
    return url


def smtp(url: str) -> dict[str, Any]:
    """Return the OPTIONS of Django's SMTP backend for a URL.

    Args:
        url: `smtp+tls://` (STARTTLS), `smtps://` (TLS from the first byte) or `smtp://` (none).

    Raises:
        ImproperlyConfigured: it is no URL of a mail server.
    """
    encryption = {"smtp": {}, "smtp+tls": {"use_tls": True}, "smtps": {"use_ssl": True}}
    try:
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
