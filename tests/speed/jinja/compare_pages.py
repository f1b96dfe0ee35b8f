"""Render the workload's pages under three engines, in a process of their own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from benchmarks.__main__ import laboratory

JINJA2 = {
    "BACKEND": "django.template.backends.jinja2.Jinja2",
    "DIRS": [Path.cwd() / "benchmarks/workload/jinja2"],
}
DJANGO = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}


OURS, PLAIN = "config.jinja2.environment", "benchmarks.workload.jinja.environment"


def environment(name: str) -> dict[str, object]:
    return JINJA2 | {"OPTIONS": {"environment": name}}


with laboratory() as lab:
    from benchmarks.answers import shown
    from benchmarks.site import Site
    from benchmarks.workload.models import Item
    from django.urls import reverse

    with Site().open():
        item, *_, last = Item.objects.all()
        paths = [
            reverse("catalogue:list"),
            reverse("catalogue:list") + "?page=2",
            reverse("catalogue:public"),
            item.get_absolute_url(),
            last.get_absolute_url(),
            item.category.get_absolute_url(),
        ]
    for zone in ("UTC", "Pacific/Kiritimati"):  # noon in UTC is the next day there
        pages = []
        for engine in (DJANGO, environment(OURS), environment(PLAIN)):
            site = Site(TEMPLATES=[engine], TIME_ZONE=zone)
            with site.open():
                pages.append([site.get(path, cookie=lab["session"]) for path in paths])
        assert all(page.status == 200 for side in pages for page in side)
        django, fast, plain = ([shown(page) for page in side] for side in pages)
        assert fast == django, zone
        assert (plain == django) == (zone == "UTC")  # its date filter shows UTC
    print(f"{len(paths)} pages in 2 time zones under {len(pages)} engines")
