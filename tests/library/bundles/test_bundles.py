"""Bundles and the build: the same programs, no 500 in production, and a build that can fail."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compressor.signals import post_compress
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
// Bundles and what they are made of: the same statements in the same order?
const strip = (key, value) => ["start", "end"].includes(key) ? undefined : value;
const tree = (text) => {
    const parsed = acorn.parse(text, {ecmaVersion: "latest", allowHashBang: true});
    parsed.body = parsed.body.filter((node) => node.type != "EmptyStatement");
    return parsed.body.map((node) => JSON.stringify(node, strip));
};
for (const [made, parts] of JSON.parse(fs.readFileSync(0, "utf8"))) {
    console.log(JSON.stringify(made.flatMap(tree)) === JSON.stringify(parts.flatMap(tree)));
}
"""
RUN = """
// Run scripts of a page; print what they log, and the names of their errors.
const fs = require("fs"), vm = require("vm");
for (const scripts of JSON.parse(fs.readFileSync(0, "utf8"))) {
    const lines = [], page = vm.createContext({console: {log: (...all) => lines.push(all.join(" "))}});
    page.window = page;
    for (const script of scripts) {
        try { vm.runInContext(script, page) } catch (error) { lines.push(error.name) }
    }
    console.log(JSON.stringify(lines));
}
"""
# Two scripts, and in how many files they are the same program.
PAIRS = {
    "a comment at the end": (
        "var f = function (x) { console.log('called') }\n// x",
        "(() => 1)()",
        1,
    ),
    "a map at the end": ("f = 1\n//# sourceMappingURL=a.js.map", "[1].forEach(console.log)", 1),
    "no semicolon before a template": ("var t = console.log", "`x`", 1),
    "a tail that may go on": ("var async = 1; async", "function f() {} console.log(typeof f())", 1),
    "only a comment before a directive": (
        "/* a */",
        "'use strict'; try { u = 1 } catch { console.log(1) }",
        2,
    ),
    "a call of what comes later": (
        "try { later() } catch { console.log('none') }",
        "function later() {}",
        2,
    ),
    "a question for a constant": (
        "console.log(typeof later)",
        "const later = 1; console.log(later)",
        2,
    ),
    "a question for a class": ("console.log(typeof Later)", "class Later {}", 2),
    "a question for a variable": ("console.log('later' in window)", "if (0) { var later }", 2),
    "a question for one of a loop": ("console.log('later' in window)", "for (var later of []);", 2),
    "a question for one of many": (
        "console.log(typeof e)",
        "let {a, b: [c, {d = 1, ...e}]} = {b: [1, 2]}",
        2,
    ),
    "a question in a string": ("console.log(typeof window['later'])", "function later() {}", 2),
    "an escape": ("console.log(typeof l\\u0061ter)", "let later = 1", 2),
    "a global that is declared later": ("q = 1", "let q = 2; console.log(q)", 2),
    "a name space": ("var A = A || {}; A.a = 1", "var A = A || {}; console.log(A.a)", 2),
    "names of a function": (
        "(function () { var a = 1 })()",
        "(function () { var b = a => a; console.log(b(2)) })()",
        1,
    ),
    "names of a block": ("console.log(typeof a)", "{ let a = 1; console.log(a) }", 1),
    "a name of before": ("let a = 1", "console.log(a)", 1),
    "a line separator in a comment": (
        "function f() { return /*\u2028*/ 1 }",
        "console.log(f())",
        1,
    ),
    "a line separator ends a comment": ("// a\u2028console.log(1)", "console.log(2)", 1),
}


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install acorn and the libraries; return the folder."""
    assert shutil.which("npm"), "this test needs Node.js and npm"
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "acorn@8"]
    subprocess.run([*command, *LIBRARIES], cwd=folder, check=True, capture_output=True)
    return folder


def node(folder: Path, program: str, lists: Any) -> list[Any]:
    """Run a program of Node.js that reads a list and prints a line of JSON for each of its entries."""
    done = subprocess.run(
        ["node", "-e", program],
        cwd=folder,
        input=json.dumps(lists),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def same_programs(npm: Path, pairs: list[tuple[list[str], list[str]]]) -> list[bool]:
    """Return for each list of texts and of their sources whether they have the same syntax trees."""
    return node(npm, ACORN, pairs)


def read(text: str) -> sources.Source:
    """Read a script."""
    return sources.read(text.encode(), "js")


def test_a_script_without_comments_is_the_same_program(npm: Path) -> None:
    texts = {**SNIPPETS}
    for name, file in LIBRARIES.items():
        texts[name] = (npm / "node_modules" / name / file).read_text("utf-8")
    made = {name: read(text).text.decode() for name, text in texts.items()}
    same = same_programs(npm, [([made[name]], [text]) for name, text in texts.items()])
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
        static(f"{name[0]}/{name}", text)
    html = bundle("js", *(f"{name[0]}/{name}" for name in texts))
    (made,) = contents(html, tmp_path)
    assert same_programs(npm, [([made], [*texts.values()])]) == [True]


def test_libraries_in_bundles_are_the_same_programs(
    npm: Path, static: Callable[[str, str], None], tmp_path: Path
) -> None:
    minified = [
        ("jquery", "dist/jquery.min.js"),
        ("bootstrap", "dist/js/bootstrap.min.js"),
        ("htmx.org", "dist/htmx.min.js"),
    ]
    files = [f"{name}/{file}" for name, file in [*LIBRARIES.items(), *minified]]
    texts = [(npm / "node_modules" / file).read_text("utf-8") for file in files]
    for file, text in zip(files, texts, strict=True):
        static(file, text)
    made = contents(bundle("js", *files), tmp_path)
    assert same_programs(npm, [(made, texts)]) == [True]
    assert len(made) < len(texts)


def test_scripts_do_the_same_in_production_as_in_development(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    pages = []
    for number, (first, second, _) in enumerate(PAIRS.values()):
        static(f"a/{number}.min.js", first)
        static(f"b/{number}.js", second)
        pages.append(contents(bundle("js", f"a/{number}.min.js", f"b/{number}.js"), tmp_path))
    development = node(tmp_path, RUN, [(first, second) for first, second, _ in PAIRS.values()])
    production = node(tmp_path, RUN, pages)
    assert dict(zip(PAIRS, production, strict=True)) == dict(zip(PAIRS, development, strict=True))
    counts = {name: count for name, (_, _, count) in PAIRS.items()}
    assert {name: len(page) for name, page in zip(PAIRS, pages, strict=True)} == counts


def test_a_bundle_has_no_map_of_one_of_its_sources(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    static("a.min.js", "f()\n//# sourceMappingURL=a.js.map")
    static("b.min.css", "b { c: d }\n/*# sourceMappingURL=b.css.map */\n")
    static("c.min.css", "b { c: d }")
    html = bundle("js", "a.min.js", "a.min.js") + bundle("css", "b.min.css", "c.min.css")
    script, style = contents(html, tmp_path)
    assert "sourceMappingURL" not in script + style


@pytest.mark.parametrize(
    "element",
    [
        "<style>a { background: url(a.png) }</style>",
        "<style>@import 'a.css';</style>",
        "<style>a { clip-path: url(#a) }</style>",
        "<style>a { no css</style>",
        "<script>'\u2028'; document.currentScript.remove()</script>",
        '<script src="">f()</script>',
        "<!--[if IE]><script>f()</script><![endif]-->",
        "<noscript>no script</noscript>",
    ],
)
def test_what_depends_on_its_page_stays_in_it(
    static: Callable[[str, str], None], element: str
) -> None:
    kind = "css" if "style" in element else "js"
    compressor = {"js": bundles.Scripts, "css": bundles.Stylesheets}[kind]
    made = compressor(kind, content=f"\n{element}\n", context={}).output(forced=True)
    assert made == element


def test_styles_of_a_page_with_absolute_paths_are_bundled(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    text = "a { background: url(/static/a.png); cursor: url('data:x') }"
    made = bundles.Stylesheets("css", content=f"<style>{text}</style>", context={}).output(
        forced=True
    )
    assert contents(made, tmp_path) == [f"{text}\n"]


def test_all_line_breaks_of_unicode_may_stand_before_an_element(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    content = "<script>a('\u2028\x85\f')\r\n</script>\n<script>b()</script>"
    made = bundles.Scripts("js", content=content, context={}).output(forced=True)
    assert contents(made, tmp_path) == ["a('\u2028\x85\f')\n;\nb()\n"]


def test_the_modes_of_the_tag_link_or_contain_the_same_program(
    static: Callable[[str, str], None], tmp_path: Path
) -> None:
    static("a.js", "/* c */ f()\n// end")
    static("b.js", "(1)")
    static("c.js", "d = '</script>'")
    static("e.css", "a { background: url(a.png) }")
    tags = [f'<script src="/static/{name}.js"></script>' for name in "abc"]
    found = [
        bundles.Scripts("js", content="".join(tags), context={}).output(mode, forced=True)
        for mode in ("inline", "file", "preload")
    ]
    assert found[0] == f"<script>f()\n</script>\n<script>(1)\n</script>\n{tags[2]}"
    url = re.findall(r"/static/CACHE/js/output\.\w+\.js", found[1])
    assert found[1:] == [
        f'<script src="{url[0]}"></script>',
        f'<link rel="preload" href="{url[0]}" as="script" />',
    ]
    link = '<link rel="stylesheet" href="/static/e.css">'
    assert (
        bundles.Stylesheets("css", content=link, context={}).output("inline", forced=True) == link
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_precompilers_and_filters_of_a_project_work(
    static: Callable[[str, str], None], tmp_path: Path, enabled: bool
) -> None:
    static("a.css", "a { color: red }")
    static("b.scss", "b { color: red }")
    links = '<link rel="stylesheet" href="/static/a.css">'
    links += '<link rel="stylesheet" type="text/x-scss" href="/static/b.scss">'
    with override_settings(
        COMPRESS_ENABLED=enabled,
        COMPRESS_PRECOMPILERS=[("text/x-scss", "sed s/red/blue/")],
        COMPRESS_FILTERS={"css": ["compressor.filters.cssmin.rCSSMinFilter"] * enabled, "js": []},
    ):
        made = bundles.Stylesheets("css", content=links, context={}).output()
    files = contents(made, tmp_path)
    if enabled:
        assert [text.split() for text in files] == [["a{color:red}b{color:blue}"]]
    else:
        assert files == ["a { color: red }", "b { color: blue }"]
        assert made.startswith('<link rel="stylesheet" href="/static/a.css">')


def test_the_templates_and_the_signal_of_the_package_are_used(
    static: Callable[[str, str], None],
) -> None:
    static("a.js", "/* c */ f()")
    found: list[Any] = []

    def receive(**values: Any) -> None:
        found.append((values["type"], values["mode"], values["context"]["compressed"]["url"]))

    post_compress.connect(receive)
    try:
        made = bundle("js", "a.js")
    finally:
        post_compress.disconnect(receive)
    ((kind, mode, url),) = found
    assert (kind, mode) == ("js", "file")
    assert url in made


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
        "let first = 2",  # an error, and only of this script
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
    first, imported, last = contents(html, tmp_path)
    assert (
        first
        == 'a { color: red }\n@font-face { src: url("Open Sans.woff2") }\nb::after { content: "a  /* */ b" }\n'
    )
    assert imported.startswith('@import "part.css";')
    assert last == "d { color: red }\ne { background: url(e.png) }\n"
    # Beside the sources that have relative URLs.
    assert re.findall(r'href="/static/(\w+)/', html) == ["css", "css", "other"]


@pytest.mark.parametrize(
    "text", [".a\\  b { c: d }\n", ".\\31  b { c: d }\n", "a { b: url(c\\ /**/ d) }\n"]
)
def test_a_space_that_ends_an_escape_stays(text: str) -> None:
    assert sources.read(text.encode(), "css").text == text.encode()


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
    folder = shutil.copytree(pytestconfig.rootpath, tmp_path / "site", ignore=left_out)
    with (folder / "config/settings.py").open("a") as settings:
        # Compressed copies take most of the time of a build.
        settings.write(
            '\nWHITENOISE_SKIP_COMPRESS_EXTENSIONS = ["css", "js", "json", "svg", "txt"]\n'
        )
    return folder


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


def test_the_same_build_again_keeps_the_files_of_the_one_before(site: Path) -> None:
    run_build(site)
    root, style = site / "staticfiles", site / "static/css/base.css"
    first = {path.name for path in root.glob("css/base.*.css")}
    style.write_text(f"{style.read_text()}\np {{ margin: 1px }}\n")
    for _ in range(3):
        run_build(site)
    assert first < {path.name for path in root.glob("css/base.*.css")}


def test_a_build_deletes_only_what_builds_have_made(site: Path) -> None:
    root, gone = site / "staticfiles", site / "static/gone.txt"
    gone.touch()
    run_build(site)
    assert (root / "gone.txt").exists()
    upload = root / "uploads/photo.jpg"
    upload.parent.mkdir()
    upload.touch()
    gone.unlink()
    run_build(site)
    assert upload.exists()
    assert not (root / "gone.txt").exists()


def test_a_killed_build_is_in_nobodys_way_and_a_folder_of_others_is_refused(site: Path) -> None:
    root = site / "staticfiles"
    (root / f"{build.FOLDER}killed").mkdir(parents=True)
    (root / f"{build.FOLDER}killed/a.css").touch()
    run_build(site)
    assert not [*root.glob(f"{build.FOLDER}*")]
    shutil.rmtree(root)
    root.mkdir()
    (root / "upload.txt").touch()
    assert "files that no build made" in run_build(site, code=1)
    assert (root / "upload.txt").exists()


KILLED = """
import os
from pathlib import Path

