"""The debug toolbar's panel "Speed", in processes of development, where the project has the toolbar."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from typing import Any, NamedTuple

import pytest
from djfast.rows import applicable

# Requests the home page and then, as the toolbar's script does, its panel.
ASK = """
import asyncio, json, sys, django
django.setup()
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from djfast.rows import ROWS
interface, changes, broken = sys.argv[1:]
for row in ROWS:
    if row.name == broken:
        type(row).finding = lambda self: 1 / 0

def get(path):
    return Client().get(path) if interface == "wsgi" else asyncio.run(AsyncClient().get(path))

with override_settings(ALLOWED_HOSTS=["testserver"], **json.loads(changes)):
    page = get("/")
    request_id = page.content.decode().partition('data-request-id="')[2].partition('"')[0]
    panel = get(f"/__debug__/render_panel/?request_id={request_id}&panel_id=SpeedPanel")
    print(json.dumps([page.content.decode(), panel.status_code, panel.json()["content"]]))
"""
SESSIONS_IN_DATABASE = '{"SESSION_ENGINE": "django.contrib.sessions.backends.db"}'
NOWHERE = {
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/app?connect_timeout=1",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


@cache
def ask(
    interface: str = "wsgi", settings: str = "{}", broken: str = "", services: bool = True
) -> tuple[str, str]:
    """Return the home page and the content of the panel, from a process of development.

    Args:
        interface: "wsgi" or "asgi".
        settings: other settings, as JSON.
        broken: the name of a default whose finding raises an error.
        services: whether database and cache can be reached.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"}
    env |= {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, interface, settings, broken],
        env=env if services else env | NOWHERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page, status, content = json.loads(done.stdout)
    assert status == 200
    return page, content


class Shown(NamedTuple):
    """A default as the panel shows it."""

    highlighted: bool
    state: str
    evidence: str
    figure: str
    source: str


def rows(content: str) -> dict[str, Shown]:
    """Return the rows of the panel's tables by the name of their default."""
    found = {}
    for attributes, row in re.findall(r"<tr([^>]*)>(.*?)</tr>", content, re.DOTALL):
        if cells := re.findall(r"<td>(.*?)</td>", row, re.DOTALL):
            default, now, _, measured = [re.split(r"<br>", cell) for cell in cells]
            texts = [re.sub(r"<[^>]+>", "", text).strip() for text in (*now, *measured)]
            name = re.sub(r"<[^>]+>", "", default[0])
            found[name] = Shown("djfast-missing" in attributes, *texts)
    return found


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_panel_shows_every_default_with_state_evidence_and_figure(interface: str) -> None:
    _, content = ask(interface)
    found = rows(content)
    assert {*found} == {row.name for row in applicable()}
    for shown in found.values():
        assert shown.state in {"on", "in production", "off"}
        assert shown.evidence
        assert " of the " in shown.figure
        assert "measured " in shown.source
        assert not shown.highlighted
    assert found["redis cache"].evidence.startswith("answered in ")
    assert found["persistent connections"].evidence.startswith("backend ")
    assert found["static files"].state == "in production"


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_toolbar_counts_what_is_on(interface: str) -> None:
    page, content = ask(interface)
    on = [shown.state for shown in rows(content).values()].count("on")
    assert re.search(rf"Speed\s*<br><small>{on} on</small>", page)


def test_a_reverted_default_is_counted_first_and_highlighted() -> None:
    page, content = ask(settings=SESSIONS_IN_DATABASE)
    assert " on, 1 reverted</small>" in page
    (name, shown), *others = rows(content).items()
    assert (name, shown.state) == ("cached sessions", "reverted")
    assert [shown.highlighted, *(other.highlighted for _, other in others)].count(True) == 1
    assert shown.highlighted


def test_a_choice_is_not_highlighted() -> None:
    _, content = ask(settings='{"USE_I18N": true}')
    shown = rows(content)["translation off"]
    assert (shown.state, shown.highlighted) == ("your choice", False)


def test_the_panel_is_there_when_database_and_cache_are_not() -> None:
    _, content = ask(services=False)
    found = rows(content)
    assert "OperationalError" in found["persistent connections"].evidence
    assert "ConnectionError" in found["redis cache"].evidence


def test_a_default_that_raises_an_error_breaks_no_page() -> None:
    page, content = ask(broken="cached sessions")
    assert "1 error</small>" in page
    name, shown = next(iter(rows(content).items()))
    assert (name, shown.state) == ("cached sessions", "error")
    assert shown.evidence.startswith("ZeroDivisionError")


def test_the_content_security_policy_allows_the_panel() -> None:
    _, content = ask()
    forbidden: list[Any] = re.findall(r"<script|<style|\sstyle=|\son\w+=|javascript:", content)
    assert forbidden == []
    assert re.findall(r'href="([^"]+)"', content) == ["/static/djfast/panel.css"]
