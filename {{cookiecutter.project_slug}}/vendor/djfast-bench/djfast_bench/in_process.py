"""Scenarios of defaults that this process can show, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.test.utils import override_settings

from djfast_bench.fixture import Dimensions, Fixture, Limits, current_settings, sites
from djfast_bench.responses import Response, shown
from djfast_bench.site import count_queries
from djfast_bench.timing import Dimension, Variant, WrongResponse, compare_variants

if TYPE_CHECKING:
    from djfast.rows import Row


def same_page(
    row: "Row", fixture: Fixture, limits: Limits, *, path: str, other: str = "", **headers: str
) -> Dimensions:
    """Request a page in this process, as the signed-in visitor unless `headers` has a cookie.

    Args:
        row: the default.
        fixture: what it is measured with.
        limits: what ends the rounds.
        path: of the page with the default.
        other: of the page with Django's choice, if that is another view.
        headers: of the requests.
    """
    headers = {"cookie": fixture.cookie, **headers}
    variants = [
        Variant(partial(site.get, page, **headers), site.open)
        for site, page in zip(sites(row), (path, other or path), strict=True)
    ]
    found = compare_variants(*variants, same=shown, **limits)
    counts = [(*count_queries(variant), len(respond(variant).body)) for variant in variants]
    for name, unit, new, old in zip(
        ("queries", "rows", "bytes"), ("", "", "B"), *counts, strict=True
    ):
        found[name] = Dimension.constant(unit, new, old)
    return found


def respond(variant: Variant) -> Response:
    """Run a variant once."""
    with variant.context():
        response = variant.run()
    assert isinstance(response, Response)
    return response


def second_visit(row: "Row", fixture: Fixture, limits: Limits, *, path: str) -> Dimensions:
    """Request a page that the visitor already has and that has not changed."""
    first: list[Response] = []
    variants = []
    for site in sites(row):
        first.append(respond(Variant(partial(site.get, path), site.open)))
        etag = first[-1].headers.get("etag", "")
        variants.append(Variant(partial(site.get, path, if_none_match=etag), site.open))
    if shown(first[0]) != shown(first[1]):
        raise WrongResponse("the first visits differ")

    def same(response: Response) -> object:
        return shown(first[0] if response.status == 304 else response)

    found = compare_variants(*variants, same=same, **limits)
    sizes = [len(respond(variant).body) for variant in variants]
    return found | {"bytes": Dimension.constant("B", *sizes)}


def cached_value(row: "Row", fixture: Fixture, limits: Limits) -> Dimensions:
    """Read fifty rows from the cache."""
    value = [{"pk": number, "name": f"Item {number}", "price": number / 7} for number in range(50)]

    @contextmanager
    def filled(overrides: dict[str, Any]) -> Iterator[None]:
        with override_settings(**overrides):
            caches["default"].set("rows", value, 60)
            yield

    def read() -> object:
        return caches["default"].get("rows")

    def same(given: object) -> object:
        if given != value:
            raise WrongResponse("the cache does not return what was stored")
        return given

    now = current_settings()
    variants = [Variant(read, partial(filled, o)) for o in (row.enable(now), row.revert(now))]
    return compare_variants(*variants, same=same, **limits)
