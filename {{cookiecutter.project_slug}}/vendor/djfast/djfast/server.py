"""Validate the environment variables of a production server, then exec granian or gunicorn.

    server.granian(["--interface=wsgi", "--blocking-threads=4"])

The application is the one that `ASGI_APPLICATION` or `WSGI_APPLICATION` of the settings names.
Environment variables: `HOST` (default 127.0.0.1), `PORT` (8000), `WEB_CONCURRENCY` (one process per
core: fewer leave cores idle, more only share them). Settings, all optional: `LOCAL_HTTP` (plain HTTP
for this machine only) and `TRUSTED_PROXY` (whose X-Forwarded-* headers are trusted).
"""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, Never

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage, storages
from django.utils.module_loading import import_string
from environs import validate

from djfast.env import EnvError, env

# Seconds that the requests in progress may take after a stop: less than the 30 after which Docker,
# Kubernetes and systemd kill the process.
GRACE = 25


class Listen(NamedTuple):
    """What the environment variables configure: an IP address, a TCP port, a number of processes."""

    host: str
    port: int
    workers: int


def granian(options: Sequence[str]) -> Never:
    """Exec granian with `options`, on the address that the environment variables configure.

    In development, ASGI applications are restarted when a file changes: `runserver` is WSGI only.

    Raises:
        SystemExit: something is wrong with the environment; the message says what to set.
    """
    host, port, workers = listen()
    reload = ["--reload", "--reload-ignore-dirs=.services"] if settings.DEBUG and asgi() else []
    if reload and settings.MEDIA_ROOT:  # granian watches every file, gunicorn only Python's modules
        reload.append(f"--reload-ignore-paths={Path(settings.MEDIA_ROOT).absolute()}")
    address = [f"--host={host}", f"--port={port}", f"--workers={workers}"]
    become("granian", "--factory", f"{__name__}:application", *address, *options, *reload)


def gunicorn(options: Sequence[str]) -> Never:
    """Exec gunicorn with `options`, on the address that the environment variables configure.

    In development, ASGI applications are restarted when a file changes: `runserver` is WSGI only.

    Raises:
        SystemExit: something is wrong with the environment; the message says what to set.
    """
    host, port, workers = listen()
    reload = ["--reload"] if settings.DEBUG and asgi() else []
    # gunicorn's default trusts 127.0.0.1.
    proxies = ",".join(getattr(settings, "TRUSTED_PROXY", []))
    address = [
        f"--bind=[{host}]:{port}" if ":" in host else f"--bind={host}:{port}",
        f"--workers={workers}",
        f"--forwarded-allow-ips={proxies}",
    ]
    module, _, name = application_name().rpartition(".")
    become("gunicorn", f"{module}:{name}", *address, *options, *reload)


def become(*command: str) -> Never:
    """Replace this process by a module of this Python: signals then reach the server itself."""
    os.execv(sys.executable, [sys.executable, "-m", *command])


def asgi() -> bool:
    """Return whether the project's application is an ASGI application."""
    return bool(getattr(settings, "ASGI_APPLICATION", None))


def application_name() -> str:
    """Return the dotted path of the project's application."""
    return str(getattr(settings, "ASGI_APPLICATION", None) or settings.WSGI_APPLICATION)


def application() -> object:
    """Return the application in a worker of granian, which leaves X-Forwarded-* to the application."""
    from granian.utils import proxies

    # granian's handler in a worker ignores SIGTERM: without this line, a stop during startup takes
    # GRACE seconds.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Ctrl-C reaches the workers too; with the SIGTERM that granian then sends, a worker hangs.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    loaded = import_string(application_name())
    trusted = getattr(settings, "TRUSTED_PROXY", [])
    if not trusted:
        return loaded
    if asgi():
        return proxies.wrap_asgi_with_proxy_headers(loaded, trusted)
    return proxies.wrap_wsgi_with_proxy_headers(loaded, trusted)


def built(root: Path) -> bool:
    """Return whether a folder has the static files that `STORAGES` needs; other places are not checked."""
    storage = storages["staticfiles"]
    if not isinstance(storage, FileSystemStorage):  # for example an object storage
        return True
    hashed = isinstance(storage, ManifestFilesMixin)
    return (root / "staticfiles.json").exists() if hashed else root.is_dir()


def listen() -> Listen:
    """Return where to listen, after checking the variables, the static files and the port.

    Raises:
        SystemExit: a check failed; the message names what to set.
    """
    positive = validate.Range(min=1)
    try:
        debug, root = settings.DEBUG, Path(settings.STATIC_ROOT or "")
        local = debug or getattr(settings, "LOCAL_HTTP", False)
        host = env.str("HOST", "127.0.0.1").replace("localhost", "127.0.0.1")
        port = env.int("PORT", 8000, validate=validate.Range(min=1, max=65535))
        # The debug toolbar stores its data in one process.
        cores = 1 if debug else os.cpu_count() or 1
        workers = env.int("WEB_CONCURRENCY", cores, validate=positive)
    except (EnvError, ImproperlyConfigured) as error:
        sys.exit(str(error))
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        sys.exit(f"Set HOST to an IP address of this machine, or to 0.0.0.0 for all: not {host!r}.")
    if local and not loopback:
        sys.exit(f"DEBUG and LOCAL_HTTP are for this machine only: unset them, or HOST={host}.")
    if not debug and not built(root):
        sys.exit(f"There are no static files in {root}: make them with `python -m config.build`.")
    try:  # granian would share the port with another server that listens there
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        sys.exit(f"Set HOST and PORT to an address that is free: {error.strerror} ({host}:{port}).")
    return Listen(host, port, workers)
