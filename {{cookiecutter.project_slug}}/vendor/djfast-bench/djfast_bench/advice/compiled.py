"""Advice about libraries that are partly written in C."""

import ctypes.util
import json
import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from unittest import mock

import psycopg
from django.http import HttpResponse, JsonResponse

from djfast_bench.advice.base import Pairs, guide, pair
from djfast_bench.advice.database import ALL, page
from djfast_bench.workload import views
from djfast_bench.workload.models import Item

in_c = partial(guide, "c-implementations-of-python-libraries")


def without(package: str, *modules: str) -> Any:
    """Import a package a second time, as if its compiled `modules` were not installed.

    Raises:
        ModuleNotFoundError: the last of them is really not installed.
    """
    import_module(modules[-1])
    with mock.patch.dict(sys.modules):
        for name in [*sys.modules]:
            if name.partition(".")[0] == package:
                del sys.modules[name]
        sys.modules.update(cast(Any, dict.fromkeys(modules)))
        return import_module(package)


@in_c("psycopg in C", "psycopg in Python", ALL)
def psycopg_in_c() -> Pairs:
    """Use the compiled database driver."""
    # The compiled one includes libpq: use it for both, since the machine may have none.
    libpq = next(Path(psycopg.__file__).parents[1].glob("psycopg_binary*/**/libpq[-.]*"), None)
    with mock.patch.object(ctypes.util, "find_library", return_value=str(libpq)):
        other = without("psycopg", "psycopg_c", "psycopg_binary")
    url, query = os.environ["DATABASE_URL"], f"SELECT * FROM {Item._meta.db_table}"
    with psycopg.connect(url) as c, other.connect(url) as python:
        yield pair(lambda: c.execute(query).fetchall(), lambda: python.execute(query).fetchall())


@in_c("hiredis", "redis-py alone", "50 values of 100 bytes")
def hiredis() -> Pairs:
    """Parse the replies of Redis with compiled code."""
    redis, url = import_module("redis"), os.environ["REDIS_URL"]
    other = without("redis", "hiredis")
    script = "local r = {} for i = 1, 50 do r[i] = string.rep('x', 100) end return r"
    with redis.from_url(url) as c, other.from_url(url) as python:
        yield pair(partial(c.eval, script, 0), partial(python.eval, script, 0))


@in_c("orjson", "JsonResponse", "50 rows", same=json.loads)
def orjson() -> Pairs:
    """Encode JSON with compiled code."""
    library, rows = import_module("orjson"), {"items": views.first_page()}
    encode = partial(library.dumps, rows, default=str, option=library.OPT_UTC_Z)
    yield pair(lambda: HttpResponse(encode()).content, lambda: JsonResponse(rows).content)


@in_c("MarkupSafe in C", "MarkupSafe in Python", "50 descriptions")
def markupsafe() -> Pairs:
    """Escape HTML with compiled code."""
    texts = [item.description for item in page.all()]
    c, python = import_module("markupsafe"), without("markupsafe", "markupsafe._speedups")
    yield pair(lambda: [*map(c.escape, texts)], lambda: [*map(python.escape, texts)])
