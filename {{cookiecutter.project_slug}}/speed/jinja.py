"""Jinja2 at full speed: templates stay compiled between starts, escaping is part of the compiled code,
and names of static files are remembered.

An environment is made of these in `config/jinja2.py`; pages come out as Jinja2 and Django make them.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Any

import jinja2
import markupsafe
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.template import engines
from django.templatetags import static as django_static
from jinja2 import bccache, compiler, nodes

from speed import Finding
from speed.release import build

LIMIT = 4096  # addresses of static files: one may carry any fragment


class CodeGenerator(compiler.CodeGenerator):
    """Compiles what is escaped into a direct call of MarkupSafe's function in C.

    Jinja2's own goes through a function in Python that wraps each string in `Markup`, which the page
    then discards. What is no plain string, and blocks that switch autoescaping, are left to Jinja2.
    """

    def _output_child_pre(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
            return
        self.write(f"(environment.escape_text(_out) if type(_out := {finalize.src or '('}")

    def _output_child_post(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            super()._output_child_post(node, frame, finalize)
            return
        self.write(")) is str else escape(_out))")


class Environment(jinja2.Environment):
    """A Jinja2 environment with that code generator, the documented place for one."""

    code_generator_class = CodeGenerator
    # MarkupSafe does not document its inner function; without it, this is what Jinja2 calls.
    escape_text = staticmethod(getattr(markupsafe, "_escape_inner", markupsafe.escape))


class BytecodeCache(jinja2.BytecodeCache):
    """Keeps compiled templates in `folder`, as Python keeps compiled modules in `__pycache__`.

    Jinja2's own lies in the folder for temporary files, which other users write to and the system
    empties; a file that cannot be written, or is damaged, fails the page there; and after a change of
    options, filters, a parent or Jinja2 it uses what was compiled before. Here such a file costs a
    compilation. Its files hold code: `folder` must be as safe as the project's own modules are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_bucket(
        self, environment: jinja2.Environment, name: str, filename: str | None, source: str
    ) -> bccache.Bucket:
        """Look for what this release, with these options, has compiled from `source`."""
        options = [item for item in vars(environment).items() if isinstance(item[1], str | int)]
        made_by = (
            f"{build()} {sys.implementation.cache_tag} {type(environment)} {sorted(options)}"
            f" {sorted(environment.extensions)}"
        )
        return super().get_bucket(environment, name, filename, f"{made_by}\n{source}")

    def path(self, bucket: bccache.Bucket) -> Path:
        """Return where a template is kept."""
        return self.folder / f"{bucket.key}.jinja2"

    def load_bytecode(self, bucket: bccache.Bucket) -> None:
        """Take a template from its file, if that is there and sound."""
        with suppress(Exception):  # of a damaged file, pickle may raise any
            bucket.bytecode_from_string(self.path(bucket).read_bytes())

    def dump_bytecode(self, bucket: bccache.Bucket) -> None:
        """Write a template's file in one step; where nothing can be written, do nothing."""
        path = self.path(bucket)
        new = path.with_suffix(f".{os.getpid()}-{get_ident()}")
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                new.write_bytes(bucket.bytecode_to_string())
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)


known: dict[str, str] = {}


def static(path: str) -> str:
    """Do what Django's `static` does; an address from a manifest is looked up once per process.

    Raises:
        ValueError: the manifest has no such file.
    """
    address = known.get(path)
    if address is None:
        address = django_static.static(path)
        if isinstance(staticfiles_storage, ManifestFilesMixin):
            if len(known) >= LIMIT:
                known.clear()
            known[path] = address
    return address


@receiver(setting_changed)
def forget(**change: Any) -> None:
    """Forget addresses when a test changes settings."""
    known.clear()


def finding() -> Finding:
    """Tell whether the environment that renders pages is this one, and what it has compiled."""
    engine: Any = next((e for e in engines.all() if hasattr(e, "env")), None)
    if engine is None:
        return False, lambda: "Django's engine renders all pages"
    used = isinstance(engine.env, Environment)
    cache = engine.env.bytecode_cache
    kept = f"kept in {cache.folder}" if isinstance(cache, BytecodeCache) else "not kept"
    return used, lambda: f"{len(engine.env.cache)} templates in this process, {kept}"
