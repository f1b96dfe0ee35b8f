"""Django's own test runner with `speed.instances` in place: each model of every test inherits from it.

    python run_with_instances.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution; the project is the working directory.
"""

import atexit
import os
import runpy
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

tests = sys.argv.pop(1)
sys.path[:0] = [tests, os.getcwd()]  # noqa: PTH109 - a string

from django.apps import apps  # noqa: E402
from django.db import models  # noqa: E402
from django.db.models import base  # noqa: E402
from django.db.models.fields import related  # noqa: E402

done: Counter[str] = Counter()
original = base.ModelBase.__new__


def make(cls: Any, name: str, bases: tuple[Any, ...], attrs: Any, **options: Any) -> Any:
    """Make a model class, derived from ours where a test derives from Django's."""
    if models.Model in bases and apps.apps_ready and attrs["__module__"] != "speed.instances":
        bases = tuple(ours().Model if one is models.Model else one for one in bases)
    return original(cls, name, bases, attrs, **options)


def ours() -> Any:
    """Import the module, which can be done once Django knows its applications."""
    from speed import instances

    def send(**told: Any) -> None:
        done["set"] += 1
        base.post_init.send(**told)

    related.ManyToManyDescriptor = instances.CopyingDescriptor
    instances.post_init = SimpleNamespace(send=send)
    return instances


base.ModelBase.__new__ = make


@atexit.register
def tell() -> None:
    print(f"set: {done['set']}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
