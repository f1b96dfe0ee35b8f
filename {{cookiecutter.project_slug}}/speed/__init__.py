"""What Django leaves out: one module per default, and `defaults.py`, the table of them all."""

from collections.abc import Callable

__version__ = "0.2"

# Whether a default is in force (None: off on purpose, or in production only), which is known without
# asking a service; and what shows it, which may not be.
Finding = tuple[bool | None, Callable[[], str]]
