"""Measured figures of the speed defaults, read from result files."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from djfast.rows import Row

SHIPPED = Path(__file__).with_name("figures.json")
NOT_SIGNIFICANT = {"no difference": "no significant difference", "inconclusive": "inconclusive"}


class Figure(NamedTuple):
    """The measured benefit of a default.

    Attributes:
        text: the share of what Django's own choice takes, with its interval.
        source: where and when it was measured.
    """

    text: str
    source: str


def figure(row: Row) -> Figure:
    """Return the newest figure of a default: the project's own, else the one that the library ships.

    The project's are in `benchmarks/results/` below `BASE_DIR`; a quick run does not count, nor a
    measurement without the default.
    """
    from django.conf import settings

    base: Path | str | None = getattr(settings, "BASE_DIR", None)
    own = Path(base).glob("benchmarks/results/2*.json") if base else ()  # named after their date
    for path in sorted(own, reverse=True):
        if text := texts(path).get(row.name):
            return Figure(text, f"measured in this project on {path.name[:10]}")
    if text := texts(SHIPPED).get(row.name):
        return Figure(text, "measured by the authors of the template")
    return Figure("no figure yet", "`make bench` measures it")


@cache
def texts(path: Path) -> dict[str, str]:
    """Return the figures in a result file by the name of their default; {} if it has another format."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if content["conditions"]["quick"]:
            return {}
        rows = [row for row in content["rows"] if row["suite"] == "defaults"]
        return {
            row["name"]: written(row["claim"], row["dimensions"][row["claim"]])
            for row in rows
            if row["claim"] in row["dimensions"] and not row["note"]
        }
    except (KeyError, OSError, TypeError, ValueError):
        return {}


def written(dimension: str, measured: dict[str, Any]) -> str:
    """Return a ratio as text: "0.11 of the time (0.094 to 0.12)"."""
    low, ratio, high = (
        "∞" if measured[key] is None else f"{measured[key]:.2g}" for key in ("low", "ratio", "high")
    )
    interval = f" ({low} to {high})" if low != high else ""
    verdict = NOT_SIGNIFICANT.get(measured["verdict"])
    return f"{ratio} of the {dimension}{interval}" + (f", {verdict}" if verdict else "")
