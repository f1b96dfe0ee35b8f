"""Whitespace against what a browser makes of a page, on templates that nobody wrote."""

import threading
from pathlib import Path
from typing import Any

import pytest
from browser_dom import dom
from django.template import Context, Engine, TemplateDoesNotExist
from django.template.base import DebugLexer, Lexer, TokenType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speed.whitespace import KEPT, Scanner

SEEN = {"parent": "base.html", "flag": True, "other": False, "value": "x", "items": [1, 2]}
HIDDEN = {"flag": False, "other": True, "value": "x", "items": []}


def engine(templates: dict[str, str], loader: str = "speed.whitespace.Loader") -> Any:
    inner = ("django.template.loaders.locmem.Loader", templates)
    libraries = {"i18n": "django.templatetags.i18n"}
    return Engine(libraries=libraries, loaders=[(loader, [inner])])


def render(source: str, context: dict[str, Any]) -> tuple[str, str]:
    """Render a template as it is written, and as it is loaded."""
    ways = ("django.template.loaders.cached.Loader", "speed.whitespace.Loader")
    plain, loaded = (
        engine({"page.html": source}, way).get_template("page.html").render(Context(context))
        for way in ways
    )
    return plain, loaded


def collapsed(source: str, name: str = "page.html", **others: str) -> str:
    others = {key.replace("_", "."): value for key, value in others.items()}
    templates = others | {name: source}
    return str(engine(templates).get_template(name).render(Context(SEEN)))


# Well-formed templates.

WORDS = st.text(alphabet="ab \n\t\f\r\u00a0\u2003é&;'\"=-", max_size=12)
ODD = st.sampled_from(
    ["a < b", "<3", "&lt;", "1 <\n 2", "«  »", "->", "a > b", "]]>", "--", "< p >"]
)
SPACES = st.sampled_from(["", " ", "  ", "\n", "\n    ", " \t "])
VALUES = st.sampled_from(
    [
        "",
        " hidden",
        " =x",
        ' class="a   b"',
        "\n  title='>  \"  <pre>  '",
        " data-x=a",
        " data-x=a/",
        ' title="{% if flag %}a   b{% else %}  c{% endif %}"',
        "{% if flag %}   checked{% endif %}",
        ' value="{{ value }}   {{ value }}"',
        " value={{ value }}",
        " value = 'a  >  b'",
        '{% if other %} title="  </pre>  "{% endif %}',
        " /",
    ]
)
INLINE = ["a", "b", "span", "em", "custom-element", "svg", "PRE", "pre", "listing", "noscript"]
BLOCK_LEVEL = ["div", "section", "UL", "blockquote", "template", "math"]
VOID = ["br", "img", "input", "HR", "wbr"]
RAW = ["script", "style", "textarea", "title", "xmp", "iframe", "STYLE"]


@st.composite
def element(draw: st.DrawFn, children: st.SearchStrategy[str]) -> str:
    name = draw(st.sampled_from(INLINE + BLOCK_LEVEL))
    return f"<{name}{draw(VALUES)}{draw(SPACES)}>{draw(children)}</{name}{draw(SPACES)}>"


@st.composite
def raw(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(RAW))
    inside = draw(
        st.sampled_from(
            ["", "  a < b   ", "\n  '</p>   <pre>'  ", "  {{ value }}  ", "<!--  -->  "]
        )
    )
    return f"<{name}{draw(VALUES)}>{inside}</{name}>"


@st.composite
def void(draw: st.DrawFn) -> str:
    return f"<{draw(st.sampled_from(VOID))}{draw(VALUES)}{draw(st.sampled_from(['', ' ', ' /']))}>"


COMMENTS = st.sampled_from(
    ["<!--  a   -->", "<!--[if IE]>  <pre>  <![endif]-->", "<!-- a > b '  -->", "<!---->"]
)
TAGS = st.sampled_from(
    ["{{ value }}", "{#  a   #}", "{% now 'Y' %}", "{% comment %} <pre>  {% endcomment %}"]
)
LEAF = st.one_of(WORDS, WORDS, ODD, TAGS, COMMENTS, raw(), void(), SPACES)


