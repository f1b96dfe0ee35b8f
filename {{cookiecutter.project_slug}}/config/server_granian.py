"""Run the production server: `python -m config.server`.

`HOST`, `PORT` and `WEB_CONCURRENCY` configure it; djfast.server validates them and execs granian.
"""

import os

from djfast import server

# {% if cookiecutter.interface == "wsgi" %}
# Threads overlap while they wait for the database and for nothing else: with more of them, pages that
# compute get slower. Each thread has a database connection.
THREADS = 4  # per process

OPTIONS = [
    # granian's default is up to 512 per process, each with a database connection.
    f"--blocking-threads={THREADS}",
    # The default, 30, ends idle threads and thus their persistent connections.
    "--blocking-threads-idle-timeout=600",  # seconds
    "--interface=wsgi",
    "--no-ws",
    "--respawn-failed-workers",  # by default, a process that dies is not replaced
    f"--workers-kill-timeout={server.GRACE}",
]
# {% else %}
OPTIONS = [
    "--interface=asginl",  # without lifespan events, which Django does not handle
    "--respawn-failed-workers",  # by default, a process that dies is not replaced
    f"--workers-kill-timeout={server.GRACE}",
]
# {% endif %}

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    server.granian(OPTIONS)
