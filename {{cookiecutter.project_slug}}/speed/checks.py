"""`manage.py check --tag speed`: warns when a later edit has undone a default."""

from typing import Any

from django.core import checks

from speed.defaults import DEFAULTS
from speed.effects import FINDINGS
from speed.figures import figure


@checks.register("speed")
def undone(**options: Any) -> list[checks.CheckMessage]:
    """Look at every default without asking a service.

    Returns:
        A warning for each that is undone. Its id, `speed.` and the name of the default, goes into
        `SILENCED_SYSTEM_CHECKS` where that is meant.
    """
    return [
        checks.Warning(
            f"The default {default.name!r} is undone: Django's own choice is in force"
            f" ({default.django}).",
            hint=f"{default.buys} Measured on {default.scenario}: {figure(default.name)}."
            f" To restore it, see {default.setting}.",
            id=f"speed.{default.name.replace(' ', '-')}",
        )
        for default in DEFAULTS
        if FINDINGS[default.name]()[0] is False
    ]
