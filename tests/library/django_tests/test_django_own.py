"""Django's own tests of what modules of `djfast.engine` replace, with the modules in place."""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import django
import pytest


class Suite(NamedTuple):
    """Tests of Django, and the program that runs them.

    Attributes:
        labels: of Django's test runner.
        tests: at least so many of them.
        work: by what the program prints, at least how much the module did itself.
    """

    labels: str
    tests: int
    work: dict[str, int]


SUITES = {
    "run_with_handler.py": Suite("asgi async handlers staticfiles_tests", 100, {"threaded": 10}),
    "run_with_urls.py": Suite(
        "urlpatterns urlpatterns_reverse i18n.patterns template_tests.syntax_tests.test_url",
        250,
        {"reversed": 150},  # errors, callables and fragments are left to Django
    ),
    "run_with_loops.py": Suite(
        "template_tests.syntax_tests template_tests.filter_tests template_tests.test_context"
        " template_tests.test_custom template_tests.test_logging template_tests.test_nodelist"
        " template_tests.tests admin_changelist admin_inlines admin_views forms_tests humanize_tests"
        " i18n.tests",
        3200,
        {"compiled": 100_000, "formatted": 100},
    ),
    "run_with_instances.py": Suite(
        "basic composite_pk contenttypes_tests custom_managers custom_methods custom_pk defer"
        " defer_regress delete field_subclassing foreign_object from_db_value generic_relations"
        " generic_relations_regress inline_formsets known_related_objects lookup m2m_and_m2o"
        " m2m_intermediary m2m_multiple m2m_recursive m2m_regress m2m_signals m2m_through"
        " m2m_through_regress m2o_recursive managers_regress many_to_many many_to_one"
        " many_to_one_null model_fields model_forms model_formsets model_inheritance"
        " model_inheritance_regress model_regress multiple_database one_to_one or_lookups"
        " prefetch_related proxy_models queries queryset_pickle raw_query select_related"
        " select_related_onetoone select_related_regress serializers signals unmanaged_models update",
        3300,
        {"loaded": 30_000},
    ),
}
VERSION = django.get_version()


@pytest.fixture(scope="session")
def folder() -> Path:
    """The tests of the installed Django, from its source distribution; stays for the next run."""
    cache = Path(tempfile.gettempdir()) / "django-tests"
    tests = cache / f"django-{VERSION}" / "tests"
    if not (tests / "runtests.py").exists():
        uv = shutil.which("uv")
        runner = [uv, "tool", "run", "--python", sys.executable] if uv else [sys.executable, "-m"]
        options = ["--quiet", "--no-deps", "--no-binary", ":all:"]  # the sdist has the tests
        with tempfile.TemporaryDirectory() as new:
            command = [*runner, "pip", "download", *options, "--dest", new, f"django=={VERSION}"]
            subprocess.run(command, check=True, timeout=300)
            (archive,) = Path(new).glob("*.tar.gz")
            with tarfile.open(archive) as source:
                source.extractall(new, filter="data")
            cache.mkdir(exist_ok=True)
            if not tests.parent.exists():  # another process may have been faster
                shutil.move(Path(new) / tests.parent.name, tests.parent)
    return tests


@pytest.mark.parametrize("program", SUITES)
def test_djangos_own_tests_pass(folder: Path, program: str) -> None:
    suite = SUITES[program]
    runner = Path(__file__).with_name(program)
    options = ["--settings=test_sqlite", "--parallel=1"]
    done = subprocess.run(
        [sys.executable, runner, folder, *options, *suite.labels.split()],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"Ran (\d+) tests", done.stderr)[0]) > suite.tests
    for what, least in suite.work.items():
        assert int(re.findall(rf"{what}: (\d+)", done.stdout)[0]) > least
