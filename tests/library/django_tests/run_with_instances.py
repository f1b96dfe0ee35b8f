"""Django's test runner with `djfast.engine.instances`: each model of every test derives from its base.

    python run_with_instances.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution. Prints how many rows were loaded fast.
"""

import atexit
import os
import runpy
import sys
from collections import Counter
from functools import cache
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
    """Make a model class, derived from the base where a test derives from Django's."""
    if (
        models.Model in bases
        and apps.apps_ready
        and attrs["__module__"] != "djfast.engine.instances"
    ):
        bases = tuple(fast_model() if one is models.Model else one for one in bases)
    return original(cls, name, bases, attrs, **options)


@cache
def fast_model() -> Any:
    """Put the module in place once Django knows its apps; return its base."""
    from djfast import engine
    from djfast.engine import instances

    def send(**named: Any) -> None:
        done["loaded"] += 1
        base.post_init.send(**named)

    related.ManyToManyDescriptor = instances.CopyingDescriptor
    instances.post_init = SimpleNamespace(send=send)
    assert engine.active("instances")
    instances.Model.from_db = classmethod(instances.from_db)  # as `switch` does
    return instances.Model


base.ModelBase.__new__ = make


@atexit.register
def report() -> None:
    print(f"loaded: {done['loaded']}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
