"""The figure of a speed default: the newest of the project, else the one that the library ships."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from djfast.figures import figure
from djfast.rows import ROWS

ROW = ROWS[0]
SHIPPED = "measured by the authors of the template"


def write(folder: Path, day: str, *, quick: bool = False, **changes: Any) -> None:
    """Write a result file of a project with one row."""
    time = {"low": 0.4, "ratio": 0.5, "high": 0.6, "verdict": "less", **changes.pop("time", {})}
    row = {"suite": "defaults", "name": ROW.name, "claim": "time", "note": ""}
    row |= {"dimensions": {"time": time}, **changes}
    path = folder / f"benchmarks/results/{day}T120000.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"conditions": {"quick": quick}, "rows": [row]}))


def test_every_default_has_a_figure_before_a_project_measures(tmp_path: Path) -> None:
    with override_settings(BASE_DIR=tmp_path):
        for row in ROWS:
            assert figure(row).source == SHIPPED, row.name
            assert figure(row).text.partition(" of the ")[2].split()[0] == row.claim


def test_the_newest_figure_of_the_project_wins(tmp_path: Path) -> None:
    write(tmp_path, "2026-10-01", time={"ratio": 0.7})
    write(tmp_path, "2026-11-01")
    with override_settings(BASE_DIR=str(tmp_path)):
        found = figure(ROW)
        other = figure(ROWS[2])
    assert found == ("0.5 of the time (0.4 to 0.6)", "measured in this project on 2026-11-01")
    assert other.source == SHIPPED


@pytest.mark.parametrize(
    "changes",
    [
        {"quick": True},
        {"note": "The project reverted it."},
        {"dimensions": {}},
        {"suite": "advice"},
        {"dimensions": {"time": {"ratio": 0.5}}},  # another format
    ],
)
def test_what_is_no_measurement_of_the_default_does_not_count(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write(tmp_path, "2026-11-01", **changes)
    with override_settings(BASE_DIR=tmp_path):
        assert figure(ROW).source == SHIPPED


def test_a_damaged_file_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-01")
    (tmp_path / "benchmarks/results/2026-11-02T120000.json").write_text("{")
    with override_settings(BASE_DIR=tmp_path):
        assert figure(ROW).source == "measured in this project on 2026-11-01"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ("no difference", "0.5 of the time (0.4 to 0.6), no significant difference"),
        ("inconclusive", "0.5 of the time (0.4 to 0.6), inconclusive"),
        ("more", "0.5 of the time (0.4 to 0.6)"),
    ],
)
def test_a_figure_that_shows_no_difference_says_so(tmp_path: Path, verdict: str, text: str) -> None:
    write(tmp_path, "2026-11-01", time={"verdict": verdict})
    with override_settings(BASE_DIR=tmp_path):
        assert figure(ROW).text == text


def test_a_count_has_no_interval_and_nothing_has_no_ratio(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-01", time={"low": None, "ratio": None, "high": None})
    with override_settings(BASE_DIR=tmp_path):
        assert figure(ROW).text == "∞ of the time"
