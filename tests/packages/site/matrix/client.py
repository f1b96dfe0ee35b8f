"""A visitor of the site's own WSGI or ASGI application, and pages in a form that can be compared."""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils.module_loading import import_string

TOKENS = {"csrfmiddlewaretoken"}
# What two runs of stock Django differ in, too.
VOLATILE = [
    (
        re.compile(
            r"\b[A-Z][a-z]{2,8}\.? \d{1,2}, \d{4}, (\d{1,2}(:\d\d)? [ap]\.m\.|noon|midnight)"
        ),
        "A TIME",
    ),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "A TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d(?=\.csv)"), "A DATE"),
    (re.compile(r'(?<=csrfToken": ")\w{64}|(?<=csrftoken=")\w{64}'), "A TOKEN"),
]
EMPTY = {
    "area",
    "base",
    "br",
    "col",
    "embed",
    "hr",
    "img",
    "input",
    "link",
    "meta",
    "source",
    "wbr",
}


class Outline(HTMLParser):
    """A document as a list of its tags with their attributes, and of its texts.

    Without the values of tokens, attributes for a nonce, and the admin's list of all applications: the
    user model of a generated project is in its own application.
    """

    def __init__(self, document: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.skipped = 0  # open elements within the one that is left out
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if self.skipped or found.get("id") == "nav-sidebar":
            self.skipped += tag not in EMPTY
            return
        found.pop("nonce", None)
        if found.get("name") in TOKENS:
            found["value"] = "A TOKEN"
        written = " ".join(f'{name}="{value}"' for name, value in sorted(found.items()))
        self.parts.append(f"<{tag} {written}".strip())

    def handle_endtag(self, tag: str) -> None:
        if self.skipped:
            self.skipped -= tag not in EMPTY
        elif tag not in EMPTY:
            self.parts.append(f"</{tag}")

    def handle_data(self, data: str) -> None:
        if not self.skipped and (words := data.split()):
            self.parts.append(" ".join(words))


def steady(text: str) -> str:
    """Return a text without what differs between two runs."""
    for pattern, name in VOLATILE:
        text = pattern.sub(name, text)
    return text


class Site:
    """A visitor who keeps cookies and follows no redirect."""

    def __init__(self) -> None:
        options: dict[str, Any] = {"base_url": "http://localhost", "timeout": 30}
        if name := getattr(settings, "ASGI_APPLICATION", None):
            self.loop = asyncio.new_event_loop()
            transport = httpx.ASGITransport(import_string(name))
            self.client: Any = httpx.AsyncClient(transport=transport, **options)
        else:
            transport = httpx.WSGITransport(import_string(settings.WSGI_APPLICATION))
            self.client = httpx.Client(transport=transport, **options)
        self.asgi = bool(name)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request as it is."""
        sent = self.client.request(method, path, **options)
        return self.loop.run_until_complete(sent) if self.asgi else sent

    def get(self, path: str, **options: Any) -> Any:
        """Return a page in a form that can be compared."""
        return shown(self.request("GET", path, **options))

    def post(self, path: str, json: Any) -> Any:
        """Send JSON; return the response in a form that can be compared."""
        return shown(self.request("POST", path, json=json))

    def submit(self, path: str, data: dict[str, Any], **options: Any) -> Any:
        """Fetch a page, submit its form, and return the response in a form that can be compared."""
        page = self.request("GET", path)
        (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        data = {"csrfmiddlewaretoken": token, **data}
        return shown(self.request("POST", path, data=data, **options))

    def may_be_inline(self, path: str, directive: str, **options: Any) -> bool:
        """Return whether the policy of a page allows inline scripts or styles."""
        policy = self.request("GET", path, **options).headers.get("content-security-policy")
        directives = dict(part.split(maxsplit=1) for part in policy.split("; ")) if policy else {}
        return not policy or "'unsafe-inline'" in directives[directive]

    def sign_in(self) -> None:
        """Sign the administrator in."""
        client = Client()
        client.force_login(get_user_model().objects.get(username="admin"))
        self.client.cookies.set(settings.SESSION_COOKIE_NAME, client.session.session_key)


def shown(response: httpx.Response) -> Any:
    """Return status, place, kind and content of a response; of HTML, the outline."""
    kind = response.headers.get("content-type", "")
    found: dict[str, Any] = {"status": response.status_code, "type": kind}
    if place := response.headers.get("location"):
        found["location"] = place
    if "json" in kind:
        found["json"] = response.json()
    elif "html" in kind:
        found["html"] = Outline(steady(response.text)).parts
    else:
        found["text"] = steady(response.text)
    return found
