"""Run the production server: `python -m config.server`, told by `HOST`, `PORT`, `WEB_CONCURRENCY`."""

import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError, validate

# Seconds that a request under way may still take when the server is told to stop: less than the 30
# after which Docker, Kubernetes and systemd lose patience.
GRACE = 25

# {% if cookiecutter.interface == "wsgi" %}
APPLICATION = "config.wsgi.application"
# {% else %}
APPLICATION = "config.asgi.application"
# {% endif %}


# {% if cookiecutter.server == "granian" %}
def granian(host: str, port: int, workers: int) -> list[str]:
    """Return granian's command line.

    Args:
        host: address to listen on.
        port: TCP port to listen on.
        workers: processes; one per core, fewer leave cores idle and more only share them.
    """
    options = [
        f"--host={host}",
        f"--port={port}",
        f"--workers={workers}",
        # {% if cookiecutter.interface == "wsgi" %}
        "--interface=wsgi",
        "--no-ws",
        # granian's own: up to 512 per process, each with a connection to the database.
        f"--blocking-threads={settings.SERVER_THREADS}",
        # granian's own, 30, ends an idle thread and with it the connection that CONN_MAX_AGE keeps.
        "--blocking-threads-idle-timeout=600",  # seconds
        # {% else %}
        "--interface=asginl",  # without lifespan events, which Django does not know
        *(["--reload", "--reload-ignore-dirs=.services"] if settings.DEBUG else []),
        # {% endif %}
        "--respawn-failed-workers",  # granian's own: a process that dies is not replaced
        f"--workers-kill-timeout={GRACE}",
    ]
    return ["granian", "--factory", "config.server:application", *options]


def application() -> object:
    """Load the application in a worker of granian, which leaves a proxy's headers to it."""
    import signal

    from django.utils.module_loading import import_string
    from granian.utils import proxies

    # A worker is born with granian's handler, which ignores what is meant for the worker: without
    # this, a stop during the start took GRACE seconds.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Ctrl-C reaches the workers too; with the SIGTERM that granian then sends, a worker hangs.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # {% if cookiecutter.interface == "wsgi" %}
    behind_proxy = proxies.wrap_wsgi_with_proxy_headers
    # {% else %}
    behind_proxy = proxies.wrap_asgi_with_proxy_headers
    # {% endif %}
    application = import_string(APPLICATION)
    trusted = settings.TRUSTED_PROXY
    return behind_proxy(application, trusted) if trusted else application


# {% else %}
def gunicorn(host: str, port: int, workers: int) -> list[str]:
    """Return gunicorn's command line.

    Args:
        host: address to listen on.
        port: TCP port to listen on.
        workers: processes; one per core, fewer leave cores idle and more only share them.
    """
    options = [
        f"--bind=[{host}]:{port}" if ":" in host else f"--bind={host}:{port}",
        f"--workers={workers}",
        # {% if cookiecutter.interface == "wsgi" %}
        "--worker-class=gthread",
        f"--threads={settings.SERVER_THREADS}",
        "--keep-alive=75",  # seconds: longer than a proxy's, so that it never writes to a closed end
        # {% else %}
        "--worker-class=asgi",
        "--asgi-lifespan=off",  # Django does not know lifespan events
        # Seconds. A stop waits for idle connections; a proxy that keeps them longer has to try again
        # now and then.
        "--keep-alive=5",
        *(["--reload"] if settings.DEBUG else []),
        # {% endif %}
        f"--graceful-timeout={GRACE}",
        f"--forwarded-allow-ips={','.join(settings.TRUSTED_PROXY)}",  # gunicorn's own: 127.0.0.1
        # Heartbeats in memory: on a disk that stalls, gunicorn would kill workers that are well.
        *(["--worker-tmp-dir=/dev/shm"] if Path("/dev/shm").is_dir() else []),
        "--no-control-socket",
    ]
    return ["gunicorn", APPLICATION.replace(".application", ":application"), *options]


# {% endif %}
def main() -> None:
    """Check what must be true before a server may start, then become that server.

    Raises:
        SystemExit: something is not; the message says what to do.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    env = Env()
    try:
        local, root = settings.LOCAL_HTTP, Path(settings.STATIC_ROOT)
        host = env.str("HOST", "127.0.0.1").replace("localhost", "127.0.0.1")
        port = env.int("PORT", 8000, validate=validate.Range(min=1, max=65535))
        some = validate.Range(min=1)
        workers = env.int("WEB_CONCURRENCY", os.cpu_count() or 1, validate=some)
        loopback = ip_address(host).is_loopback
    except (EnvError, ImproperlyConfigured) as error:
        sys.exit(str(error))
    except ValueError:
        sys.exit(f"Set HOST to an IP address of this machine, or to 0.0.0.0 for all: not {host!r}.")
    if (local or settings.DEBUG) and not loopback:
        sys.exit(f"DEBUG and LOCAL_HTTP are for this machine only: unset them, or HOST={host}.")
    if not settings.DEBUG and not (root / "staticfiles.json").exists():
        sys.exit(f"There are no static files in {root}: make them with `python -m config.build`.")
    try:  # granian would share the port with whoever listens there
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        sys.exit(f"Set HOST and PORT to an address that is free: {error.strerror} ({host}:{port}).")
    # {% if cookiecutter.server == "granian" %}
    command = granian(host, port, workers)
    # {% else %}
    command = gunicorn(host, port, workers)
    # {% endif %}
    os.execv(sys.executable, [sys.executable, "-m", *command])


if __name__ == "__main__":
    main()