from djfast.build import build

replace = Path.replace


def publish(path, target):
    if path.name == "staticfiles.json":
        os._exit(9)
    return replace(path, target)


Path.replace = publish
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
build()
"""


def test_a_build_that_was_killed_while_it_published_loses_and_forgets_no_file(site: Path) -> None:
    run_build(site)
    root, style, program = (
        site / "staticfiles",
        site / "static/css/base.css",
        site / "config/build.py",
    )
    before = {path for path in root.rglob("*") if build.HASHED.search(path.name)}
    whole = program.read_text()
    program.write_text(KILLED)
    style.write_text("p { margin: 1px }\n")
    run_build(site, code=9)
    program.write_text(whole)
    style.write_text("p { margin: 2px }\n")
    run_build(site)
    found = {path for path in root.rglob("*") if path.is_file() and path.name != build.MARKER}
    assert before < found
    assert found == {root / name for name in json.loads((root / build.MARKER).read_text())}


def test_two_builds_at_once_wait_for_each_other(site: Path) -> None:
    command = [sys.executable, "-m", "config.build"]
    folders: list[Path] = []
    builds = []
    for _ in range(2):
        builds.append(subprocess.Popen(command, cwd=site, stdout=subprocess.PIPE))
        while not (new := {*site.glob(f"staticfiles/{build.FOLDER}*")} - {*folders}):
            assert builds[-1].poll() is None
            time.sleep(0.01)
        folders += new
    assert (site / "staticfiles/staticfiles.json").exists()  # the first one has ended
    outputs = [one.communicate()[0] for one in builds]
    assert [one.returncode for one in builds] == [0, 0]
    assert outputs[0] == outputs[1]


APP = """
from django.apps import AppConfig
from django.contrib.staticfiles.storage import staticfiles_storage


