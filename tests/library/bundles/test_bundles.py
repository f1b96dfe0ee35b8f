"""Bundles and the build: the same programs, no 500 in production, and a build that can fail."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compressor.storage import default_storage
from django.template import Context, Template, engines
from django.test import override_settings
from django.utils.functional import empty
from djfast import build, bundles, sources

# Real libraries, as npm has them: minified or not, of all styles of module.
LIBRARIES = {
    "alpinejs": "dist/cdn.js",
    "backbone": "backbone.js",
    "bootstrap": "dist/js/bootstrap.js",
    "chart.js": "dist/chart.umd.js",
    "d3-array": "dist/d3-array.js",
    "htmx.org": "dist/htmx.js",
    "jquery": "dist/jquery.js",
    "leaflet": "dist/leaflet-src.js",
    "lodash": "lodash.js",
    "moment": "moment.js",
    "mustache": "mustache.js",
    "underscore": "underscore-umd.js",
}
SNIPPETS = {
    "nested templates": "const port = 80;\nconst u = `see ${port ? `http://x.org:${port}/` : ''}`;\n",
    "spaces in a template": "const c = `card ${true ? ` card-x   wide` : ''}\n   end`;\n",
    "a regular expression after yield": "function* g() { yield /\\/\\//.test('//') }\n",
    "a regular expression after a bracket": "if (a) /'/.test(b) // '\nlet x = a++ / 2 /* ' */ / 3",
    "a comment that breaks a line": "function f() { return /* a\n b */ 1 }\n",
    "plus and comment": "let a = b + /* c */ +d - /**/ -e",
    "no semicolon": "let f = g\n// the end",
    "strings": "let s = '// no comment', t = \"/* nor   this */\", u = 'a\\\n   b'",
    "Windows lines": "let a = 1\r\n// b\r\nlet c = 2\r\n",
    "Unicode": "let größe = 'ß\\u2028' // ü\nlet 变量 = `\u2028  x`\n",
    "a class": "class A { #x = 1; static { /* y */ this.z = 2 } get #p() { return this.#x } }\n",
    "a licence": "/*! (c) somebody */ let a = 1 /* @license MIT */\n",
    "an HTML comment": "x <!-- y\n--> z\nlet a = 1\n",
    "a division": "let a = b\n/* c */ / d / e",
}
ACORN = """
const acorn = require("acorn"), fs = require("fs");
const strip = (key, value) => ["start", "end"].includes(key) ? undefined : value;
const tree = (text) => {
    const parsed = acorn.parse(text, {ecmaVersion: "latest", allowHashBang: true});
    parsed.body = parsed.body.filter((node) => node.type != "EmptyStatement");
    return parsed.body.map((node) => JSON.stringify(node, strip));
};
for (const [made, ...parts] of JSON.parse(fs.readFileSync(0, "utf8"))) {
    const expected = parts.flatMap(tree);
    console.log(JSON.stringify(tree(made)) === JSON.stringify(expected));
}
"""


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install acorn and the libraries; return the folder."""
    assert shutil.which("npm"), "this test needs Node.js and npm"
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "acorn@8"]
    subprocess.run([*command, *LIBRARIES], cwd=folder, check=True, capture_output=True)
    return folder


def same_programs(npm: Path, pairs: list[list[str]]) -> list[bool]:
    """Return for each text and its sources whether they have the same syntax trees."""
    done = subprocess.run(
        ["node", "-e", ACORN],
        cwd=npm,
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line == "true" for line in done.stdout.split()]


def read(text: str) -> sources.Source:
    """Read a script."""
    return sources.read(text.encode(), "js")


def test_a_script_without_comments_is_the_same_program(npm: Path) -> None:
    texts = {**SNIPPETS}
    for name, file in LIBRARIES.items():
        texts[name] = (npm / "node_modules" / name / file).read_text("utf-8")
    made = {name: read(text).text.decode() for name, text in texts.items()}
    same = same_programs(npm, [[made[name], text] for name, text in texts.items()])
    assert [name for name, equal in zip(texts, same, strict=True) if not equal] == []
    smaller = [name for name in LIBRARIES if len(made[name]) < 0.97 * len(texts[name])]
    assert len(smaller) > 6


