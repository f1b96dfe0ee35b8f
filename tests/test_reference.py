"""`make docs`: its parts, and what the headline compares."""

import os
import shutil
from pathlib import Path

import pytest

from reference import __main__ as run
from reference import headline, sides


def test_all_parts_are_measured_unless_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "pythons", lambda: ["3.12"])
    names = [part.name for part in run.chosen("")]
    assert names[0] == "bench-default"
    assert {"compare-python3.12", "reference-django", "reference-jinja2"} <= {*names}
    assert [part.name for part in run.chosen("compare-asgi, bench-default")] == [
        "compare-asgi",
        "bench-default",
    ]
    assert {part.project for part in run.chosen("")} <= {*run.PROJECTS}


def test_each_part_is_a_command_that_the_projects_makefile_understands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make itself parses each command, which prints what it would run (`--just-print`)."""
    monkeypatch.setattr(run, "pythons", lambda: ["3.12"])
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / "benchmarks/results/2.json").touch()
    shutil.copy(run.TEMPLATE / "Makefile", tmp_path)
    monkeypatch.setenv("MAKEFLAGS", "--just-print")
    monkeypatch.setattr(run, "clean", lambda: dict(os.environ))
    for part in run.parts():
        if not part.name.startswith("reference-"):
            for quick in (True, False):
                run.measure(part, tmp_path, tmp_path / "result.json", quick=quick)


def test_an_unknown_part_is_refused_with_the_names_of_all_parts() -> None:
    with pytest.raises(SystemExit, match=r"No such part: speed\. Choose from bench-default, "):
        run.chosen("speed")


def test_both_forms_of_the_project_are_compared_with_stock_on_every_page() -> None:
    for form in (sides.EVERYTHING, sides.SETTINGS):
        for page in headline.PAGES:
            assert {(page, form, stock) for stock in sides.STOCK} <= {*headline.COMPARED}


def test_the_starts_suffice_for_an_interval_of_every_comparison() -> None:
    samples = headline.Samples()
    for title, experiment, control in headline.COMPARED:
        for name, seconds in ((experiment, 0.001), (control, 0.004), (sides.GENERATOR, 0.0001)):
            samples.times[title][name] = [seconds] * headline.STARTS
        samples.sizes[title] = {experiment: 100, control: 400}
        found = headline.compare(samples, title, experiment, control)
        if control != sides.GENERATOR:
            assert found.dimensions["time"].verdict == "less"
            assert found.error == ""


def test_a_page_that_the_load_generator_limits_has_an_error_instead_of_a_figure() -> None:
    samples = headline.Samples()
    taken = {sides.EVERYTHING: 0.001, sides.LIMIT: 0.0001, sides.GENERATOR: 0.0001}
    for name, seconds in taken.items():
        samples.times["hello"][name] = [seconds] * headline.STARTS
    samples.sizes["hello"] = {sides.EVERYTHING: 6, sides.LIMIT: 6}
    assert headline.compare(samples, "hello", sides.EVERYTHING, sides.LIMIT).error