def grown(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    branches = st.builds("{{% if flag %}}{}{{% else %}}{}{{% endif %}}".format, children, children)
    loop = st.builds("{{% for i in items %}}{}{{% endfor %}}".format, children)
    kept = st.builds("{{% filter lower %}}{}{{% endfilter %}}".format, children)
    verbatim = st.builds("{{% verbatim %}}{}{{% endverbatim %}}".format, WORDS)
    parts = st.lists(children, min_size=1, max_size=4).map("".join)
    return st.one_of(parts, parts, element(parts), element(parts), branches, loop, kept, verbatim)


DOCUMENTS = st.recursive(LEAF, grown, max_leaves=14)
# ...and templates made of splinters, of which few are well-formed.
SPLINTERS = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "</",
            "/>",
            "<p",
            "<pre",
            "<pre>",
            "</pre>",
            "</pre",
            "<a ",
            "<b>",
            "</b>",
            "<!--",
            "-->",
            "--!>",
            "<!",
            "<!doctype html>",
            "<?",
            "<![CDATA[",
            "]]>",
            "<script>",
            "</script>",
            "<script",
            "<textarea>",
            "</textarea>",
            "<svg>",
            "</svg>",
            "<br/>",
            "<plaintext>",
            "=",
            '"',
            "'",
            '="',
            "='",
            " ",
            "  ",
            "\n\n",
            "x",
            "/",
            "&",
            "-",
            "{{ value }}",
            "{#x#}",
            "{% if flag %}",
            "{% else %}",
            "{% endif %}",
            "{% for i in items %}",
            "{% endfor %}",
            "{% filter upper %}",
            "{% endfilter %}",
        ]
    ),
    max_size=18,
)


def balanced(parts: list[str]) -> str:
    """Close the blocks that were opened, and leave out what does not fit."""
    ends = {"{% if flag %}": "{% endif %}", "{% for i in items %}": "{% endfor %}"}
    ends["{% filter upper %}"] = "{% endfilter %}"
    done, stack, elses = [], [], []
    for part in parts:
        if part in ends:
            stack.append(ends[part])
            elses.append(part == "{% if flag %}")
        elif part.startswith("{% end"):
            if not stack or stack[-1] != part:
                continue
            stack.pop()
            elses.pop()
        elif part == "{% else %}":
            if not elses or not elses[-1]:
                continue
            elses[-1] = False
        done.append(part)
    return "".join([*done, *reversed(stack)])


QUICK = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(DOCUMENTS)
def test_a_browser_shows_the_same(source: str) -> None:
    for context in (SEEN, HIDDEN):
        plain, loaded = render(f"<p></p>{source}", context)
        assert dom(loaded) == dom(plain)


@settings(QUICK, max_examples=1500)
@given(SPLINTERS)
def test_a_browser_shows_the_same_of_what_is_not_well_formed(parts: list[str]) -> None:
    source = balanced(parts)
    for context in (SEEN, HIDDEN):
        plain, loaded = render(f"<p></p>{source}", context)
        if plain != loaded:
            assert dom(loaded) == dom(plain)


@QUICK
@given(DOCUMENTS)
def test_collapsing_twice_is_collapsing_once(source: str) -> None:
    texts, kept = scan(f"<p></p>{source}")
    if kept is not None:
        assert scan("".join(texts)) == (texts, kept)


def scan(source: str) -> tuple[list[str], set[str] | None]:
    """Collapse a template; its pieces, and what Scanner found."""
    tokens = Lexer(source).tokenize()
    blocks = [t.split_contents() for t in tokens if t.token_type is TokenType.BLOCK]
    scanner = Scanner((name for name, *_ in blocks), set())
    pieces = []
    for token, piece in zip(tokens, pieces_of(source), strict=True):
        if token.token_type is TokenType.TEXT:
            pieces.append(scanner.text(piece))
        else:
            pieces.append(piece)
            if token.token_type is TokenType.BLOCK:
                scanner.tag(*[*token.split_contents(), ""][:2])
    scanner.end()
    return pieces, scanner.kept


