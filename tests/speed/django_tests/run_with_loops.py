"""Django's own test runner with `speed.loops` in place: all of every template is compiled, not only loops.

    python run_with_loops.py FOLDER [LABEL ...]

FOLDER is the `tests` folder of Django's source distribution; the project is the working directory.
"""

import atexit
import os
import runpy
import sys
from collections import Counter

tests = sys.argv.pop(1)
sys.path[:0] = [tests, os.getcwd()]  # noqa: PTH109 - a string

from django.template import Context, defaulttags  # noqa: E402
from django.template.base import Node, NodeList  # noqa: E402
from django.utils.safestring import SafeString  # noqa: E402

from speed import loops, urls  # noqa: E402

done: Counter[str] = Counter()
original = NodeList.render


def render(self: NodeList, context: Context) -> SafeString:
    """Render a list of nodes as a loop renders its body."""
    if loops.is_left_to_django(context):
        done["interpreted"] += 1
        return original(self, context)
    done["compiled"] += 1
    if not hasattr(self, "function"):
        writer = loops.Writer("context, put")
        writer.body(self)
        self.function = writer.compiled(Node())
    pieces: list[str] = []
    self.function(context, pieces.append)
    return SafeString("".join(pieces))


loops.ENOUGH = 0
NodeList.render = render
defaulttags.register.tags |= {"for": loops.tag, "url": urls.tag}


@atexit.register
def tell() -> None:
    print(f"compiled: {done['compiled']}, interpreted: {done['interpreted']}", flush=True)


runpy.run_path(os.path.join(tests, "runtests.py"), run_name="__main__")  # noqa: PTH118
