"""What Django leaves out: one module per default, and `defaults.py`, the table of them all."""

from collections.abc import Callable

__version__ = "0.2"

# Whether a default is in force (None: off on purpose, or in production only), which is known without
# asking a service; and what shows it, which may not be.
Finding = tuple[bool | None, Callable[[], str]]


def in_templates(kind: str, name: str) -> list[object]:
    """Return what the templates of each of Django's engines get under a name; `kind`: tags, filters."""
    from django.template import engines  # settings import this package
    from django.template.backends.django import DjangoTemplates

    found: list[object] = []
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates):
            known = [getattr(library, kind) for library in engine.engine.template_builtins]
            found.append([names[name] for names in known if name in names][-1])
    return found