def pieces_of(source: str) -> list[str]:
    tokens = DebugLexer(source).tokenize()
    return [source[slice(*token.position)] for token in tokens]


@QUICK
@given(st.text(alphabet="ab \n\t<", max_size=30), st.sampled_from(sorted(KEPT)), SPACES)
def test_kept_elements_and_attributes_are_the_same_byte_for_byte(
    text: str, name: str, spaces: str
) -> None:
    text = text.replace("<", "< ")
    kept = f'<{name}  title="{text}"{spaces}>{text}{{{{ value }}}}{text}</{name}{spaces}>'
    comment = f"<!--{text}-->"
    source = f"<p>{{}}</p>{kept}{{}}{comment}{{}}{kept}"
    _, loaded = render(source.replace("{}", "   "), SEEN)
    assert loaded == render(source.replace("{}", " "), SEEN)[0]


# One by one.

KEPT_BLOCKS = [
    "{% filter lower %}  a   b  {% endfilter %}",
    "{% verbatim %}  {{ a   }}  {% endverbatim %}",
    "{% verbatim name %}  {% endverbatim %}  {% endverbatim name %}",
    "{% load i18n %}{% blocktranslate %}  a   b  {% endblocktranslate %}",
    "{% load i18n %}{% blocktranslate count n=2 %}  a   b  {% plural %}  c  {% endblocktranslate %}",
    "{% filter lower %}{% if flag %}  a  {% endif %}{% endfilter %}",
]


@pytest.mark.parametrize("source", KEPT_BLOCKS)
def test_a_block_that_may_use_its_whitespace_keeps_it(source: str) -> None:
    plain, loaded = render(f"<p>  </p>{source}<p>\n\n</p>", SEEN)
    assert loaded == plain.replace("<p>  <", "<p> <").replace("<p>\n\n<", "<p>\n<")


def test_a_message_is_looked_up_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def gettext(text: str) -> str:
        asked.append(text)
        return text

    monkeypatch.setattr("django.utils.translation.gettext", gettext)
    collapsed("{% load i18n %}<p>{% blocktranslate %}\n  a\n    b{% endblocktranslate %}</p>")
    assert asked == ["\n  a\n    b"]


UNSURE = {
    "an element that one branch closes": "<pre>{% if flag %}a</pre>{% else %}  b  </pre>{% endif %}  c  <b></b>",
    "a tag that one branch closes": '<p {% if flag %}>{% else %}title="a   b">{% endif %}  c  </p>',
    "an element that a loop opens": "{% for i in items %}  a  {% if flag %}<pre>{% endif %}{% endfor %}</pre>",
    "a tag whose name is known later": "<{{ value }}  title='a   b'>  c  </{{ value }}>",
    "a quote that is not an attribute's": "<p a'  b'>  c  </p>",
    "a tag in a tag": "<p <b>  c  </b>",
    "an element closed but not opened": "<b>  c  </b>  </pre>",
    "an element opened but not closed": "<b>  c  </b>  <textarea>",
    "a comment that ends oddly": "<b></b><!--><pre>-->  c  <!--></pre>-->",
    "another comment that ends oddly": "<b></b><!---><pre>-->  c  <!---></pre>-->",
    "a comment that ends like no other": "<b></b><!-- --!><pre>-->  c  <!-- --!></pre>-->",
    "a value that has a quote and no quotes": """<p title={# #}"a b=" c=">  d  <i e=">  f  "></p>""",
    "an end of a comment in no comment": "<b></b>-->  c  <b></b>",
    "a comment in a script that hides no end": "<script><!-- <script>  </script>  c  <b></b>",
    "a tag whose name is known later, at the end": "<b></b>  c  <{% if flag %}pre>  d  {% else %}b>{% endif %}",
    "a comment in a script": "<script><!-- <script></script> --></script>  c  <b></b>",
    "character data": "<svg><![CDATA[ </svg> ]]></svg>  c  <b></b>",
    "preformatted by a style": "<p style='white-space: pre-wrap'>  c  </p>",
    "preformatted by a class": "<p class='whitespace-pre'>  c  </p>",
    "a script in mathematics": "<math><script> '</p> <pre>' </script></math>  c  <b></b>",
    "plain text": "<plaintext>  c  </p>",
    "text that begins in a tag": 'title="a   b">  c  </p>',
    "an address": "Ada <ada@example.com>  wrote  </p>",
    "no element": "a <  b,  c <d>  e",
    "an unknown block around it": "<b></b>{% spaceless %}{% filter lower %}  c  {% endfilter %}{% endspaceless %}",
}


