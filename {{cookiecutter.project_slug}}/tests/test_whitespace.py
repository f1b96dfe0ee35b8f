"""Whitespace collapsed at load: pages get smaller, and no browser shows the difference."""

import re
from pathlib import Path

import pytest
from django.template import Context, Engine

from speed.whitespace import Loader

SOURCE = """<ul  class="a   b">
    {% for x in "ab" %}
    <li>   {{ x }}    and </li>
    {% endfor %}
</ul>
<pre>
    kept   </pre><textarea>  kept  </textarea> <!--   kept   -->
{% filter upper %}  kept  {% endfilter %}"""
SHOWN = """<ul  class="a   b">


<li> a and </li>

<li> b and </li>

</ul>
<pre>
    kept   </pre><textarea>  kept  </textarea> <!--   kept   -->
  KEPT  """


@pytest.fixture
def engine() -> Engine:
    templates = {
        "page.html": SOURCE,
        "letter.html": "Dear {{ name }},\n\n\n    goodbye   \n",
        "page.txt": SOURCE,
        "wrong.html": "<p>\n\n\n  {% if %}</p>",
    }
    locmem = ("django.template.loaders.locmem.Loader", templates)
    return Engine(debug=True, loaders=[("speed.whitespace.Loader", [locmem])])


def test_a_run_of_whitespace_is_one_character(engine: Engine) -> None:
    page = engine.get_template("page.html").render(Context())
    assert re.sub(r"\n+", "\n", page) == re.sub(r"\n+", "\n", SHOWN)


def test_a_text_without_html_and_a_file_of_another_kind_stay_as_they_are(engine: Engine) -> None:
    letter = engine.get_template("letter.html").render(Context({"name": "Ada"}))
    assert letter == "Dear Ada,\n\n\n    goodbye   \n"
    assert "    <li>   a    and </li>" in engine.get_template("page.txt").render(Context())


def test_an_error_names_the_line_of_the_file(engine: Engine) -> None:
    with pytest.raises(Exception, match="if") as raised:
        engine.get_template("wrong.html")
    assert raised.value.template_debug["line"] == 4  # type: ignore[attr-defined]


def test_a_template_is_collapsed_once(engine: Engine) -> None:
    assert engine.get_template("page.html") is engine.get_template("page.html")
    assert isinstance(engine.template_loaders[0], Loader)


def test_the_projects_own_pages_are_collapsed(settings: object) -> None:
    from django.template.loader import get_template

    source = (Path(__file__).parent.parent / "templates/404.html").read_text("utf-8")
    page = get_template("404.html").render()
    assert "\n  " in source
    assert "\n  " not in page.partition("<body")[2].partition("<script")[0]