@pytest.fixture
def static(tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Return a function that writes a static file of production."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="")

    storages = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    root = str(tmp_path)
    default_storage._wrapped = empty  # it has the folder of the test before
    with override_settings(DEBUG=False, STATIC_ROOT=root, COMPRESS_ROOT=root, STORAGES=storages):
        yield write


def bundle(kind: str, *names: str, attributes: str = "") -> str:
    """Return the HTML of a block with these files."""
    tags = {
        "js": '<script src="/static/{}"{}></script>',
        "css": '<link rel="stylesheet" href="/static/{}"{}>',
    }
    html = "\n".join(tags[kind].format(name, attributes) for name in names)
    compressor = {"js": bundles.Scripts, "css": bundles.Stylesheets}[kind]
    return compressor(kind, content=html, context={}).output(forced=True)


def contents(html: str, tmp_path: Path) -> list[str]:
    """Return the contents of the files that HTML links."""
    found = [element.attributes for element in bundles.Block(html).elements() if element.name]
    urls = [(attributes.get("src") or attributes.get("href") or "") for attributes in found]
    return [(tmp_path / url.removeprefix("/static/")).read_text("utf-8") for url in urls]


def test_scripts_in_one_file_are_the_same_program(
    npm: Path, static: Callable[[str, str], None], tmp_path: Path
) -> None:
    texts = {
        "a.js": SNIPPETS["no semicolon"],
        "b.js": "(function () {})()\n",
        "c.js": "/x/.test(y)",
    }
    for name, text in texts.items():
        static(f"js/{name}", text)
    html = bundle("js", *(f"js/{name}" for name in texts))
    (made,) = contents(html, tmp_path)
    assert same_programs(npm, [[made, *texts.values()]]) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "'use strict'; undeclared = 1",
        "import './a.js'",
        "export const a = 1",
        "#!/usr/bin/env node\n",
        "let base = document.currentScript.src",
        "import('./lazy.js')",
        "x <!-- y",
        "not javascript(",
    ],
)
def test_a_script_that_would_change_others_is_served_by_itself(
    static: Callable[[str, str], None], tmp_path: Path, text: str
) -> None:
    static("js/first.js", "let first = 1\n")
    static("js/other.js", text)
    static("js/last.js", "let last = 1\n")
    html = bundle("js", "js/first.js", "js/other.js", "js/last.js")
    made = contents(html, tmp_path)
    assert len(made) == 3
    assert made[1].strip() == text.strip()


