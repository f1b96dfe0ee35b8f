"""The home page of a generated project in a real browser, from its production server."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from conftest import Run, Server, serving

Visitor = Callable[..., BrowserContext]

pytestmark = pytest.mark.xdist_group("served")

# What a page reports about itself, recorded from before its first byte.
RECORD = """
  window.violations = [];
  addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
  new MutationObserver((changes, observer) => {
    if (!document.body) return;
    window.themeAtFirstPaint = document.documentElement.dataset.theme;
    observer.disconnect();
  }).observe(document, {childList: true, subtree: true});
"""

# Text whose contrast is below WCAG 2.2 AA (1.4.3), as "ratio: text".
FAINT = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parse(colour).slice(0, 3).map((part) => part / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return parse(colour)[3] === 0 ? behind(node.parentElement) : colour;
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((child) => child.nodeType === 3)
      .map((child) => child.data.trim()).join("");
    if (!text) continue;
    const style = getComputedStyle(node);
    const [dark, bright] = [light(style.color), light(behind(node))].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)}: ${text}`);
  }
  return faint;
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium, without a window."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not program:
        reason = "no Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one"
        pytest.fail(reason) if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip(reason)
    # No sandbox: root, as in a container, has none; the only site it opens is ours.
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser, served: Server) -> Iterator[Visitor]:
    """Make visitors, each with a cache and a storage of their own."""
    visitors: list[BrowserContext] = []

    def visitor(width: int = 1280, **options: Any) -> BrowserContext:
        size = {"width": width, "height": 900}
        visitors.append(browser.new_context(base_url=served.url, viewport=size, **options))
        visitors[-1].add_init_script(RECORD)
        return visitors[-1]

    yield visitor
    for context in visitors:
        context.close()


def home(context: BrowserContext) -> Page:
    """Open the home page in a new tab."""
    page = context.new_page()
    page.goto("/")
    return page


def files(page: Page) -> dict[str, int]:
    """Return the files that the page uses: address, bytes that came over the network for it.

    Without the icon: a browser fetches it when it likes.
    """
    entries = "performance.getEntriesByType('resource').filter((file) => !/icon/.test(file.name))"
    return dict(page.evaluate(f"{entries}.map((file) => [file.name, file.transferSize])"))


def background(page: Page) -> list[int]:
    """Return red, green and blue of the page's background."""
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return [int(part) for part in re.findall(r"\d+", colour)]


def test_the_home_page_loads_without_an_error_or_a_breach_of_its_policy(
    visitor: Visitor, served: Server
) -> None:
    page = visitor().new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(request.url))
    answer = page.goto("/")
    assert answer is not None
    assert answer.ok
    assert "content-security-policy" in answer.headers
    assert errors == []
    assert page.evaluate("violations") == []
    assert [name for name in files(page) if not name.startswith(served.url)] == []


def test_a_first_visit_fetches_one_stylesheet_and_one_script_and_a_second_visit_no_file(
    visitor: Visitor,
) -> None:
    context = visitor()
    first = files(home(context))
    assert sorted(name.rsplit(".", 1)[1] for name in first) == ["css", "js"]
    assert all(first.values())
    assert sum(first.values()) < 4000  # bytes, headers included
    second = home(context)
    assert files(second) == dict.fromkeys(first, 0)


def test_light_and_dark_follow_the_system_and_all_text_is_easy_to_read(visitor: Visitor) -> None:
    light, dark = (home(visitor(color_scheme=scheme)) for scheme in ("light", "dark"))
    assert min(background(light)) > 240
    assert max(background(dark)) < 40
    assert light.evaluate(FAINT) == []
    assert dark.evaluate(FAINT) == []


def test_a_chosen_theme_stays_and_is_there_before_the_first_paint(visitor: Visitor) -> None:
    context = visitor(color_scheme="light")
    page = home(context)
    light = background(page)
    page.get_by_role("button", name="Theme").click()
    dark = background(page)
    assert dark != light
    again = home(context)
    assert background(again) == dark
    assert again.evaluate("themeAtFirstPaint") == "dark"
    again.get_by_role("button", name="Theme").click()  # back to what the system asks for
    assert background(again) == light
    page.emulate_media(color_scheme="dark")
    page.reload()
    assert background(page) == dark  # forgotten: the page follows the system again


