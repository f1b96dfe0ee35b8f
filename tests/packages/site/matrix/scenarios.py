"""What is done with each package: its main page or call, and what came out of it, as JSON.

Each function is named after its package and runs in a database that is the same on both sides.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from django.core import mail

from matrix.client import Site

SCENARIOS: dict[str, Callable[[Site], Any]] = {}


def package(name: str) -> Callable[[Callable[[Site], Any]], Callable[[Site], Any]]:
    """Register what is done with a package."""

    def register(function: Callable[[Site], Any]) -> Callable[[Site], Any]:
        SCENARIOS[name] = function
        return function

    return register


@package("djangorestframework")
def rest(site: Site) -> Any:
    """Lists, pages, filters, browsable pages, creation, errors and throttling of a viewset."""
    new = {"name": "From REST", "maker_id": 1, "price": "4.50", "added": "2026-01-02"}
    html = {"headers": {"accept": "text/html"}}
    return {
        "root": site.get("/rest/"),
        "list": site.get("/rest/products/"),
        "second page": site.get("/rest/products/?page=2"),
        "filtered": site.get("/rest/products/?maker=2"),
        "browsable": site.get("/rest/products/", **html),
        "browsable detail": site.get("/rest/products/1/", **html),
        "added": site.post("/rest/products/", new),
        "refused": site.post("/rest/products/", {"name": "x" * 50}),
        "missing": site.get("/rest/products/999/"),
        "throttled": [site.get("/rest/products/limited/")["status"] for _ in range(3)],
        "deleted": site.request("DELETE", "/rest/products/7/").status_code,
        "may have styles": site.may_be_inline("/rest/products/", "style-src", **html),
    }


@package("django-ninja")
def ninja(site: Site) -> Any:
    """A paginated list with nested schemas, creation, errors, an async view, documentation."""
    new = {"name": "From ninja", "maker_id": 1, "price": 3, "added": "2026-01-02"}
    return {
        "list": site.get("/ninja/products?limit=4"),
        "filtered": site.get("/ninja/products?cheaper_than=3"),
        "one": site.get("/ninja/products/2"),
        "one, async": site.get("/ninja/async/2"),
        "missing": site.get("/ninja/products/999"),
        "added": site.post("/ninja/products", new),
        "refused": site.post("/ninja/products", {"name": 1}),
        "documentation": site.get("/ninja/docs"),
        "may have scripts": site.may_be_inline("/ninja/docs", "script-src"),
        "schema": site.get("/ninja/openapi.json"),
    }


@package("django-allauth")
def allauth(site: Site) -> Any:
    """Sign-up, login, logout, addresses, and the mail for a new password."""
    account = {"username": "newcomer", "email": "new@example.com"}
    passwords = {"password1": "correct horse", "password2": "correct horse"}
    login = {"login": "newcomer", "password": "correct horse"}
    found = {
        "sign-up form": site.get("/accounts/signup/"),
        "refused": site.submit(
            "/accounts/signup/", {**account, "password1": "x", "password2": "y"}
        ),
        "signed up": site.submit("/accounts/signup/", account | passwords),
        "addresses": site.get("/accounts/email/"),
        "signed out": site.submit("/accounts/logout/", {}),
        "wrong password": site.submit("/accounts/login/", login | {"password": "wrong"}),
        "signed in": site.submit("/accounts/login/", login),
        "change form": site.get("/accounts/password/change/"),
    }
    site.submit("/accounts/logout/", {})
    found["reset"] = site.submit("/accounts/password/reset/", {"email": account["email"]})
    found["mails"] = [[one.subject, one.to] for one in getattr(mail, "outbox", [])]
    return found


@package("django-filter")
def filters(site: Site) -> Any:
    """A list with a form of filters, pagination, and a filter that is not valid."""
    queries = (
        "",
        "?page=2",
        "?maker=2&labels=1",
        "?name=WIDGET&price_min=2&price_max=3",
        "?maker=x",
    )
    return {query: site.get(f"/filter/{query}") for query in queries}


@package("django-tables2")
def tables(site: Site) -> Any:
    """Sorted, filtered and exported tables, and two tables on one page."""
    queries = ("", "?sort=-price", "?sort=maker&page=2", "?maker=1", "?_export=csv")
    found = {query: site.get(f"/tables/{query}") for query in queries}
    return found | {"two tables": site.get("/tables/two/?1-sort=-name&2-page=2")}


@package("django-crispy-forms")
def crispy(site: Site) -> Any:
    """A form with a layout: empty, filled, with errors, saved."""
    new = {
        "name": "From a form",
        "maker": "2",
        "price": "1",
        "added": "2026-03-04",
        "labels": ["1"],
    }
    return {
        "empty": site.get("/form/"),
        "edit": site.get("/form/?edit"),
        "refused": site.submit("/form/", {"name": "", "price": "many"}),
        "saved": site.submit("/form/", new),
        "taken": site.submit("/form/", new),
        "edited": site.submit("/form/?edit", new | {"name": "Widget 1 <&>", "price": "0.50"}),
    }


@package("django-simple-history")
def history(site: Site) -> Any:
    """Records of rows, their differences, the admin, and going back to one."""
    from matrix.models import Maker, Recorded

    row = Recorded.objects.create(name="first", maker=Maker.objects.get(pk=1))
    row.name = "second"
    row.save()
    other = Recorded.objects.create(name="gone", maker=Maker.objects.get(pk=2))
    number = other.pk
    other.delete()
    newest, oldest = row.history.all()
    changes = newest.diff_against(oldest).changes
    Recorded.objects.filter(pk=row.pk).update(name="unrecorded")
    site.sign_in()
    change = {"name": "third", "maker": "2"}
    found = {
        "records": [[one.name, one.history_type, str(one.maker)] for one in Recorded.history.all()],
        "changes": [[one.field, one.old, one.new] for one in changes],
        "as of": [one.name for one in Recorded.history.as_of(oldest.history_date)],
        "previous": newest.prev_record.instance.name,
        "latest of the deleted": Recorded.history.filter(id=number).latest().history_type,
        "saved in the admin": site.submit(f"/admin/matrix/recorded/{row.pk}/change/", change),
        "history page": site.get(f"/admin/matrix/recorded/{row.pk}/history/"),
        "user": str(row.history.latest().history_user),
    }
    reverted = row.history.earliest().instance
    reverted.save()
    return found | {"reverted": Recorded.objects.get(pk=row.pk).name}


@package("django-model-utils")
def model_utils(site: Site) -> Any:
    """Field trackers, statuses, time stamps, and the manager of subclasses."""
    from matrix.models import Maker, Place, Restaurant, Tracked

    Tracked.objects.create(name="one", maker_id=1)
    Tracked.objects.create(name="two", status=Tracked.STATUS.published, maker_id=2)
    rows = [*Tracked.objects.order_by("pk")]
    rows[0].name, rows[0].maker = "new", Maker.objects.get(pk=2)
    tracked = [
        rows[0].tracker.changed(),
        rows[0].tracker.previous("name"),
        rows[1].tracker.changed(),
    ]
    before = rows[0].modified
    rows[0].save()
    deferred = Tracked.objects.defer("name").order_by("pk")[0]
    deferred.status = "published"
    refreshed = Tracked.objects.get(pk=rows[0].pk)
    refreshed.name = "again"
    refreshed.refresh_from_db()
    Place.objects.create(name="park")
    Restaurant.objects.create(name="inn", stars=2)
    subclasses = Place.objects.select_subclasses().order_by("pk")
    return {
        "tracked": tracked,
        "after saving": rows[0].tracker.changed(),
        "modified": rows[0].modified > before,
        "deferred": [deferred.tracker.changed(), sorted(deferred.get_deferred_fields())],
        "refreshed": [refreshed.tracker.changed(), refreshed.name],
        "makers": [str(row.maker) for row in Tracked.objects.order_by("pk")],
        "published": [one.name for one in Tracked.published.all().order_by("pk")],
        "draft": [one.name for one in Tracked.draft.all()],
        "subclasses": [
            [type(one).__name__, one.name, getattr(one, "stars", None)] for one in subclasses
        ],
        "subclass": type(Place.objects.get_subclass(name="inn")).__name__,
    }


@package("django-dirtyfields")
def dirtyfields(site: Site) -> Any:
    """Fields that have changed, with relations and deferred fields."""
    from matrix.models import Dirty, Label

    for name in ("a", "b"):
        Dirty.objects.create(name=name, maker_id=1).labels.add(1)
    one, other = Dirty.objects.order_by("pk")
    found = {"loaded": [one.is_dirty(), other.is_dirty()]}
    one.name, one.amount = "changed", "0"
    one.maker_id = 2
    found["changed"] = one.get_dirty_fields(check_relationship=True, verbose=True)
    found["labels"] = sorted(one.get_dirty_fields(check_m2m={"labels": {1, 2}}))
    one.save_dirty_fields()
    found["saved"] = [one.is_dirty(), Dirty.objects.get(pk=one.pk).name]
    deferred = Dirty.objects.only("name").get(pk=other.pk)
    deferred.name = "c"
    found["deferred"] = deferred.get_dirty_fields()
    deferred.refresh_from_db()
    found["refreshed"] = deferred.get_dirty_fields()
    found["maker"] = [str(row.maker) for row in Dirty.objects.order_by("pk")]
    return found | {"labels known": Label.objects.count()}


@package("django-polymorphic")
def polymorphic(site: Site) -> Any:
    """Queries that return rows of subclasses, and the admin."""
    from matrix.models import Circle, Shape, Square

    Circle.objects.create(name="o", maker_id=1, radius=3)
    Square.objects.create(name="x", maker_id=2, side=4)
    Shape.objects.create(name="shape")
    site.sign_in()
    shapes = [*Shape.objects.order_by("pk")]
    return {
        "shapes": [[type(one).__name__, one.name, str(one.maker)] for one in shapes],
        "own fields": [shapes[0].radius, shapes[1].side],
        "plain": [type(one).__name__ for one in Shape.objects.non_polymorphic().order_by("pk")],
        "filtered": [str(one) for one in Shape.objects.filter(Circle___radius=3)],
        "instance of": [str(one) for one in Shape.objects.instance_of(Square)],
        "real": type(Shape.objects.non_polymorphic().get(name="o").get_real_instance()).__name__,
        "deferred": [one.name for one in Shape.objects.defer("name").order_by("pk")],
        "list": site.get("/admin/matrix/shape/"),
        "change": site.get(f"/admin/matrix/shape/{shapes[0].pk}/change/"),
        "add": site.get("/admin/matrix/shape/add/"),
    }


@package("django-mptt")
def mptt(site: Site) -> Any:
    """Descendants and ancestors, a moved node, template tags, and the admin."""
    from matrix.models import Category

    root = Category.objects.create(name="root")
    for name in ("left", "right"):
        child = Category.objects.create(name=name, parent=root)
        Category.objects.create(name=f"{name} leaf", parent=child)
    left = Category.objects.get(name="left")
    leaf = Category.objects.get(name="right leaf")
    found = {
        "descendants": [str(one) for one in Category.objects.get(name="root").get_descendants()],
        "ancestors": [str(one) for one in leaf.get_ancestors(include_self=True)],
        "tree": site.get("/tree/"),
    }
    leaf.move_to(left, "first-child")
    Category.objects.rebuild()
    found["moved"] = [[str(one), one.level, one.lft, one.rght] for one in Category.objects.all()]
    found["parents"] = [str(one.parent) for one in Category.objects.all()]
    found["added"] = (
        Category.objects.add_related_count(
            Category.objects.all(), Category, "parent", "below", cumulative=True
        )
        .values_list("name", "below")
        .count()
    )
    site.sign_in()
    return found | {"list": site.get("/admin/matrix/category/")}


@package("django-treebeard")
def treebeard(site: Site) -> Any:
    """A materialised path: children, ancestors, a moved node, and the admin."""
    from matrix.models import Node

    root = Node.add_root(name="root")
    first = root.add_child(name="first")
    Node.objects.get(pk=first.pk).add_child(name="leaf")
    second = Node.objects.get(pk=root.pk).add_child(name="second")
    Node.objects.get(pk=first.pk).move(Node.objects.get(pk=second.pk), "first-child")
    site.sign_in()
    return {
        "tree": [[one.name, one.depth, one.path] for one in Node.objects.get_tree()],
        "children": [one.name for one in Node.objects.get(pk=root.pk).get_children()],
        "ancestors": [one.name for one in Node.objects.get(name="leaf").get_ancestors()],
        "dump": Node.objects.dump_bulk(keep_ids=False),
        "problems": [[*found] for found in Node.objects.find_problems()],
        "list": site.get("/admin/matrix/node/"),
    }


@package("django-import-export")
def import_export(site: Site) -> Any:
    """Export and import with relations, errors, and pages of the admin."""
    from import_export.results import RowResult
    from tablib import Dataset

    from matrix.exports import ProductResource
    from matrix.models import Product

    resource = ProductResource()
    exported = resource.export(Product.objects.order_by("pk")[:3]).csv
    changed = exported.replace("Widget 1", "Imported").replace("2026-01-02", "2026-05-06")
    changed += ",Brand-new,Maker 1,Label 1,9.99,2026-07-08\r\n"
    result = resource.import_data(Dataset().load(changed, "csv"))
    bad = resource.import_data(Dataset().load(changed.replace("Maker 1", "nobody"), "csv"))
    site.sign_in()
    return {
        "exported": exported,
        "totals": {
            kind: result.totals[kind] for kind in (RowResult.IMPORT_TYPE_NEW, "update", "skip")
        },
        "names": [
            one.name for one in Product.objects.order_by("pk") if one.name[:2] in ("Im", "Br")
        ],
        "labels": [str(one) for one in Product.objects.get(name="Brand-new").labels.all()],
        "errors": [row.errors[0].error.__class__.__name__ for row in bad.rows if row.errors],
        "list": site.get("/admin/matrix/product/"),
        "export page": site.get("/admin/matrix/product/export/"),
        "export": site.submit(
            "/admin/matrix/product/export/", {"format": "0", "productresource_name": "on"}
        ),
        "import page": site.get("/admin/matrix/product/import/"),
    }


@package("django-cotton")
def cotton(site: Site) -> Any:
    """A page with nested components, slots and attributes."""
    return {"page": site.get("/components/"), "again": site.get("/components/")}


@package("django-htmx")
def htmx(site: Site) -> Any:
    """The middleware, its script, and responses with its headers."""
    headers = {"hx-request": "true", "hx-target": "list", "hx-current-url": "http://localhost/x/"}
    partial = site.request("GET", "/htmx/", headers=headers)
    leave = site.request("GET", "/htmx/?leave=1", headers=headers)
    return {
        "page": site.get("/htmx/"),
        "partial": site.get("/htmx/", headers=headers | {"hx-boosted": "true"}),
        "event": partial.headers["hx-trigger"],
        "redirect": leave.headers["hx-redirect"],
    }


@package("channels")
def channels(site: Site) -> Any:
    """Websockets with a group in Valkey, and a synchronous consumer."""
    from channels.testing import WebsocketCommunicator

    from matrix.consumers import router

    async def talk() -> Any:
        first = WebsocketCommunicator(router, "/chat/")
        second = WebsocketCommunicator(router, "/chat/")
        found: dict[str, Any] = {"connected": [(await one.connect())[0] for one in (first, second)]}
        await first.send_json_to({"name": "Widget 2 <&>"})
        found["said"] = [await one.receive_json_from(5) for one in (first, second)]
        sync = WebsocketCommunicator(router, "/sync/")
        await sync.connect()
        await sync.send_json_to({})
        found["sync"] = await sync.receive_json_from(5)
        for one in (first, second, sync):
            await one.disconnect()
        return found

    return asyncio.run(talk())


@package("celery")
def celery(site: Site) -> Any:
    """A task run eagerly, and by a worker with Valkey as its broker."""
    from matrix.tasks import app, total

    app.conf.task_always_eager = True
    found = {"eager": total.delay("Widget").get()}
    app.conf.task_always_eager = False
    command = [sys.executable, "-m", "celery", "--quiet", "--app=matrix.tasks", "worker"]
    command += ["--pool=solo", "--without-gossip", "--without-mingle", "--loglevel=WARNING"]
    worker = subprocess.Popen(command, stdout=sys.stderr)
    try:
        found["worker"] = [total.delay(name).get(timeout=60) for name in ("Widget", "Nothing")]
    finally:
        worker.terminate()
        worker.wait(30)
    return found


@package("django-storages")
def storages(site: Site) -> Any:
    """The URL and name of a file in S3, without a network."""
    from django.core.files.storage import storages

    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    options = {"bucket_name": "shop", "querystring_auth": False, "file_overwrite": False}
    s3 = storages.create_storage({"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options})
    return {"url": s3.url("a b.txt"), "name": s3.get_valid_name("a b/c.txt")}