def test_scripts_that_declare_the_same_name_are_apart(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    for number in (1, 2):
        static(f"js/{number}.js", f"let same = {number}\n")
    made = contents(bundle("js", "js/1.js", "js/2.js"), tmp_path)
    assert made == ["let same = 1\n", "let same = 2\n"]


@pytest.mark.parametrize(
    "attributes",
    [
        ' type="module"',
        " defer",
        " async",
        ' integrity="sha256-x"',
        ' crossorigin="anonymous"',
        " nomodule",
        ' data-site="x"',
    ],
)
def test_a_script_with_attributes_keeps_its_tag(
    static: Callable[[str, str], None], attributes: str
) -> None:
    for name in ("a.js", "b.js"):
        static(f"js/{name}", f"// c\nlet {name[0]}\n")
    html = bundle("js", "js/a.js", "js/b.js", attributes=attributes)
    assert html.splitlines() == [
        f'<script src="/static/js/{name}"{attributes}></script>' for name in ("a.js", "b.js")
    ]


def test_a_minified_file_passes_through_unchanged(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    text = "/* kept */  let a=1;\n\n\n"
    static("js/a.min.0123456789ab.js", text)
    html = bundle("js", "js/a.min.0123456789ab.js")
    assert contents(html, tmp_path) == [text]


def test_stylesheets_keep_their_order_urls_and_rules(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    static("css/a.css", "/* c */ a { color: red }\n")
    static(
        "css/b.css",
        '@font-face { src: url("Open Sans.woff2") }\nb::after { content: "a  /* */ b" }\n',
    )
    static("css/import.css", '@import "part.css";\n.c { color: red }\n')
    static("css/d.css", "d { color: red }\n")
    static("other/e.css", "e { background: url(e.png) }\n")
    names = ["css/a.css", "css/b.css", "css/import.css", "css/d.css", "other/e.css"]
    html = bundle("css", *names)
    first, imported, last, other = contents(html, tmp_path)
    assert (
        first
        == 'a { color: red }\n@font-face { src: url("Open Sans.woff2") }\nb::after { content: "a  /* */ b" }\n'
    )
    assert imported.startswith('@import "part.css";')
    assert last == "d { color: red }\n"
    assert other == "e { background: url(e.png) }\n"
    assert 'href="/static/css/output.' in html  # beside its sources: relative URLs stay right


def test_a_comment_between_two_selectors_stays_no_combinator() -> None:
    text = sources.read(b"div/**/.a { --x:  1  2; b/* */: c }", "css").text
    assert text == b"div/**/.a { --x:  1  2; b/**/: c }\n"


@pytest.mark.parametrize("media", ["", "print"])
def test_stylesheets_for_different_media_stay_apart(
    static: Callable[[str, str], None], media: str
) -> None:
    static("css/a.css", "/* c */ a { color: red }\n")
    attributes = f' media="{media}"' if media else ""
    html = bundle("css", "css/a.css", attributes=attributes)
    assert html.count("<link") == 1
    assert (' media="print"' in html) is bool(media)


PAGE = "{% load compress %}{% compress js %}<script src='/static/js/{{ name }}.js'></script>{% endcompress %}"


def test_a_block_that_the_build_did_not_know_is_served_as_it_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        override_settings(COMPRESS_ENABLED=True, COMPRESS_OFFLINE=True),
        caplog.at_level("INFO", "djfast"),
    ):
        django: Any = next(engine for engine in engines.all() if hasattr(engine, "engine"))
        template = Template(PAGE, engine=django.engine)
        jinja2 = engines["jinja2"].from_string(PAGE.replace("{% load compress %}", ""))
        for name in ("a", "b"):
            expected = f"<script src='/static/js/{name}.js'></script>"
            assert template.render(Context({"name": name})) == expected
            assert jinja2.render({"name": name}) == expected
    assert len([one for one in caplog.records if "single files" in one.getMessage()]) == 2


@pytest.fixture
def site(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    """Return a copy of the project without its built files."""
    left_out = shutil.ignore_patterns(".git", ".services", ".venv", "staticfiles", "__pycache__")
    return shutil.copytree(pytestconfig.rootpath, tmp_path / "site", ignore=left_out)


def run_build(site: Path, *, code: int = 0) -> str:
    """Run `python -m config.build`; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "config.build"],
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_failed_build_names_both_files_and_changes_nothing(site: Path) -> None:
    run_build(site)
    root = site / "staticfiles"
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    broken = site / "static/js/broken.js"
    broken.write_text("a()\n//# sourceMappingURL=gone.js.map\n")
    (line,) = run_build(site, code=1).splitlines()
    assert "js/broken.js" in line
    assert "js/gone.js.map" in line
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    broken.unlink()
    assert "bundles" in run_build(site)


def test_files_of_the_last_build_stay_for_one_more(site: Path) -> None:
    run_build(site)
    root, style = site / "staticfiles", site / "static/css/base.css"
    text = style.read_text()
    hashed = [{path.name for path in root.glob("css/base.*.css")}]
    for number in range(2):
        style.write_text(f"{text}\np {{ margin: {number}px }}\n")
        run_build(site)
        hashed.append({path.name for path in root.glob("css/base.*.css")})
    assert [len(names) for names in hashed] == [1, 2, 2]
    assert hashed[0] < hashed[1]
    assert not hashed[0] & hashed[2]


def test_a_killed_build_is_in_nobodys_way_and_a_folder_of_others_is_refused(site: Path) -> None:
    root = site / "staticfiles"
    (root / f"{build.FOLDER}killed").mkdir(parents=True)
    (root / f"{build.FOLDER}killed/a.css").touch()
    run_build(site)
    shutil.rmtree(root)
    root.mkdir()
    (root / "upload.txt").touch()
    assert "files that no build made" in run_build(site, code=1)
    assert (root / "upload.txt").exists()


def test_the_build_names_a_template_whose_block_it_cannot_know(site: Path) -> None:
    folder = site / "core/templates/odd"
    folder.mkdir(parents=True)
    (folder / "layout.html").write_text(
        "{% extends layout %}{% load compress static %}{% block main %}{% compress js %}"
        "<script src=\"{% static 'js/theme.js' %}\"></script>{% endcompress %}{% endblock %}"
    )
    assert "odd/layout.html: " in run_build(site)