@pytest.mark.parametrize("width", [320, 375, 768, 1280, 2560])
def test_no_width_needs_sideways_scrolling(visitor: Visitor, width: int) -> None:
    page = home(visitor(width))
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_can_be_used_by_keyboard_alone(visitor: Visitor) -> None:
    page = home(visitor())
    stops = []
    for _ in range(3):
        page.keyboard.press("Tab")
        focus = page.locator(":focus")
        stops.append(focus.inner_text())
        assert focus.evaluate("(node) => getComputedStyle(node).outlineStyle") == "solid"
        assert focus.evaluate("(node) => node.getBoundingClientRect().top") >= 0
    assert stops[0] == "Skip to content"
    assert stops[2] == "Theme"
    page.locator(".skip").press("Enter")
    assert page.locator(":focus").get_attribute("id") == "main"


def test_a_screen_reader_finds_language_title_landmarks_and_headings(visitor: Visitor) -> None:
    page = home(visitor())
    assert page.get_attribute("html", "lang")
    assert page.title() == page.text_content("h1")
    assert page.get_attribute("meta[name=description]", "content")
    for role in ("banner", "main", "navigation"):
        assert page.get_by_role(role).count() == 1, role
    levels = page.locator("h1, h2, h3, h4").evaluate_all("(all) => all.map((h) => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = page.locator("[id]").evaluate_all("(all) => all.map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_without_scripts_nothing_is_shown_that_needs_them(visitor: Visitor) -> None:
    page = home(visitor(java_script_enabled=False))
    assert page.locator("h1").is_visible()
    assert not page.locator(".theme").is_visible()


def test_nothing_moves_for_those_who_asked_for_that(visitor: Visitor) -> None:
    durations = "(all) => all.map((node) => getComputedStyle(node).transitionDuration)"
    for motion, moves in (("reduce", False), ("no-preference", True)):
        found = home(visitor(reduced_motion=motion)).locator("*").evaluate_all(durations)
        assert (set(found) != {"0s"}) == moves, motion


@pytest.mark.parametrize("width", [375, 1280])
def test_a_developer_finds_the_next_steps_and_the_toolbar_collapsed(
    visitor: Visitor, developed: Server, width: int
) -> None:
    page = visitor(width).new_page()
    page.goto(developed.url)
    assert page.locator(".next li").count() == 4
    assert page.locator("#djShowToolBarButton").is_visible()
    assert not page.locator("#djDebugPanelList").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAINT) == []
    assert page.evaluate("violations") == []


@pytest.mark.parametrize("width", [375, 1280])
def test_every_panel_of_the_toolbar_opens_without_a_breach_of_the_policy(
    visitor: Visitor, developed: Server, width: int
) -> None:
    page = visitor(width).new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(f"{message.text} {message.location['url']}"))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(developed.url)
    page.locator("#djShowToolBarButton").click()
    for panel in (
        "SpeedPanel",
        "HistoryPanel",
        "TimerPanel",
        "HeadersPanel",
        "RequestPanel",
        "SQLPanel",
        "CachePanel",
        "TemplatesPanel",
        "StaticFilesPanel",
    ):
        page.locator(f"a.{panel}").click()
        content = page.locator(f"#djDebug #{panel} .djDebugPanelContent, #djDebug #{panel}")
        content.first.wait_for(state="visible")
        page.wait_for_load_state("networkidle")
        if panel == "SpeedPanel":
            assert "persistent connections" in content.first.inner_text()
    assert errors == []
    assert page.evaluate("violations") == []


# A site with inline scripts and styles, each as the README of the project says.
POLICY = {
    "policy_settings.py": """
from config.settings import *

CONSTANT = "document.body.dataset.hash = 1"
HASH = "'sha256-PBeTPejUeZphx3g+BWYxyaK+LFxt7X/2iU5Cu3K4iFA='"
ROOT_URLCONF = "policy_urls"
SECURE_CSP = {**SECURE_CSP, "script-src": [*SECURE_CSP["script-src"], HASH]}
""",
    "policy_urls.py": """
from config.urls import urlpatterns as project
from django.conf import settings
from django.http import HttpResponse
from django.template import engines
from django.urls import path
from django.utils.csp import CSP
from django.views.decorators.csp import csp_override

PAGE = "<!doctype html><title>Page</title><body>%s</body>"
INLINE = '<div style="width: 7px">x</div><script>document.body.dataset.ran = 1</script>'
NONCE = (
    '<style nonce="{{ csp_nonce }}">div { width: 7px }</style><div>x</div>'
    '<script nonce="{{ csp_nonce }}">document.body.dataset.ran = 1</script>'
)


def inline(request):
    return HttpResponse(PAGE % INLINE)


def nonce(request):
    return HttpResponse(engines["django"].from_string(PAGE % NONCE).render({}, request))


def constant(request):
    return HttpResponse(PAGE % f"<script>{settings.CONSTANT}</script>")


@csp_override({
    **settings.SECURE_CSP,
    "script-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
})
def relaxed(request):
    return HttpResponse(PAGE % INLINE)


urlpatterns = [
    path("inline/", inline),
    path("nonce/", nonce),
    path("hash/", constant),
    path("relaxed/", relaxed),
    path("fails/", lambda request: 1 / 0),
    *project,
]
""",
}


