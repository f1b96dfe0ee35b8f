"""The base class of a speed default, and the states that one can be in."""

import enum
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

Settings = Mapping[str, Any]
Overrides = dict[str, Any]


class State(enum.StrEnum):
    """What a default is in this process."""

    ON = "on"
    REVERTED = "reverted"  # Django's own choice, or none, is in its place
    INACTIVE = (
        "inactive"  # an engine module that DJFAST_ENGINE turns off, or that does not fit Django
    )
    IN_PRODUCTION = "in production"  # development does not use it
    OFF = "off"  # an opt-in that the project does not use
    CHOICE = "your choice"  # reverted and silenced in SILENCED_SYSTEM_CHECKS, or up to the site


class Finding(NamedTuple):
    """The state of a default in this process.

    Attributes:
        state: found without a query or a round trip.
        evidence: returns the text that shows it; may ask a service, and raise what that raises.
    """

    state: State
    evidence: Callable[[], str]


def class_paths(kind: type) -> set[str]:
    """Return the dotted paths of a class and its bases, to recognize one without importing it."""
    return {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}


class Row:
    """One speed default.

    Attributes:
        name: its name in settings, documents, checks, and results.
        setting: where it is set.
        django: Django's own choice.
        benefit: what it is good for, in one sentence.
        scenario: the benchmark that measures it, in words.
        group: "settings", "cache", or "engine".
        claim: the dimension that it improves: "time", "bytes", "queries", or "requests".
        opt_in: whether a project uses it only after adding a line.
        replaces_internals: whether it runs our own code in place of functions of Django.
    """

    name: ClassVar[str]
    setting: ClassVar[str]
    django: ClassVar[str]
    benefit: ClassVar[str]
    scenario: ClassVar[str]
    group: ClassVar[str]
    claim: ClassVar[str] = "time"
    opt_in: ClassVar[bool] = False
    replaces_internals: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Return the id of its check, which SILENCED_SYSTEM_CHECKS takes."""
        return f"speed.{self.name.replace(' ', '-')}"

    def applies(self) -> bool:
        """Return whether a project like this one can have it."""
        return True

    def finding(self) -> Finding:
        """Return its state in this process, whether or not its check is silenced."""
        raise NotImplementedError

    def silencers(self) -> set[str]:
        """Return the check ids that make its absence a choice."""
        return {self.id}

    def state(self) -> State:
        """Return its state in this process; `CHOICE` if it is reverted and its check is silenced."""
        from django.conf import settings

        state = self.finding().state
        missing = state in (State.REVERTED, State.INACTIVE)
        silenced = not self.silencers().isdisjoint(settings.SILENCED_SYSTEM_CHECKS)
        return State.CHOICE if missing and silenced else state

    def revert(self, settings: Settings) -> Overrides:
        """Return overrides of `settings` that give Django's choice; {} where no setting does."""
        return {}

    def enable(self, settings: Settings) -> Overrides:
        """Return overrides of `settings` that turn an opt-in on; {} for every other default."""
        return {}
