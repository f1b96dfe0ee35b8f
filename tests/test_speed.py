"""The modules of `speed`: each proved at length, each missed when it is undone, each deletable."""

import re
import shutil
from pathlib import Path

import pytest

from conftest import ROOT, Bake, Run
from measure.documents import DEFAULTS

PROOFS = sorted(path.name for path in (ROOT / "tests/speed").iterdir())
FOR_DJANGO = {"django_tests", "loops"}  # of modules that a project with Jinja2 has not
# What no setting undoes, or only in a process that serves.
BY_HAND = {"N+1 guard", "model instances", "cached user", "fragments", "server"}

# By module, what a team does to be rid of it: patterns, and what stands there afterwards.
SETTINGS, JINJA2, MODELS = "config/settings.py", "config/jinja2.py", "core/models.py"
PEERS = "speed/peers.py"
ASGI = "config/asgi.py"
STATIC = "from django.templatetags.static import static\nfrom jinja2 import Environment\n\n"
WITHOUT: dict[str, list[tuple[str, str, str]]] = {
    "middleware": [
        (SETTINGS, r"# lean middleware: .*\n", ""),
        (SETTINGS, r"speed\.middleware\.Cond", "django.middleware.http.Cond"),
        (SETTINGS, r"speed\.middleware\.Mess", "django.contrib.messages.middleware.Mess"),
    ],
    "postgresql": [(SETTINGS, r"# health check: .*\n.*\n.*\n", "")],
    "handler": [
        (ASGI, r"from speed\.handler .*\n", ""),
        (ASGI, r"(?=\nfrom speed)", "from django.core.asgi import get_asgi_application\n"),
        (ASGI, r"# context switches: .*\n", ""),
    ],
    "formats": [
        (SETTINGS, r" +# prepared formats: .*\n.*\n", ""),
        (JINJA2, r"from speed\.formats .*\n", ""),
        (
            JINJA2,
            r"\nfrom speed",
            "\nfrom django.template.defaultfilters import date\n\nfrom speed",
        ),
        (JINJA2, r"local_date", "date"),
    ],
    "fragments": [
        (SETTINGS, r" +# fragments: .*\n.*\n", ""),
        (SETTINGS, r' +"speed\.fragments_.*\n', ""),
    ],
    "instances": [
        (PEERS, r"Finding, instances", "Finding"),
        (PEERS, r"instances\.Model", "models.Model"),
    ],
    "loops": [(SETTINGS, r" +# compiled loops: .*\n.*\n", "")],
    "pages": [
        (SETTINGS, r" +# page cache: .*\n", ""),
        (SETTINGS, r' +"speed\.pages\.PageCacheMiddleware",\n', ""),
    ],
    "tiers": [
        (SETTINGS, r" +# two-tier cache: .*\n +# .*\n", ""),
        (SETTINGS, r'    "OPTIONS": redis_options \| \{"CLIENT_CLASS": "speed\.tiers.*\n', ""),
    ],
    "jinja": [
        (JINJA2, r"from pathlib import Path\n", ""),
        (JINJA2, r"from speed\.jinja .*\n", ""),
        (JINJA2, r"\nfrom speed", f"\n{STATIC}from speed"),
        (JINJA2, r"# Beside(.*\n){2}\n\n", "\n"),
        (JINJA2, r"    # A new process (.*\n){3}", ""),
        (JINJA2, r", bytecode_cache=compiled", ""),
    ],
    "peers": [
        (MODELS, r"from typing import ClassVar\n\n", ""),
        (MODELS, r", UserManager\n", "\n"),
        (MODELS, r"from speed import peers", "from speed import instances"),
        (MODELS, r"class Guarded.*\n.*\n\n\n", ""),
        (MODELS, r"peers\.Model", "instances.Model"),
        (MODELS, r"\n    objects: .*\n", ""),
    ],
    "urls": [
        (SETTINGS, r" +# compiled urls: .*\n.*\n", ""),
        (JINJA2, r"from speed\.urls import url\n", ""),
        (JINJA2, r"\nfrom speed", "\nfrom django.urls import reverse\n\nfrom speed"),
        (JINJA2, r"\Z", "\n\ndef url(name: str, /, *args: Any, **kwargs: Any) -> str:\n"),
        (JINJA2, r"\Z", "    return reverse(name, args=args, kwargs=kwargs)\n"),
    ],
    "users": [(SETTINGS, r" +# cached user: .*\n +# .*\n", "")],
    "whitespace": [
        (SETTINGS, r" +# whitespace: .*\n", ""),
        (SETTINGS, r"speed\.whitespace\.Loader", "django.template.loaders.cached.Loader"),
        (SETTINGS, r' +"speed\.whitespace_.*\n', ""),
    ],
}