class Early(AppConfig):
    name = "early"

    def ready(self):
        staticfiles_storage.exists("robots.txt")
"""


def test_an_app_may_look_at_static_files_while_it_loads(site: Path) -> None:
    (site / "early").mkdir()
    (site / "early/__init__.py").touch()
    (site / "early/apps.py").write_text(APP)
    with (site / "config/settings.py").open("a") as settings:
        settings.write('\nINSTALLED_APPS.insert(0, "early")\n')
    for _ in range(2):
        run_build(site)
        assert (site / "staticfiles/staticfiles.json").exists()
        assert (site / "staticfiles/css/base.css").exists()


def test_a_file_that_cannot_be_read_is_named(site: Path) -> None:
    (site / "static/css/latin.css").write_bytes("a::after { content: 'ä' }".encode("latin-1"))
    (line,) = run_build(site, code=1).splitlines()
    assert "css/latin.css" in line


CONTEXTS = """
COMPRESS_OFFLINE_CONTEXT = "core.contexts.all_of_them"
"""
THEMES = """
def all_of_them():
    for theme in ("red", "blue"):
        yield {"theme": theme}
"""


def test_the_contexts_of_a_project_have_a_bundle_each(site: Path) -> None:
    for theme in ("red", "blue"):
        (site / f"static/css/{theme}.css").write_text(f"/* c */ p {{ color: {theme} }}\n")
    (site / "core/contexts.py").write_text(THEMES)
    with (site / "config/settings.py").open("a") as settings:
        settings.write(CONTEXTS)
    (site / "templates/theme.html").write_text(
        "{% compress css %}<link rel='stylesheet' href='{{ static('css/' ~ theme ~ '.css') }}'>{% endcompress %}"
    )
    assert "single files" not in run_build(site)
    texts = {path.read_text() for path in (site / "staticfiles/CACHE/css").glob("*.css")}
    assert {f"p {{ color: {theme} }}\n" for theme in ("red", "blue")} < texts


def test_the_build_names_a_template_whose_block_it_cannot_know(site: Path) -> None:
    folder = site / "core/templates/odd"
    folder.mkdir(parents=True)
    script = "<script src=\"{% static 'js/theme.js' %}\"></script>"
    (folder / "layout.html").write_text(
        "{% extends layout %}{% load compress static %}{% block main %}{% compress js %}"
        f"{script}{{% endcompress %}}{{% endblock %}}"
    )
    (folder / "staff.html").write_text(
        "{% load compress static %}\n{% compress js %}"
        f"{{% if user.is_staff %}}{script}{{% endif %}}{{% block more %}}{{% endblock %}}{{% endcompress %}}"
    )
    (folder / "child.html").write_text(
        '{% extends "odd/staff.html" %}{% block more %}<script>{{ site_name }}</script>{% endblock %}'
    )
    (site / "templates/named.html").write_text(
        "\n{% compress js %}<script>'{{ name }}'</script>{% endcompress %}"
    )
    said = run_build(site)
    assert "odd/layout.html: " in said
    assert "odd/child.html and 1 more: a block depends on {% if user.is_staff %}, line 2" in said
    assert "odd/child.html: a block depends on {{ site_name }}, line 1" in said
    assert "named.html: a block depends on 'name', line 2" in said
    assert said.count("Served as single files") == 4


def test_files_that_templates_name_exist(site: Path) -> None:
    package = site / ".package/site-packages/shop"
    for path, text in {
        # The context decides.
        site / "core/templates/filter.html": "{% load static %}{% static 'img/'|add:name %}",
        site / "core/templates/variable.html": "{% load static %}{% static name %}",
        # The template of another folder with the same name is never rendered.
        site / "core/templates/admin/404.html": "{% load static %}\n{% static 'gone-1.png' %}",
        site / "templates/page.jinja": "\n\n{{ static('gone-2.png') }}",
        site / "templates/worker.js": "let url = '{{ static(name) }}'",
        package / "__init__.py": "",
        package / "templates/shop.html": "{% load static %}{% static 'gone-3.png' %}",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (line,) = run_build(site, code=1).splitlines()
    own = line.removeprefix("The build failed: ").removesuffix(".").split("; ")
    assert own == [
        f"{site}/templates/page.jinja, line 3: there is no static file 'gone-2.png'",
        f"{site}/core/templates/admin/404.html, line 2: there is no static file 'gone-1.png'",
    ]


PAGE_URLS = """
import re, sys
import django
django.setup()
from django.template.loader import render_to_string
page = render_to_string("base.html")
print(*re.findall(r'(?:href|src)="([^"]*(?:output|favicon)[^"]*)"', page))
"""


@pytest.mark.parametrize(
    ("lines", "start"),
    [
        ('STATIC_URL = "https://cdn.example.com/my/assets/"', "https://cdn.example.com/my/assets/"),
        ('STATIC_URL = "static/"; FORCE_SCRIPT_NAME = "/shop"', "/shop/static/"),
        ('STATIC_URL = "/shop/static/"; FORCE_SCRIPT_NAME = "/shop/"', "/shop/static/"),
    ],
)
def test_pages_of_a_site_below_a_path_or_with_another_host_for_files_have_bundles(
    site: Path, lines: str, start: str
) -> None:
    with (site / "config/settings.py").open("a") as settings:
        settings.write(f"\n{lines}\n")
    run_build(site)
    production = {"DEBUG": "0", "LOCAL_HTTP": "1", "SECRET_KEY": "k" * 50}
    production |= {"DATABASE_URL": "sqlite://:memory:", "REDIS_URL": "redis://127.0.0.1:1/0"}
    production |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", PAGE_URLS],
        cwd=site,
        env=os.environ | production,
        capture_output=True,
        text=True,
        check=True,
    )
    urls = done.stdout.split()
    assert [url.removeprefix(start).split(".")[0] for url in urls] == [
        "favicon",
        "CACHE/css/output",
        "CACHE/js/output",
    ]
    assert all((site / "staticfiles" / url.removeprefix(start)).exists() for url in urls)
