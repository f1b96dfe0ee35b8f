"""The limit: the workload's pages from a WSGI function and psycopg, without Django.

The queries and the bytes are those of Django's pages. There are no signatures to check, no request or model
objects, no URLs to resolve, and connections are persistent: whatever is faster leaves work out.
"""

import json
import os
import threading
import zlib
from base64 import urlsafe_b64decode
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from html import escape
from typing import Any

import psycopg

Environ = dict[str, Any]

# Django's queries, in its order. A project whose sessions are in the cache does not send the first.
SESSION = """SELECT session_key, session_data, expire_date FROM django_session
WHERE expire_date > now() AND session_key = %s LIMIT 21"""
USER = """SELECT id, password, last_login, is_superuser, username, first_name, last_name, email, is_staff,
is_active, date_joined FROM auth_user WHERE id = %s LIMIT 21"""
COUNT = "SELECT count(*) FROM workload_item"
ITEMS = """SELECT i.id, i.name, i.slug, i.category_id, i.price, i.stock, i.description, i.created,
c.id, c.name, c.slug FROM workload_item i JOIN workload_category c ON c.id = i.category_id
ORDER BY i.name LIMIT 50"""
TAGS = """SELECT l.item_id, t.id, t.name, t.slug FROM workload_tag t JOIN workload_item_tags l
ON l.tag_id = t.id WHERE l.item_id = ANY(%s) ORDER BY t.name"""
CATEGORIES = "SELECT id, name, slug FROM workload_category ORDER BY name"

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>All items – Catalogue</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="/static/catalogue/catalogue.css">
</head>
<body>
  <header>
    <a href="/catalogue/">Catalogue</a>
    <a href="/catalogue/about/">About</a>
    <span>Signed in as <strong>{visitor}</strong></span>
  </header>
  <div class="columns">
    <main>
      <h1>All items</h1>
     \x20
  <ul class="items">
    {items}
  </ul>
  <nav class="pages" aria-label="Pages">
   \x20
    <span>Page 1 of {pages}</span>
    <a rel="next" href="?page=2">Next</a>
  </nav>

    </main>
   \x20
  <nav class="categories" aria-label="Categories">
    <ul>
      {categories}
    </ul>
  </nav>

  </div>
</body>
</html>
"""
ITEM = """
    <li class="item">
      <h2><a href="/catalogue/items/{slug}/">{name}</a></h2>
      <p class="facts">
        <a class="category" href="/catalogue/category/{shelf}/">{category}</a>
        <strong class="price">{price}</strong>
        <span class="stock">{stock}</span>
        <time>{created.day} {created:%B %Y}</time>
      </p>
      <p class="description">{description}</p>
      <ul class="tags">
        {tags}
      </ul>
    </li>
    """
TAG = """
        <li><a href="/catalogue/tag/{1}/">{0}</a></li>
        """
CATEGORY = """
      <li><a href="/catalogue/category/{1}/">{0}</a></li>
      """

LOCAL = threading.local()


def rows(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a query on this thread's connection; return its rows."""
    if not hasattr(LOCAL, "connection"):
        LOCAL.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    found: list[tuple[Any, ...]] = LOCAL.connection.execute(query, parameters).fetchall()
    return found


def hello(environ: Environ) -> str:
    """Respond without a query."""
    return "Hello\n"


def count(environ: Environ) -> str:
    """Respond after one query."""
    return f"{rows(COUNT)[0][0]} items\n"


def listing(environ: Environ) -> str:
    """List the first page of items for a signed-in visitor: six queries."""
    session = rows(SESSION, environ["HTTP_COOKIE"].partition("=")[2])[0]
    user = rows(USER, signed_in(session[1]))[0]
    number = rows(COUNT)[0][0]
    items = rows(ITEMS)
    tags = defaultdict(list)
    for item, _, *tag in rows(TAGS, [item[0] for item in items]):
        tags[item].append(TAG.format(*map(escape, tag)))
    return PAGE.format(
        visitor=escape(user[4]),
        pages=-(-number // 50),
        categories="".join(CATEGORY.format(*map(escape, row[1:])) for row in rows(CATEGORIES)),
        items="".join(line(*item, "".join(tags[item[0]])) for item in items),
    )


def line(*item: Any) -> str:
    """Render an item, given as the columns of ITEMS and its rendered tags."""
    _, name, slug, _, price, stock, description, created, _, category, shelf, tags = item
    return ITEM.format(
        slug=slug,
        name=escape(name),
        shelf=shelf,
        category=escape(category),
        price=price,
        stock=f"{stock} in stock" if stock else "sold out",
        created=created,
        description=escape(description),
        tags=tags,
    )


def signed_in(session: str) -> int:
    """Return the primary key of the user from the data of a stored session."""
    packed = session.lstrip(".").partition(":")[0]
    data = urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    return int(json.loads(zlib.decompress(data) if session[0] == "." else data)["_auth_user_id"])


PAGES = {
    "/catalogue/": (listing, "text/html; charset=utf-8"),
    "/catalogue/count/": (count, "text/plain"),
    "/catalogue/hello/": (hello, "text/plain"),
}


def application(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    """Respond with one of the pages."""
    page, kind = PAGES[environ["PATH_INFO"]]
    body = page(environ).encode()
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


@cache
def nothing(size: int) -> bytes:
    """Return `size` bytes."""
    return b"x" * size


def idle(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    """Respond to `?41000` with that many bytes, to measure the load generator itself."""
    body = nothing(int(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
