"""Django's test runner with `loops`, `urls` and `formats` of djfast.engine: every template is compiled.

    python run_with_loops.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution. All of a template is compiled, not only its
loops. Prints how many lists of nodes were compiled and how many dates and numbers were formatted.
"""

import atexit
import os
import runpy
import sys
from collections import Counter
from functools import wraps
from types import SimpleNamespace
from typing import Any

tests = sys.argv.pop(1)
sys.path[:0] = [tests, os.getcwd()]  # noqa: PTH109 - a string

from django.template import Context, defaultfilters, defaulttags  # noqa: E402
from django.template.base import Node, NodeList  # noqa: E402
from django.utils.safestring import SafeString  # noqa: E402
from djfast import engine  # noqa: E402
from djfast.engine import formats, loops, urls  # noqa: E402

done: Counter[str] = Counter()
original = NodeList.render


def render(self: NodeList, context: Context) -> SafeString:
    """Render a list of nodes as a loop renders its body."""
    if loops.is_left_to_django(context):
        return original(self, context)
    done["compiled"] += 1
    if not hasattr(self, "function"):
        writer = loops.Writer("context, put")
        writer.body(self)
        self.function = writer.compiled(Node())
    pieces: list[str] = []
    self.function(context, pieces.append)
    return SafeString("".join(pieces))


def counted(name: str) -> Any:
    """Return the fallback of a filter, which counts its calls."""
    django = getattr(defaultfilters, name)

    def fallback(*args: Any) -> Any:
        done["left to Django"] += 1
        return django(*args)

    return fallback


def prepare(name: str) -> None:
    """Replace a filter of Django's, in templates and for tests that import it."""
    ours = getattr(formats, name)

    @wraps(ours)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        done["formatted"] += 1
        return ours(*args, **kwargs)

    defaultfilters.register.filters[name] = replacement
    setattr(defaultfilters, name, replacement)


# Replaced below, so the fingerprints would differ: these modules are active whatever they find.
engine.STATE.active.update(formats=True, loops=True, urls=True)
loops.ENOUGH = 0
NodeList.render = render
defaulttags.register.tags |= {"for": loops.tag, "url": urls.tag}
formats.defaultfilters = SimpleNamespace(date=counted("date"), floatformat=counted("floatformat"))
prepare("date")
prepare("floatformat")


@atexit.register
def report() -> None:
    print(f"compiled: {done['compiled']}")
    print(f"formatted: {done['formatted'] - done['left to Django']}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