@pytest.mark.parametrize("name", PROOFS)
def test_a_module_keeps_what_it_promises(bake: Bake, run: Run, tmp_path: Path, name: str) -> None:
    engine = "django" if name in FOR_DJANGO else "jinja2"  # which has both engines
    project = bake(template_engine=engine)
    proof = shutil.copytree(ROOT / "tests/speed" / name, tmp_path / name)  # away from conftest.py
    # The same examples each time; without the seed, whoever runs a proof by hand looks at others.
    command = ["pytest", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", "."]
    command += ["--hypothesis-seed=0"]
    packages = ["--with=hypothesis", "--with=html5lib", "--with=trio"]
    run("uv", "run", "--quiet", "--group=bench", *packages, *command, proof, cwd=project)


@pytest.mark.parametrize("name", sorted({row.name for row in DEFAULTS} - BY_HAND))
def test_the_check_names_a_default_that_was_undone(bake: Bake, run: Run, name: str) -> None:
    asgi = "asgi" if name in {"connection pool", "context switches"} else "wsgi"
    engine = "django" if name == "compiled loops" else "jinja2"
    project = bake(template_engine=engine, interface=asgi)
    env = {"DJANGO_SETTINGS_MODULE": "benchmarks.settings", "DEBUG": "0", "LOCAL_HTTP": "1"}
    env |= {"SECRET_KEY": "secret", "DATABASE_URL": "postgres:///app", "UNDONE": name}
    env |= {"REDIS_URL": "redis://127.0.0.1:1/0"}
    said = run("uv", "run", "--quiet", "manage.py", "check", "--tag=speed", cwd=project, env=env)
    found = {*re.findall(r"\(speed\.([\w-]+)\)", said)} - {"static-not-built"}
    assert name.replace(" ", "-") in found
    assert found <= {name.replace(" ", "-"), *ALONG.get(name, ())}


ALONG = {"cached template loader": ["whitespace"]}  # what goes with it


LOST = """
import django
django.setup()
from django.conf import settings
from django.core.checks import run_checks
settings.TEMPLATES[0]["OPTIONS"]["extensions"].remove("speed.NAME")
print(*[message.id for message in run_checks(tags=["speed"])])
"""


@pytest.mark.parametrize("name", ["whitespace_jinja2.Whitespace", "fragments_jinja2.Fragments"])
def test_the_check_names_a_default_that_jinja2_alone_has_lost(
    bake: Bake, run: Run, name: str
) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "0", "SECRET_KEY": "secret"}
    env |= {"DATABASE_URL": "postgres:///app", "REDIS_URL": "redis://127.0.0.1:1/0"}
    code = LOST.replace("NAME", name)
    project = bake(template_engine="jinja2")
    said = run("uv", "run", "--quiet", "python", "-c", code, cwd=project, env=env)
    assert f"speed.{name.partition('_')[0]}" in said.split()


def test_for_each_module_somebody_tried_to_be_rid_of_it() -> None:
    assert {f"speed.{name}" for name in WITHOUT} == {row.module for row in DEFAULTS} - {""}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_module_can_be_deleted(bake: Bake, run: Run, name: str) -> None:
    asgi = "asgi" if name == "handler" else "wsgi"
    engine = "django" if name == "loops" else "jinja2"
    project = bake(template_engine=engine, interface=asgi, fresh=True)
    own = "cached_pages" if name == "pages" else name
    for path in (*project.glob(f"speed/{name}*"), *project.glob(f"tests/test_{own}*.py")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    row = rf'    Default\(\n(?:        .*\n)*?        module="speed\.{name}",\n    \),\n'
    for file, pattern, instead in [("speed/defaults.py", row, ""), *WITHOUT[name]]:
        edit(project / file, pattern, instead)
    run("make", "check", cwd=project)
    run("make", "test", cwd=project)


def edit(path: Path, pattern: str, instead: str) -> None:
    """Replace what a pattern finds in a file once."""
    text, number = re.subn(pattern, instead, path.read_text("utf-8"), count=1)
    assert number == 1, f"{path.name} has no {pattern}"
    path.write_text(text, "utf-8")
