"""The libraries in vendor/: each module's proofs, and what a project may do with the two folders."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Bake, Run

PROOFS = sorted(path.name for path in (ROOT / "tests/library").iterdir() if path.is_dir())
PROOFS = [name for name in PROOFS if name != "__pycache__"]
# Jinja2, because that project has both engines; what a proof needs beside it.
ANSWERS = {"handler": {"interface": "asgi"}, "pool": {"interface": "asgi"}}
PACKAGES = ["hypothesis", "html5lib", "trio", "gunicorn", "h2"]
PACKAGES += ["django-model-utils", "django-dirtyfields", "django-lifecycle"]

PRODUCTION = {
    "DEBUG": "0",
    "LOCAL_HTTP": "1",
    "SECRET_KEY": "a-secret-that-is-long-enough-for-every-check-of-django",
}


@pytest.mark.parametrize("name", PROOFS)
def test_a_module_keeps_what_it_promises(bake: Bake, run: Run, tmp_path: Path, name: str) -> None:
    project = bake(template_engine="jinja2", **ANSWERS.get(name, {}))
    proof = shutil.copytree(ROOT / "tests/library" / name, tmp_path / name)  # away from conftest.py
    # The same examples each time; without the seed, a run by hand looks at others.
    command = ["pytest", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", "."]
    command += ["--hypothesis-seed=0"]
    packages = [f"--with={package}" for package in PACKAGES]
    run("uv", "run", "--quiet", "--group=bench", *packages, *command, proof, cwd=project)


@pytest.mark.parametrize("library", ["djfast", "djfast-bench"])
def test_a_library_is_typed_and_free_of_lint(
    bake: Bake, run: Run, template: Path, tmp_path: Path, library: str
) -> None:
    source = template / "vendor" / library
    for command in (["check"], ["format", "--check"]):
        run(sys.executable, "-m", "ruff", *command, "--no-cache", ".", cwd=source)
    project = bake(template_engine="jinja2", interface="asgi")
    own = (project / "pyproject.toml").read_text("utf-8")
    strict = re.sub(r"(?m)^(disallow_untyped_defs|exclude) = .*\n", "", own)
    (tmp_path / "pyproject.toml").write_text(strict, "utf-8")
    package = f"vendor/{library}/{library.replace('-', '_')}"
    mypy = ["uv", "run", "--quiet", "--group=bench", "--group=load", "mypy"]
    run(*mypy, f"--config-file={tmp_path / 'pyproject.toml'}", package, cwd=project)


@pytest.mark.parametrize("library", ["djfast", "djfast-bench"])
def test_a_librarys_version_is_the_newest_of_its_changelog(library: str) -> None:
    folder = ROOT / "{{cookiecutter.project_slug}}/vendor" / library
    (version,) = re.findall(r'^version = "(.+)"$', (folder / "pyproject.toml").read_text(), re.M)
    headings = re.findall(r"^## (\S+)", (folder / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == version


def test_production_runs_without_the_source_of_the_harness(
    bake: Bake, run: Run, tmp_path: Path
) -> None:
    project = bake(fresh=True)
    run("uv", "lock", "--quiet", cwd=project)
    shutil.rmtree(project / "vendor/djfast-bench/djfast_bench")
    run("uv", "sync", "--quiet", "--no-dev", "--locked", cwd=project)
    python = project / ".venv/bin/python"
    packages = run(
        python, "-c", "import importlib.util as u; print(u.find_spec('djfast_bench'))", cwd=project
    )
    assert packages.strip() == "None"
    run(python, "-m", "config.build", cwd=project)
    database = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    env = PRODUCTION | database
    run(python, "manage.py", "migrate", "--verbosity=0", cwd=project, env=env)
    code = "import django; django.setup()\nfrom django.test import Client\n"
    code += "print(Client().get('/', headers={'host': 'localhost'}).status_code)"
    answer = run(
        python, "-c", code, cwd=project, env=env | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    )
    assert answer.split()[-1] == "200"


NEWER = "a newer version of the library"


def test_copying_vendor_from_a_newer_generation_updates_the_libraries(
    bake: Bake, run: Run, template: Path
) -> None:
    project = bake(fresh=True)
    run("uv", "sync", "--quiet", cwd=project)
    newer = project.with_name("newer-vendor")
    shutil.copytree(template / "vendor", newer)
    for package in ("djfast/djfast", "djfast-bench/djfast_bench"):
        with (newer / package / "__init__.py").open("a") as source:
            source.write(f'\nNEWER = "{NEWER}"\n')
    shutil.rmtree(project / "vendor")
    shutil.copytree(newer, project / "vendor")
    code = "import djfast, djfast_bench; print(djfast.NEWER, djfast_bench.NEWER, sep='\\n')"
    found = run("uv", "run", "--quiet", "--group=bench", "python", "-c", code, cwd=project)
    assert found.splitlines() == [NEWER, NEWER]
    run("make", "check", cwd=project)
    run("make", "test", cwd=project)


# By the rows that then are in effect: a file of an existing project, the lines that it gets, and what
# of these the README of the library shows.
STEPS = [
    (
        {"compiled-urls", "compiled-loops", "prepared-formats"},
        "shop/settings.py",
        """
TEMPLATES[0]["OPTIONS"]["builtins"] = [
    "djfast.engine.urls",
    "djfast.engine.loops",
    "djfast.engine.formats",
]
""",
        ["djfast.engine.urls", "djfast.engine.loops", "djfast.engine.formats"],
    ),
    (
        {"model-instances", "N+1-guard"},
        "catalogue/models.py",
        """
import djfast.models
from django.db import models


class BaseModel(djfast.models.Model):
    class Meta:
        abstract = True


