"""How this Python was built: without profile-guided optimisation (PGO) every page takes longer.

https://docs.python.org/3/using/configure.html#performance-options
"""

import sys
import sysconfig


def build() -> str:
    """Return "with PGO", "with PGO and LTO", "without PGO", "for debugging"; "" if it is not CPython."""
    if sys.implementation.name != "cpython":
        return ""
    if sysconfig.get_config_var("Py_DEBUG"):
        return "for debugging"
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    # Debian optimises by a make target of its own, which leaves this flag empty.
    flag = sysconfig.get_config_var("PGO_PROF_USE_FLAG")
    if "--enable-optimizations" not in options and flag:
        return "without PGO"
    return "with PGO and LTO" if "--with-lto" in options else "with PGO"


def is_slow() -> bool:
    """Return whether a faster build of this Python exists."""
    return build() in ("for debugging", "without PGO")
