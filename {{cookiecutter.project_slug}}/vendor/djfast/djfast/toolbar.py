"""A panel of django-debug-toolbar: every speed default, its state in this process, and its figure.

DEBUG_TOOLBAR_PANELS = ["djfast.toolbar.SpeedPanel", ...]
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from debug_toolbar.panels import Panel
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from djfast.figures import Figure, figure
from djfast.rows import Row, State, applicable

GROUPS = {
    "settings": "Settings and packages",
    "cache": "Caches",
    "engine": "Replacements for Django's own code",
}
MISSING = (State.REVERTED, State.INACTIVE)
ERROR = "error"


class Observation(NamedTuple):
    """A default as it is shown.

    Attributes:
        row: the default.
        state: its state in this process, or `ERROR`.
        evidence: the text that explains the state, or the error raised while computing it.
        figure: its measured benefit.
    """

    row: Row
    state: str
    evidence: str
    figure: Figure

    @property
    def missing(self) -> bool:
        """Return whether the default is not in effect and that is no choice."""
        return self.state in (*MISSING, ERROR)


def state_of(row: Row) -> str:
    """Return the state of a default, or `ERROR`: no default may break the pages of the project."""
    try:
        return row.state()
    except Exception:  # settings that some package cannot be loaded with
        return ERROR


def observe(row: Row) -> Observation:
    """Return a default as it is shown; may ask a service, and catches whatever that raises."""
    try:
        evidence = row.finding().evidence()
    except Exception as error:  # a service that is down, for example
        evidence = f"{type(error).__name__}: {error}"
    return Observation(row, state_of(row), evidence, figure(row))


def grouped() -> Iterator[tuple[str, list[Observation]]]:
    """Yield the title and the defaults of each group; those that are not in effect come first."""
    found = sorted(map(observe, applicable()), key=lambda one: not one.missing)
    for group, title in GROUPS.items():
        if members := [one for one in found if one.row.group == group]:
            yield title, members


class SpeedPanel(Panel):
    """The panel "Speed"."""

    title = "Speed"
    template = "djfast/panel.html"
    nav_icon = "djfast/speed.svg"  # type: ignore[assignment]  # declared as None
    is_async = True

    @property
    def nav_subtitle(self) -> str:
        """Return how many defaults are on, and how many are not in effect."""
        states = self.get_stats().get("states", {})
        shown = [State.ON, *(state for state in (*MISSING, ERROR) if state in states)]
        return ", ".join(f"{states.get(state, 0)} {state}" for state in shown)

    @property
    def content(self) -> str:
        """Render the table now, in the process that shows it: only then are services asked."""
        return render_to_string(self.template, {"groups": grouped()})

    def generate_stats(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Count the defaults by their state; makes no query and no round trip."""
        self.record_stats({"states": Counter(str(state_of(row)) for row in applicable())})