@pytest.fixture(scope="session")
def policed(
    served: Server, run: Run, clean_environment: dict[str, str], tmp_path_factory: Any
) -> Iterator[dict[str, Server]]:
    """The development and the production server of the project, with the site of POLICY."""
    folder: Path = tmp_path_factory.mktemp("policy")
    for name, text in POLICY.items():
        (folder / name).write_text(text.lstrip(), "utf-8")
    env = clean_environment | {
        "DJANGO_SETTINGS_MODULE": "policy_settings",
        "PYTHONPATH": f"{folder}:{served.project}",
    }
    production = env | {"DEBUG": "0", "LOCAL_HTTP": "1"}
    with ExitStack() as stack:
        develop = serving(served.project, run, env, "manage.py", "runserver", "--noreload")
        serve = serving(served.project, run, production, "-m", "config.server")
        yield {
            "development": stack.enter_context(develop),
            "production": stack.enter_context(serve),
        }


@pytest.fixture(params=["development", "production"])
def site(request: pytest.FixtureRequest, policed: dict[str, Server]) -> Server:
    """One of the two servers."""
    return policed[request.param]


def inline(page: Page, url: str) -> dict[str, Any]:
    """Open a page; return what became of its inline parts, and what the console says about that."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(url)
    found: dict[str, Any] = {**page.evaluate("({...document.body.dataset})")}
    if page.locator("div").count():
        found["width"] = page.evaluate("getComputedStyle(document.querySelector('div')).width")
    return found | {"said": [text for text in said if "Content Security Policy" in text]}


def test_an_inline_script_or_style_is_blocked_and_the_console_says_so(
    visitor: Visitor, site: Server
) -> None:
    found = inline(visitor().new_page(), f"{site.url}/inline/")
    assert "ran" not in found
    assert found["width"] != "7px"
    assert len(found["said"]) == 2
    assert {name for text in found["said"] for name in re.findall(r"\w+-src", text)} >= {
        "script-src",
        "style-src",
    }


def test_a_nonce_a_hash_and_a_relaxed_view_work_as_the_readme_says(
    visitor: Visitor, site: Server
) -> None:
    page = visitor().new_page()
    assert inline(page, f"{site.url}/nonce/") == {"ran": "1", "width": "7px", "said": []}
    constant = inline(page, f"{site.url}/hash/")
    assert (constant["hash"], constant["said"]) == ("1", [])
    assert inline(page, f"{site.url}/relaxed/") == {"ran": "1", "width": "7px", "said": []}


def test_development_and_production_have_one_policy(
    visitor: Visitor, policed: dict[str, Server]
) -> None:
    page = visitor().new_page()
    for path in ("/", "/inline/", "/relaxed/", "/admin/login/"):
        answers = [page.goto(server.url + path) for server in policed.values()]
        headers = [answer.headers["content-security-policy"] for answer in answers if answer]
        first, second = (re.sub("'nonce-[^']+'", "a nonce", header) for header in headers)
        assert first == second
        assert ("a nonce" in first) == (path == "/admin/login/")  # Django's own pages use one


@pytest.mark.parametrize(("path", "status"), [("/no/such/page/", 404), ("/fails/", 500)])
def test_the_debug_pages_of_development_have_their_styles_and_scripts(
    visitor: Visitor, policed: dict[str, Server], path: str, status: int
) -> None:
    page = visitor().new_page()
    answer = page.goto(policed["development"].url + path)
    assert answer is not None
    assert answer.status == status
    assert page.evaluate("violations") == []
    summary = page.locator("#summary")
    assert summary.evaluate("(node) => getComputedStyle(node).borderBottomStyle") == "solid"
    if status == 500:  # a script hides the source around each line
        assert page.locator("ol.pre-context").count()
        assert not page.locator("ol.pre-context").first.is_visible()
