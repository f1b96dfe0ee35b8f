"""What a default buys, as it was measured last; the results files say it, nothing is typed here."""

import json
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks/results"

# How a ratio below 1 reads, by dimension: the default's share of what Django's own choice takes.
TAKES = {
    "bytes": "of the bytes",
    "connections": "of the connections",
    "memory": "of the memory",
    "queries": "of the queries",
    "requests": "of the requests",
    "rows": "of the rows",
    "time": "of the time",
}


def figure(name: str) -> str:
    """Say what the default `name` buys and where that was measured, if it was.

    The newest run counts; not a quick one, and no row that says that the default was undone.
    """
    for path in sorted(RESULTS.glob("2*.json"), reverse=True):  # named after their day
        if found := rows(path).get(name):
            return f"{found}, measured on {path.name[:10]}"
    template = RESULTS / "template.json"
    if template.exists() and (found := rows(template).get(name)):
        return f"{found}, measured by the template; `make bench` measures here"
    return "no figure yet: `make bench` measures it"


@cache
def rows(path: Path) -> dict[str, str]:
    """Return the figures of one results file by the name of their default."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    found = {}
    for row in content["rows"]:
        told = row["suite"] == "defaults" and row["dimensions"] and not row["note"]
        if told and not content["conditions"]["quick"]:
            claimed = row["dimensions"][row["claim"]]
            every = (claimed[key] for key in ("low", "ratio", "high"))
            low, ratio, high = ("∞" if one is None else f"{one:.2g}" for one in every)
            spread = f" ({low} to {high})" if low != high else ""
            found[row["name"]] = f"{ratio}{spread} {TAKES[row['claim']]}: {claimed['verdict']}"
    return found
