"""Keep the files that the answers ask for, under their final names, and write .env."""

import contextlib
import functools
import os
import secrets
import shutil
import sys
from pathlib import Path

ANSWERS = {"{{cookiecutter.template_engine}}", "{{cookiecutter.interface}}"}

# The answer that keeps it, the file or folder in the template, its name in the project.
CHOSEN = [
    ("asgi", "config/asgi.py", "config/asgi.py"),
    ("django", "speed/loops.py", "speed/loops.py"),
    ("django", "tests/test_loops.py", "tests/test_loops.py"),
    ("jinja2", "config/jinja2.py", "config/jinja2.py"),
    ("jinja2", "templates_jinja2", "templates"),
    ("jinja2", "speed/fragments_jinja2.py", "speed/fragments_jinja2.py"),
    ("jinja2", "speed/jinja.py", "speed/jinja.py"),
    ("asgi", "speed/handler.py", "speed/handler.py"),
    ("asgi", "speed/static.py", "speed/static.py"),
    ("jinja2", "speed/whitespace_jinja2.py", "speed/whitespace_jinja2.py"),
    ("jinja2", "tests/test_fragments_jinja2.py", "tests/test_fragments_jinja2.py"),
    ("asgi", "tests/test_handler.py", "tests/test_handler.py"),
    ("jinja2", "tests/test_jinja.py", "tests/test_jinja.py"),
    ("wsgi", "config/wsgi.py", "config/wsgi.py"),
    ("wsgi", "speed/postgresql", "speed/postgresql"),
    ("wsgi", "tests/test_postgresql.py", "tests/test_postgresql.py"),
]

for answer, name, target in CHOSEN:
    source = Path(name)
    if not source.exists():
        sys.exit(f"hooks/post_gen_project.py names {name}, which the template does not have.")
    if answer not in ANSWERS:
        shutil.rmtree(source) if source.is_dir() else source.unlink()
    elif source.is_dir() and name != target:
        # Laid over the folder, not put in its place: what a team has added there stays.
        shutil.copytree(source, target, dirs_exist_ok=True)
        shutil.rmtree(source)
    elif name != target:
        source.replace(target)

# "x" leaves an .env alone that is there already: it belongs to its developer. 0600: it has a secret.
owner_only = functools.partial(os.open, mode=0o600)
example = Path(".env.example").read_text(encoding="utf-8")
with (
    contextlib.suppress(FileExistsError),
    open(".env", "x", encoding="utf-8", opener=owner_only) as env,
):
    env.write(example.replace("\nSECRET_KEY=\n", f"\nSECRET_KEY={secrets.token_urlsafe(50)}\n"))

print("Next, in {{cookiecutter.project_slug}}: make run")
