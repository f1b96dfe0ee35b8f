"""Django's own tests of what some modules of `speed` take the place of."""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django
import pytest

# By the program that puts a module in Django's place: labels, how many tests at least, what
# the program says of what it did, and how much of that the module must have done itself.
RUNS = {
    "run_with_urls.py": (
        "urlpatterns urlpatterns_reverse i18n.patterns template_tests.syntax_tests.test_url",
        250,
        r"reversed: (\d+)",
        150,  # what is left are errors, callables and fragments
    ),
    "run_with_loops.py": (
        "template_tests.syntax_tests template_tests.filter_tests template_tests.test_context"
        " template_tests.test_custom template_tests.test_logging template_tests.test_nodelist"
        " template_tests.tests admin_changelist admin_inlines admin_views forms_tests humanize_tests",
        3000,
        r"compiled: (\d+)",
        100_000,
    ),
    "run_with_middleware.py": (
        "check_framework conditional_processing context_processors flatpages_tests messages_tests"
        " middleware test_client test_client_regress view_tests",
        950,
        r"answered: (\d+)",
        25,
    ),
    "run_with_instances.py": (
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
        r"set: (\d+)",
        30_000,
    ),
}
VERSION = django.get_version()


@pytest.fixture(scope="session")
def folder() -> Path:
    """The tests of the installed Django, from its source distribution; kept for the next time."""
    kept = Path(tempfile.gettempdir()) / "django-tests"
    tests = kept / f"django-{VERSION}" / "tests"
    if not (tests / "runtests.py").exists():
        uv = shutil.which("uv")
        pip = (
            [uv, "tool", "run", "--python", sys.executable, "pip"]
            if uv
            else [sys.executable, "-mpip"]
        )
        with tempfile.TemporaryDirectory() as new:
            command = [*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", new]
            subprocess.run([*command, f"django=={VERSION}"], check=True, timeout=300)
            (archive,) = Path(new).glob("*.tar.gz")
            with tarfile.open(archive) as source:
                source.extractall(new, filter="data")
            kept.mkdir(exist_ok=True)
            if not tests.parent.exists():  # another process may have been faster
                shutil.move(Path(new) / tests.parent.name, tests.parent)
    return tests


@pytest.mark.parametrize("program", RUNS)
def test_djangos_own_tests_pass(folder: Path, program: str) -> None:
    labels, tests, said, least = RUNS[program]
    runner = Path(__file__).with_name(program)
    done = subprocess.run(
        [sys.executable, runner, folder, "--settings=test_sqlite", "--parallel=1", *labels.split()],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"Ran (\d+) tests", done.stderr)[0]) > tests
    assert int(re.findall(said, done.stdout)[0]) > least
