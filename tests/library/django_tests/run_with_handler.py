"""Django's test runner with `djfast.engine.handler` in the place of Django's ASGI handler.

    python run_with_handler.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution. Prints how many requests a thread answered.
"""

import atexit
import os
import runpy
import sys
from typing import Any

tests = sys.argv.pop(1)
sys.path[:0] = [tests, os.getcwd()]  # noqa: PTH109 - a string

import django.core.asgi  # noqa: E402
import django.core.handlers.asgi  # noqa: E402
from djfast import engine  # noqa: E402
from djfast.engine import handler  # noqa: E402

answered = 0


class Counting(handler.Handler):
    """The handler of the module; it counts for all objects, which do not live until the report."""

    async def get_response_async(self, request: Any) -> Any:
        """Return the response of the module's handler."""
        global answered
        before = self.threaded
        response = await super().get_response_async(request)
        answered += self.threaded - before
        return response


# Replaced below, so the fingerprints would differ: the module is active whatever they find.
engine.STATE.active.update(handler=True)
handler.Handler = Counting
django.core.asgi.get_asgi_application = handler.get_asgi_application
django.core.handlers.asgi.ASGIHandler = Counting


@atexit.register
def report() -> None:
    print(f"threaded: {answered}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
