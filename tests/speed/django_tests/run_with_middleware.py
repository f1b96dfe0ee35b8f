"""Django's own test runner with `speed.middleware` in the place of Django's.

    python run_with_middleware.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution; the project is the working directory.
"""

import atexit
import os
import runpy
import sys
from collections import Counter
from typing import Any

tests = sys.argv.pop(1)
sys.path[:0] = [tests, os.getcwd()]  # noqa: PTH109 - a string

from django.contrib.messages import middleware as messages  # noqa: E402
from django.middleware import http  # noqa: E402

from speed import middleware  # noqa: E402

done: Counter[str] = Counter()


def put(module: Any, name: str) -> None:
    """Put one class in the place of Django's, and count the answers that it sees."""
    ours: Any = getattr(middleware, name)
    answer = ours.process_response

    def counted(self: Any, request: Any, response: Any) -> Any:
        done[name] += 1
        return answer(self, request, response)

    ours.process_response = counted
    setattr(module, name, ours)


put(http, "ConditionalGetMiddleware")
put(messages, "MessageMiddleware")


@atexit.register
def tell() -> None:
    print(f"answered: {min(done.values())}, {dict(done)}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
