"""The extension for Jinja2: it gives what Django's loader gives; and every template of Django for it."""

from pathlib import Path

import django
import pytest
from browser_dom import dom, normal
from django.conf import settings

jinja2 = pytest.importorskip("jinja2")
whitespace = pytest.importorskip("speed.whitespace_jinja2")

from hypothesis import given  # noqa: E402
from test_whitespace import DOCUMENTS, QUICK, SEEN  # noqa: E402

OPEN, CLOSE = "{{", "}}"
FOLDERS = [*Path(django.__file__).parent.rglob("jinja2")]
FOLDERS += [Path(settings.BASE_DIR) / path for path in ("templates", "benchmarks/workload/jinja2")]
TEMPLATES = [
    (folder, path.relative_to(folder).as_posix())
    for folder in FOLDERS
    for path in sorted(folder.rglob("*.html"))
]


def environment(**templates: str) -> "jinja2.Environment":
    loader = jinja2.DictLoader({k.replace("_", "."): v for k, v in templates.items()})
    return jinja2.Environment(loader=loader, extensions=[whitespace.Whitespace, "jinja2.ext.i18n"])


def collapsed(source: str, **templates: str) -> str:
    made = environment(page_html=source, **templates)
    made.install_null_translations()
    return str(made.get_template("page.html").render(SEEN))


@QUICK
@given(DOCUMENTS)
def test_a_browser_shows_the_same(source: str) -> None:
    if any(tag in source for tag in ("% verbatim", "% comment", "% now")):
        return  # which Jinja2 does not know
    source = f"<p></p>{source}"
    assert dom(collapsed(source)) == dom(jinja2.Template(source).render(SEEN))


def pieces(folder: Path, name: str, extension: bool) -> list[tuple[int, str, str]]:
    """Tokens of a template as the compiler gets them."""
    found = jinja2.Environment(loader=jinja2.FileSystemLoader([folder]))
    source, path, _ = found.loader.get_source(found, name)
    stream = found.lexer.tokenize(source, name, path)
    tokens = list(whitespace.Whitespace(found).filter_stream(stream)) if extension else list(stream)
    return [(token.lineno, token.type, token.value) for token in tokens]


@pytest.mark.parametrize(("folder", "name"), TEMPLATES, ids=lambda value: str(value)[-60:])
def test_a_template_shows_what_it_showed(folder: Path, name: str) -> None:
    before, after = pieces(folder, name, False), pieces(folder, name, True)
    assert [old[:2] for old in before] == [new[:2] for new in after]
    for old, new in zip(before, after, strict=True):
        if old[1] == "data":
            assert normal(new[2]) == normal(old[2])
        else:
            assert str(new[2]).removesuffix(whitespace.KEPT) == str(old[2])
    old_page, new_page = (
        "".join(v if t == "data" else "xyz" for _, t, v in p) for p in (before, after)
    )
    assert dom(new_page) == dom(old_page)


KEPT = [
    "{% trans %}  a   b  {% endtrans %}",
    "{% trans n=2 %}  a  {% pluralize %}  b  {% endtrans %}",
    "{% filter lower %}  a   b  {% endfilter %}",
    "{% set text %}  a   b  {% endset %}{% if flag %}{% endif %}",
    f"{{% macro m() %}}{OPEN} caller() {CLOSE}{{% endmacro %}}{{% call m() %}}  a  {{% endcall %}}",
    f"{{% raw %}}  {OPEN} a   b {CLOSE}  {{% endraw %}}",
]


@pytest.mark.parametrize("source", KEPT)
def test_a_block_that_may_use_its_whitespace_keeps_it(source: str) -> None:
    source = source + "<p>   </p>"
    plain = jinja2.Environment(extensions=["jinja2.ext.i18n"])
    plain.install_null_translations()
    assert collapsed(source) == plain.from_string(source).render(SEEN).replace(">   <", "> <")


PARENT = "<b>  </b>{% block text %}{% endblock %}<script>{% block script %}{% endblock %}</script>"
CHILD = "{% extends 'base.html' %}{% block text scoped %}<b>  </b>{% endblock %}"
CHILD += "{%- block script %}'<b>  </b>'{% endblock %}"


def test_a_block_is_left_alone_where_a_parent_has_it_in_a_script() -> None:
    page = collapsed(CHILD, base_html=PARENT)
    assert page == "<b> </b><b> </b><script>'<b>  </b>'</script>"


CODE = "<b>a</b>   b"