class Item(BaseModel):
    name = models.CharField(max_length=20)
""",
        ["import djfast.models", "class BaseModel(djfast.models.Model):"],
    ),
    (
        {"redis-cache"},
        "shop/settings.py",
        """
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "KEY_PREFIX": "shop-cache",
        "LOCATION": "redis://127.0.0.1:1/0",
        "OPTIONS": {
            "CLIENT_CLASS": "djfast.cache.redis.PrefixClient",
            "SOCKET_CONNECT_TIMEOUT": 0.5,  # seconds
            "SOCKET_TIMEOUT": 0.5,  # seconds
        },
    },
}
DJANGO_REDIS_IGNORE_EXCEPTIONS = True
""",
        [
            '"CLIENT_CLASS": "djfast.cache.redis.PrefixClient"',
            "DJANGO_REDIS_IGNORE_EXCEPTIONS = True",
        ],
    ),
    (
        {"conditional-GET"},
        "shop/settings.py",
        """
MIDDLEWARE = [
    "django.middleware.http.ConditionalGetMiddleware",
    "djfast.cache.pages.PageCacheMiddleware",
    *MIDDLEWARE,
]
CACHES["pages"] = CACHES["default"] | {"KEY_PREFIX": "shop-pages"}
""",
        ['"djfast.cache.pages.PageCacheMiddleware"', 'CACHES["pages"] = CACHES["default"] |'],
    ),
    (
        set(),
        "shop/settings.py",
        """
TEMPLATES[0]["OPTIONS"]["builtins"] += ["djfast.cache.fragments"]
CACHES["template_fragments"] = CACHES["default"] | {"KEY_PREFIX": "shop-fragments"}
CACHES["template_fragments"]["OPTIONS"]["CLIENT_CLASS"] = "djfast.cache.tiers.TieredClient"
MIDDLEWARE = ["djfast.health.HealthMiddleware", *MIDDLEWARE]
""",
        [
            "djfast.cache.fragments",
            'CACHES["template_fragments"]["OPTIONS"]["CLIENT_CLASS"] = "djfast.cache.tiers.TieredClient"',
            '"djfast.health.HealthMiddleware"',
        ],
    ),
    (
        set(),
        "shop/settings.py",
        """
MIDDLEWARE[MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware")] = (
    "djfast.cache.users.CachedUserMiddleware"
)
""",
        ['"djfast.cache.users.CachedUserMiddleware"'],
    ),
]


def test_an_existing_project_adds_the_lines_of_the_readme(
    run: Run, template: Path, tmp_path: Path
) -> None:
    readme = (template / "vendor/djfast/README.md").read_text("utf-8")
    python, shop = tmp_path / "venv/bin/python", tmp_path / "shop"
    run("uv", "venv", "--quiet", f"--python={sys.executable}", tmp_path / "venv", cwd=tmp_path)
    library = template / "vendor/djfast"
    run("uv", "pip", "install", "--quiet", f"--python={python}", library, cwd=tmp_path)
    shop.mkdir()
    run(python, "-m", "django", "startproject", "shop", ".", cwd=shop)
    run(python, "manage.py", "startapp", "catalogue", cwd=shop)
    add(shop / "shop/settings.py", 'INSTALLED_APPS += ["djfast", "catalogue"]\n')

    def reverted() -> set[str]:
        said = run(python, "manage.py", "check", "--tag=speed", cwd=shop)
        assert not re.search("WARNINGS|ERRORS|Traceback", said), said
        run(python, "manage.py", "check", cwd=shop)
        return set(re.findall(r"\(speed\.([\w+-]+)\)", said))

    before = reverted()
    assert before >= {"redis-cache", "cached-sessions", "compression"}
    for rows, file, lines, shown in STEPS:
        assert [text for text in shown if text not in readme] == []
        add(shop / file, lines)
        after = reverted()
        assert before - after == rows
        assert after <= before
        before = after
    assert before, "a row of which no line was added stays an info"
    code = "from django.test import Client; print(Client().get('/admin/login/', headers={'host': 'localhost'}).status_code)"
    shell = ["manage.py", "shell", "--no-imports", f"--command={code}"]
    assert run(python, *shell, cwd=shop).split()[-1] == "200"


# Runs in a project: every name of the library that its README shows, then its blocks of a whole module.
SHOWN = """
import re, sys
from pkgutil import resolve_name
from types import SimpleNamespace

import django

django.setup()
readme = open(sys.argv[1], encoding="utf-8").read()
names = set(re.findall(r"djfast(?:\\.\\w+)+", readme))
for module, imported in re.findall(r"^from (djfast[.\\w]*) import (.+)$", readme, re.MULTILINE):
    names |= {f"{module}.{name.strip()}" for name in imported.split(",")}
for name in names:
    resolve_name(name)
(environment,) = [one for one in re.findall("```python\\n(.*?)```", readme, re.DOTALL) if "def environment" in one]
exec(environment)
template = environment().from_string("{{ url('admin:index') }} {{ static('a.css') }} {{ day | date('Y') }}")
print(len(names), template.render(day=django.utils.timezone.datetime(2026, 1, 1)))
"""


def test_every_name_in_the_readme_of_the_library_exists(
    bake: Bake, run: Run, template: Path
) -> None:
    project = bake(template_engine="jinja2")
    readme = template / "vendor/djfast/README.md"
    env = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    command = ["uv", "run", "--quiet", "python", "-c", SHOWN, readme]
    number, *shown = run(*command, cwd=project, env=env).split()[-4:]
    assert int(number) > 30
    assert shown == ["/admin/", "/static/a.css", "2026"]


def add(path: Path, lines: str) -> None:
    """Append lines to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{lines}")
