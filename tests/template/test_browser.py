"""The home page of a generated project in a real browser, from its production server."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from conftest import Server

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
        "SQLPanel",
        "CachePanel",
        "TemplatesPanel",
    ):
        page.locator(f"a.{panel}").click()
        content = page.locator(f"#djDebug #{panel} .djDebugPanelContent, #djDebug #{panel}")
        content.first.wait_for(state="visible")
        page.wait_for_load_state("networkidle")
        if panel == "SpeedPanel":
            assert "persistent connections" in content.first.inner_text()
    assert errors == []
    assert page.evaluate("violations") == []