@pytest.mark.parametrize("first", ["code.html", "page.html"])
@pytest.mark.parametrize(
    "tag",
    [
        "{% include 'code.html' %}",
        "{% include ['none.html', 'code.html'] without context %}",
        "{% if flag %}{% include 'other.html' %}{% endif %}",
    ],
)
def test_what_is_included_in_a_pre_stays_as_it_is_there_and_there_only(
    tag: str, first: str
) -> None:
    made = environment(
        page_html=f"<i>  </i><pre>{tag}</pre>{tag}",
        code_html=CODE,
        other_html="{% extends 'layout.html' %}",
        layout_html="{% include 'code.html' %}{% block any %}{% endblock %}<i></i>",
    )
    made.get_template(first)
    page = made.get_template("page.html").render(SEEN)
    inside, outside = page.removeprefix("<i> </i><pre>").split("</pre>")
    assert inside.startswith(CODE)
    assert outside.startswith("<b>a</b> b")


def test_what_is_included_after_a_doubt_stays_as_it_is() -> None:
    page = collapsed("<b>  </b>-->{% include 'code.html' %}", code_html=CODE)
    assert page == f"<b>  </b>-->{CODE}"


def test_a_child_of_a_parent_in_doubt_stays_as_it_is() -> None:
    page = collapsed(CHILD, base_html=f"-->{PARENT}")
    assert page == "--><b>  </b><b>  </b><script>'<b>  </b>'</script>"


def test_what_is_included_before_a_doubt_stays_as_it_is() -> None:
    source = "{% include 'open.html' %}{% include 'code.html' %}</pre>"
    assert collapsed(source, code_html=CODE, open_html="<pre>") == f"<pre>{CODE}</pre>"


@pytest.mark.parametrize(
    "around",
    ["<pre>{}</pre>", "<b></b>-->{}", "{{% extends layout %}}{{% block a %}}{}{{% endblock %}}"],
)
@pytest.mark.parametrize(
    ("argument", "exact"),
    [
        ("'code.html'", True),
        ("'code.html' if value == 'x' else 'other.html' ignore missing with context", True),
        ("'other.html' if value == 'y' and 'a' else 'code.html'", True),
        ("['none.html', 'code.html']", True),
        ("'co' ~ 'de.html'", False),
        ("names['k']", False),
        ("string", False),
        ("['code.', 'html']|join", False),
    ],
)
def test_only_the_whole_name_of_a_template_is_taken_for_one(
    around: str, argument: str, exact: bool
) -> None:
    made = environment(
        page_html=around.format(f"{{% include {argument} %}}"),
        code_html=CODE,
        other_html="another",
        layout_html="{% block a %}{% endblock %}",
    )
    seen = SEEN | {"names": {"k": "code.html"}, "string": "code.html", "layout": "layout.html"}
    page = made.get_template("page.html").render(seen)
    assert (CODE if exact else "<b>a</b> b") in page


def test_a_string_after_what_is_included_stays_as_it_is() -> None:
    source = f"<pre>{{% include 'code.html' %}}{OPEN} 'a' {CLOSE}</pre>"
    assert collapsed(source, code_html=CODE) == f"<pre>{CODE}a</pre>"


def test_an_environment_that_got_its_loader_later_finds_what_is_included() -> None:
    made = jinja2.Environment(extensions=[whitespace.Whitespace])
    made.loader = jinja2.DictLoader(
        {"page.html": "<pre>{% include 'a.html' %}</pre>", "a.html": "a"}
    )
    assert made.get_template("page.html").render() == "<pre>a</pre>"
    assert made.overlay(loader=made.loader).get_template("page.html").render() == "<pre>a</pre>"


@pytest.mark.parametrize(
    "parent", ["parent", "'base.html' if flag else 'other.html'", "'missing.html'"]
)
def test_a_child_of_a_parent_that_is_known_later_stays_as_it_is(parent: str) -> None:
    source = CHILD.replace("'base.html'", parent)
    templates = {"base_html": PARENT}
    if "missing" in parent:
        with pytest.raises(jinja2.TemplateNotFound):
            collapsed(source, **templates)
    else:
        assert collapsed(source, **templates).count("<b>  </b>") == 2


@pytest.mark.parametrize("source", ["<b>{% %}</b>", "<b>{% if %}</b>", "<b>{% if", "{% extends %}"])
def test_a_mistake_is_reported_as_jinja2_does(source: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError) as expected:
        jinja2.Environment().from_string(source)
    with pytest.raises(jinja2.TemplateSyntaxError) as raised:
        collapsed(source)
    assert (raised.value.message, raised.value.lineno) == (
        expected.value.message,
        expected.value.lineno,
    )


def test_templates_that_extend_each_other_fail_as_they_do_in_jinja2() -> None:
    a, b = "{% extends 'b.html' %}", "{% extends 'a.html' %}"
    with pytest.raises(RecursionError):
        environment(a_html=a, b_html=b).get_template("a.html").render()


def test_a_text_a_mail_and_a_string_stay_as_they_are() -> None:
    mail = "Dear  Ada,\n\n  1 < 2\n"
    assert collapsed(mail) == mail.removesuffix("\n")
    source = "<b>  </b>"
    assert environment(a_txt=source).get_template("a.txt").render() == source
    assert environment().from_string(source).render() == source
