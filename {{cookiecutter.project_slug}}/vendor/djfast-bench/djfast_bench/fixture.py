"""What the scenarios of defaults share: types, and the project with and without a default."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from django.conf import settings

from djfast_bench.site import Site
from djfast_bench.timing import Dimension

if TYPE_CHECKING:  # a project may have no djfast, or another version
    from djfast.rows import Row

Dimensions = dict[str, Dimension]


class Limits(TypedDict):
    """What ends the rounds of a comparison; arguments of `interleave`."""

    alpha: float
    seconds: float
    tick: Callable[[float], None]


class Fixture(NamedTuple):
    """What a scenario needs.

    Attributes:
        database: URL of the scratch database.
        maintenance: URL of the project's own database, on the same server.
        static: folder of the project's static files, already built.
        cookie: value of the Cookie header of the signed-in visitor.
    """

    database: str
    maintenance: str
    static: Path
    cookie: str


Scenario = Callable[["Row", Fixture, Limits], Dimensions]


def current_settings() -> dict[str, Any]:
    """Return all settings of this process, Django's defaults included."""
    return {name: getattr(settings, name) for name in dir(settings) if name.isupper()}


def sites(row: "Row") -> tuple[Site, Site]:
    """Return the project with a default, turned on if it is an opt-in, and with Django's choice."""
    now = current_settings()
    return Site(**row.enable(now)), Site(**row.revert(now))
