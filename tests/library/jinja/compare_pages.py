"""Render the workload's pages with four template engines: run by test_jinja.py in its own process."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

import djfast_bench
from djfast_bench.__main__ import prepared_process
from djfast_bench.responses import shown

BUILTINS = [f"djfast.engine.{name}" for name in ("urls", "loops", "formats")]
WORKLOAD = Path(djfast_bench.__file__).parent / "workload/jinja2"


def django_engine(**options: Any) -> dict[str, Any]:
    """Return the configuration of an engine for Django's templates."""
    backend = "django.template.backends.django.DjangoTemplates"
    return {"BACKEND": backend, "APP_DIRS": True, "OPTIONS": options}


def jinja2_engine(environment: str) -> dict[str, Any]:
    """Return the configuration of an engine for Jinja2, with this environment."""
    backend = "django.template.backends.jinja2.Jinja2"
    return {"BACKEND": backend, "DIRS": [WORKLOAD], "OPTIONS": {"environment": environment}}


ENGINES = {
    "django": django_engine(),
    "fast django": django_engine(builtins=BUILTINS),
    "fast jinja2": jinja2_engine("config.jinja2.environment"),
    "plain jinja2": jinja2_engine("djfast_bench.workload.jinja.environment"),
}


def paths() -> list[str]:
    """Return the paths of pages with lists, a detail page, and an empty one."""
    from django.urls import reverse
    from djfast_bench.workload.models import Item

    item, *_, last = Item.objects.all()
    catalogue = reverse("catalogue:list")
    found = [catalogue, f"{catalogue}?page=2", reverse("catalogue:public")]
    return [*found, *(one.get_absolute_url() for one in (item, last, item.category))]


def main() -> None:
    """Compare the pages in two time zones, and with the engine's modules off."""
    with prepared_process() as lab:
        from djfast_bench.site import Site

        with Site().open():
            todo = paths()
        for zone in ("UTC", "Pacific/Kiritimati"):  # noon in UTC is the next day there
            for engine in (True, False):
                pages: dict[str, list[object]] = {}
                for name, configuration in ENGINES.items():
                    site = Site(TEMPLATES=[configuration], TIME_ZONE=zone, DJFAST_ENGINE=engine)
                    with site.open():
                        pages[name] = [shown(site.get(path, cookie=lab.cookie)) for path in todo]
                assert pages["fast django"] == pages["fast jinja2"] == pages["django"], zone
                # The plain environment's date filter does not convert to the current time zone.
                assert (pages["plain jinja2"] == pages["django"]) == (zone == "UTC")
        print(f"{len(todo)} pages in 2 time zones under {len(ENGINES)} engines")


main()