@pytest.mark.parametrize("source", UNSURE.values(), ids=UNSURE)
def test_a_template_that_leaves_a_doubt_stays_as_it_is(source: str) -> None:
    for context in (SEEN, HIDDEN):
        plain, loaded = render(source, context)
        assert loaded == plain


def test_what_is_commented_out_is_of_no_concern() -> None:
    source = "<b>  </b>{% comment %} <pre> <!-- ' {% partial a %} {% endcomment %}<b>  </b>"
    assert collapsed(source) == "<b> </b><b> </b>"


PARENT = "<b>  </b>{% block text %}{% endblock %}<script>{% block script %}{% endblock %}</script>"
CHILD = "{% extends 'base.html' %}{% block text %}<b>  </b>{% endblock %}"
CHILD += "{% block script %}'<b>  </b>'{% endblock %}"


def test_a_block_is_left_alone_where_a_parent_has_it_in_a_script() -> None:
    page = collapsed(CHILD, base_html=PARENT)
    assert page == "<b> </b><b> </b><script>'<b>  </b>'</script>"


def test_a_block_is_left_alone_where_a_grandparent_has_it_in_a_script() -> None:
    between = "{% extends './root.html' %}"
    page = collapsed(CHILD, base_html=between, root_html=PARENT)
    assert page == "<b> </b><b> </b><script>'<b>  </b>'</script>"


def test_a_child_of_a_parent_that_is_known_later_stays_as_it_is() -> None:
    page = collapsed(CHILD.replace("'base.html'", "parent"), base_html=PARENT)
    assert page.count("<b>  </b>") == 2


def test_a_template_may_extend_its_namesake(tmp_path: Path) -> None:
    for folder, source in (("a", CHILD), ("b", PARENT)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "base.html").write_text(source, "utf-8")
    inner = "django.template.loaders.filesystem.Loader"
    found = Engine(
        dirs=[tmp_path / "a", tmp_path / "b"], loaders=[("speed.whitespace.Loader", [inner])]
    )
    page = found.get_template("base.html").render(Context())
    assert page == "<b> </b><b> </b><script>'<b>  </b>'</script>"


def test_templates_that_extend_each_other_fail_as_they_do_in_django() -> None:
    templates = {"a.html": "{% extends 'b.html' %}", "b.html": "{% extends 'a.html' %}"}
    for way in ("django.template.loaders.cached.Loader", "speed.whitespace.Loader"):
        template = engine(templates, way).get_template("a.html")
        with pytest.raises(TemplateDoesNotExist):
            template.render(Context())


def test_a_missing_parent_is_missed_when_the_page_is_made() -> None:
    template = engine({"a.html": "{% extends 'b.html' %}"}).get_template("a.html")
    with pytest.raises(TemplateDoesNotExist, match=r"b\.html"):
        template.render(Context())


