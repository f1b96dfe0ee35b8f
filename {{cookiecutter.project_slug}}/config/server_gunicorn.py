"""Run the production server: `python -m config.server`.

`HOST`, `PORT` and `WEB_CONCURRENCY` configure it; djfast.server validates them and execs gunicorn.
"""

import os
from pathlib import Path

from djfast import server

# {% if cookiecutter.interface == "wsgi" %}
# Threads overlap while they wait for the database and for nothing else: with more of them, pages that
# compute get slower. Each thread has a database connection.
THREADS = 4  # per process

OPTIONS = [
    f"--graceful-timeout={server.GRACE}",
    "--keep-alive=75",  # seconds: longer than a proxy's, so that it never writes to a closed connection
    "--no-control-socket",
    f"--threads={THREADS}",
    "--worker-class=gthread",
]
# {% else %}
OPTIONS = [
    "--asgi-lifespan=off",  # Django does not handle lifespan events
    f"--graceful-timeout={server.GRACE}",
    # Seconds. A stop waits for idle connections; a proxy whose own limit is longer retries at times.
    "--keep-alive=5",
    "--no-control-socket",
    "--worker-class=asgi",
]
# {% endif %}
# Heartbeats in memory: while a disk stalls, gunicorn would kill workers that are healthy.
if Path("/dev/shm").is_dir():
    OPTIONS.append("--worker-tmp-dir=/dev/shm")

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    server.gunicorn(OPTIONS)
