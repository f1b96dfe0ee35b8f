"""Whatever a template does with a value, it comes out as plain Jinja2 writes it.

Run in a generated project with `--with hypothesis --with trio`.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import pytest
from django.utils.functional import lazystr
from django.utils.safestring import SafeString
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from speed.jinja import Environment

# The ways by which a value gets into a page.
PAGES = [
    "{{ value }}",
    "a{{ value }}b{{ value }}{{ value }}c",
    "{{ value|upper }}{{ value|string|safe }}{{ value|e }}{{ value ~ '<' }}",
    "{{ '<%s>'|format(value) }}{{ '<%s>'|safe|format(value) }}",
    "{% set kept %}<{{ value }}>{% endset %}{{ kept }}{{ kept ~ value }}",
    "{% set kept | upper %}<{{ value }}>{% endset %}{{ kept }}",
    "{% filter upper %}<{{ value }}>{% endfilter %}",
    "{% filter e %}<{{ value }}>{% endfilter %}",
    "{% macro m(x) %}<{{ x }}{{ caller() if caller else 0 }}>{% endmacro %}"
    "{{ m(value) }}{{ m(m(value)) }}{% call m(value) %}<{{ value }}>{% endcall %}",
    "{% autoescape false %}{{ value }}{% autoescape true %}{{ value }}{% endautoescape %}{% endautoescape %}",
    "{% autoescape flag %}{{ value }}{% set k %}{{ value }}{% endset %}{{ k }}{% endautoescape %}",
    "{% for x in [value, value] %}{{ loop.index }}{{ x }}{{ loop.cycle(x, '<') }}"
    "{% else %}{{ value }}{% endfor %}",
    "{% for x in [[value]] recursive %}{{ loop(x) if x is sequence and x is not string else x }}"
    "{% endfor %}",
    "{{ value if flag else other }}{{ missing }}{{ (value, value)|join('<') }}",
    "{% include 'part' %}{% import 'part' as part %}{{ part.shown(value) }}",
    "{% extends 'base' %}{% block body %}{{ super() }}<{{ value }}>{{ self.side() }}{% endblock %}",
    "{% with x=value %}{{ x }}{% endwith %}{{ [value] }}{{ value is string }}",
    "{% trans x=value %}<{{ x }}>{% endtrans %}{{ namespace(x=value).x }}",
]
OTHERS = {
    "part": "{% macro shown(x) %}<{{ x }}>{% endmacro %}{{ value }}",
    "base": "<{% block body %}{{ value }}{% endblock %}{% block side %}{{ value }}{% endblock %}>",
}


class Text(str):
    def __str__(self) -> str:
        return "<other>"


class Shown:
    def __html__(self) -> str:
        return "<b>shown</b>"


class Unsound:
    def __str__(self) -> str:
        raise RuntimeError("cannot be shown")


text = st.text(st.sampled_from("<>&'\"aé\0\ud800 \n"), max_size=8) | st.text(max_size=8)
values = st.one_of(
    text,
    text.map(Markup),
    text.map(SafeString),
    text.map(lazystr),
    text.map(Text),
    st.lists(text, max_size=2),
    st.binary(max_size=4),
    st.integers() | st.booleans() | st.none() | st.floats() | st.just(Decimal("1.50")),
    st.builds(Shown),
    st.builds(Unsound),
)
finalizers: list[Any] = [
    None,
    lambda value: "-" if value is None else value,
    lambda value: Markup("<i>%s</i>") % (value,),
    jinja2.pass_context(lambda context, value: (context.name, value)),
    jinja2.pass_eval_context(lambda context, value: [context.autoescape, value]),
    jinja2.pass_environment(lambda environment, value: value),
]


def outcome(render: Callable[[], object]) -> object:
    """Return what is shown, or what went wrong."""
    try:
        return render()
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("page", PAGES)
@given(
    value=values,
    other=values,
    flag=st.booleans(),
    finalize=st.sampled_from(finalizers),
    autoescape=st.sampled_from([True, True, False]),
    optimized=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_page_is_written_as_by_jinja2(
    page: str,
    value: object,
    other: object,
    flag: bool,
    finalize: Any,
    autoescape: bool,
    optimized: bool,
) -> None:
    pages = []
    for kind in (jinja2.Environment, Environment):
        environment = kind(
            loader=jinja2.DictLoader({"page": page, **OTHERS}),
            autoescape=autoescape,
            finalize=finalize,
            optimized=optimized,
            extensions=["jinja2.ext.i18n"],
        )
        environment.install_null_translations(newstyle=flag)  # type: ignore[attr-defined]
        given = {"value": value, "other": other, "flag": flag}
        template = environment.get_template("page")
        pages += [
            outcome(lambda template=template, given=given: template.render(given)),
            outcome(lambda template=template, given=given: "".join(template.generate(given))),
        ]
    assert pages[2:] == pages[:2]


def test_an_error_names_the_line_of_the_template() -> None:
    environment = Environment(autoescape=True)
    page = environment.from_string("a\n<{{ 1 }}\n{{ value / 0 }}\n")
    with pytest.raises(ZeroDivisionError) as error:
        page.render(value=1)
    assert error.traceback[-1].lineno + 1 == 3


@pytest.fixture(scope="session")
def folder() -> Path:
    """Jinja2's own tests, from its source distribution; kept for the next time."""
    version = f"jinja2-{jinja2.__version__}"
    kept = Path(tempfile.gettempdir()) / "jinja2-tests"
    if not (kept / version).exists():
        uv = shutil.which("uv")
        pip = [uv, "tool", "run", "pip"] if uv else [sys.executable, "-mpip"]
        with tempfile.TemporaryDirectory() as new:
            command = [*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", new]
            subprocess.run([*command, f"jinja2=={jinja2.__version__}"], check=True, timeout=300)
            (archive,) = Path(new).glob("*.tar.gz")
            with tarfile.open(archive) as source:
                source.extractall(new, filter="data")
            kept.mkdir(exist_ok=True)
            if not (kept / version).exists():  # another process may have been faster
                shutil.move(Path(new) / version, kept / version)
    return kept / version


def test_jinja2s_own_tests_pass(folder: Path) -> None:
    pytest.importorskip("trio", reason="Jinja2's tests need it")
    plugins = [f"-p{name}" for name in ("as_jinja2", "no:cacheprovider", "no:django", "no:xdist")]
    path = os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])
    done = subprocess.run(
        [sys.executable, "-mpytest", "-q", *plugins, f"-c{os.devnull}", "--rootdir=.", "tests"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 900
    escaped, other = map(int, re.findall(r"(\d+) escaped, (\d+) other", done.stdout)[0])
    assert escaped > 30
    assert other > 500