@pytest.mark.parametrize("first", ["page.html", "part.html"])
def test_what_is_included_in_a_script_stays_as_it_is_whichever_is_loaded_first(first: str) -> None:
    templates = {
        "page.html": "<b>  </b><script>{% include './part.html' %}</script>",
        "part.html": "{% include 'inner.html' %}'<b>  </b>'",
        "inner.html": "{% extends 'layout.html' %}",
        "layout.html": "'<b>  </b>'{% block any %}{% endblock %}",
    }
    found = engine(templates)
    found.get_template(first).render(Context())
    page = found.get_template("page.html").render(Context())
    assert page == "<b> </b><script>'<b>  </b>''<b>  </b>'</script>"


def test_what_is_included_after_a_doubt_stays_as_it_is() -> None:
    page = collapsed("<b>  </b>-->{% include 'a.html' %}", a_html="<i>  </i>")
    assert page == "<b>  </b>--><i>  </i>"


def test_what_is_included_before_a_doubt_stays_as_it_is() -> None:
    source = "{% include 'a.html' %}{% include 'b.html' %}</pre>"
    assert collapsed(source, a_html="<pre>", b_html="<i>  </i>") == "<pre><i>  </i></pre>"


def test_a_child_of_a_parent_in_doubt_stays_as_it_is() -> None:
    page = collapsed(CHILD, base_html=f"-->{PARENT}")
    assert page == "--><b>  </b><b>  </b><script>'<b>  </b>'</script>"


def test_what_was_collapsed_is_counted() -> None:
    found = engine({"a.html": "<b>  </b>", "b.html": "<b></b>", "c.txt": "<b>  </b>"})
    for name in ("a.html", "b.html", "c.txt"):
        found.get_template(name)
    assert found.template_loaders[0].collapsed == 1


def test_a_partial_of_a_template_is_collapsed_with_it() -> None:
    source = "{% partialdef row %}<b>   </b>{% endpartialdef %}<p>{% partial row %}   </p>"
    found = engine({"page.html": source})
    assert found.get_template("page.html").render(Context()) == "<p><b> </b> </p>"
    assert found.get_template("page.html#row").render(Context()) == "<b> </b>"
    assert "<b>   </b>" in collapsed(source + "<pre>{% partial row %}</pre>")
    assert "<b>   </b>" in collapsed("<i></i><pre>{% include 'a.html#row' %}</pre>", a_html=source)


def test_an_error_in_a_page_names_the_line_of_the_file() -> None:
    inner = ("django.template.loaders.locmem.Loader", {"page.html": "<p>\n\n\n  {{ a.b }}</p>"})
    found = Engine(debug=True, loaders=[("speed.whitespace.Loader", [inner])])

    class Broken:
        @property
        def b(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        found.get_template("page.html").render(Context({"a": Broken()}))
    debug = raised.value.template_debug  # type: ignore[attr-defined]
    assert (debug["line"], debug["during"]) == (4, "{{ a.b }}")


def test_a_file_that_changes_is_read_again_when_django_resets_its_loaders(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    inner = ("django.template.loaders.filesystem.Loader", [tmp_path])
    found = Engine(loaders=[("speed.whitespace.Loader", [inner])])
    (loader,) = found.template_loaders
    assert list(loader.get_dirs()) == [tmp_path]  # which Django's reloader watches
    for source, page in (("<b>  </b>", "<b> </b>"), ("<i>  </i>", "<i> </i>")):
        file.write_text(source, "utf-8")
        loader.reset()
        assert found.get_template("page.html").render(Context()) == page


def test_threads_that_load_the_same_templates_get_the_same_pages() -> None:
    templates = {"base.html": PARENT} | {f"{n}.html": CHILD for n in range(40)}
    for _ in range(10):
        found = engine(templates)
        pages: set[str] = set()

        def work(found: Any = found, pages: set[str] = pages) -> None:
            for name in templates:
                if name != "base.html":
                    pages.add(found.get_template(name).render(Context()))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pages == {"<b> </b><b> </b><script>'<b>  </b>'</script>"}


def test_a_string_that_is_no_file_stays_as_it_is() -> None:
    assert engine({}).from_string("<b>  </b>").render(Context()) == "<b>  </b>"
