"""Keep the files that the answers ask for, under their final names, and write .env."""

import contextlib
import functools
import os
import secrets
import shutil
import sys
from pathlib import Path

ANSWERS = {
    "{{cookiecutter.template_engine}}",
    "{{cookiecutter.interface}}",
    "{{cookiecutter.server}}",
}

# The answer that keeps it, the file or folder in the template, its name in the project.
CHOSEN = [
    ("asgi", "config/asgi.py", "config/asgi.py"),
    ("granian", "config/server_granian.py", "config/server.py"),
    ("gunicorn", "config/server_gunicorn.py", "config/server.py"),
    ("jinja2", "config/jinja2.py", "config/jinja2.py"),
    ("jinja2", "templates_jinja2", "templates"),
    ("wsgi", "config/wsgi.py", "config/wsgi.py"),
]

for answer, name, target in CHOSEN:
    source = Path(name)
    if not source.exists():
        sys.exit(f"hooks/post_gen_project.py names {name}, which the template does not have.")
    if answer not in ANSWERS:
        shutil.rmtree(source) if source.is_dir() else source.unlink()
    elif source.is_dir() and name != target:
        # Copied over the folder instead of replacing it: files that a team added are preserved.
        shutil.copytree(source, target, dirs_exist_ok=True)
        shutil.rmtree(source)
    elif name != target:
        source.replace(target)

# Left in the template by tools that were used on it.
for cache in [*Path().glob(".*_cache"), *Path("vendor").rglob("__pycache__")]:
    shutil.rmtree(cache)

# "x" leaves an existing .env alone: it belongs to its developer. 0600: it holds a secret.
owner_only = functools.partial(os.open, mode=0o600)
example = Path(".env.example").read_text(encoding="utf-8")
with (
    contextlib.suppress(FileExistsError),
    open(".env", "x", encoding="utf-8", opener=owner_only) as env,
):
    env.write(example.replace("\nSECRET_KEY=\n", f"\nSECRET_KEY={secrets.token_urlsafe(50)}\n"))

print("Next, in {{cookiecutter.project_slug}}: make run")
