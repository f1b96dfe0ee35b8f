"""Django's test runner with `djfast.engine.urls` in the place of Django's `reverse` and `url` tag.

    python run_with_urls.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution. Prints how many URLs were not left to Django.
"""

import atexit
import os
import runpy
import sys
from typing import Any

tests = sys.argv.pop(1)
sys.path[:0] = [tests, os.getcwd()]  # noqa: PTH109 - a string

import django.urls.base  # noqa: E402
from django.template import defaulttags  # noqa: E402
from django.utils.functional import lazy  # noqa: E402
from djfast import engine  # noqa: E402
from djfast.engine import urls  # noqa: E402

calls = {"all": 0, "left to Django": 0}
original = django.urls.base.reverse


def ours(*args: Any, **kwargs: Any) -> str:
    calls["all"] += 1
    return urls.reverse(*args, **kwargs)


def left(*args: Any, **kwargs: Any) -> str:
    calls["left to Django"] += 1
    return original(*args, **kwargs)


# Replaced below, so the fingerprints would differ: the module is active whatever they find.
engine.STATE.active.update(urls=True)
for module in [module for name, module in sys.modules.items() if name.startswith("django.")]:
    for name, value in list(vars(module).items()):
        if value is original:
            setattr(module, name, ours)
django.urls.reverse_lazy = django.urls.base.reverse_lazy = lazy(ours, str)
urls.django_reverse = left
# `tag` parses with Django's function, not with this entry.
defaulttags.register.tags["url"] = urls.tag


@atexit.register
def report() -> None:
    print(f"reversed: {calls['all'] - calls['left to Django']}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
