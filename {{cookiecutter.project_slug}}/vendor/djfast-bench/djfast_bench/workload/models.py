"""Items with a category and tags; without migrations, since a scratch database gets the tables."""

from importlib import import_module
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.module_loading import import_string


def base_model() -> Any:
    """Return the base class of the project's own models, as the project states it.

    `BENCH_BASE_MODEL` of a measured process takes precedence. A project states its base in
    `BASE_MODEL` of benchmarks/pages.py; one generated before djfast was a library has speed.peers.
    Any other project gets Django's.
    """
    if name := getattr(settings, "BENCH_BASE_MODEL", ""):
        return import_string(name)
    pages = optional_module("benchmarks.pages")
    if name := getattr(pages, "BASE_MODEL", ""):
        return import_string(name)
    return getattr(optional_module("speed.peers"), "Model", models.Model)


def optional_module(name: str) -> Any:
    """Import a module; return None if it or a package around it does not exist."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            return None
        raise


Model: Any = base_model()


class Named(Model):
    """An object with a name, and a slug made from it."""

    # For mypy: its plugin gives managers and reverse relations only to the apps of config.settings.
    objects: ClassVar[Any]

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=100, unique=True)

    class Meta:
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Category(Named):
    """A category: an item belongs to one."""

    items: Any

    class Meta(Named.Meta):
        verbose_name_plural = "categories"

    def get_absolute_url(self) -> str:
        return reverse("catalogue:category", args=[self.slug])


class Tag(Named):
    """A tag: an item has several."""

    items: Any

    def get_absolute_url(self) -> str:
        return reverse("catalogue:tag", args=[self.slug])


class Item(Named):
    """An item of the catalogue."""

    category = models.ForeignKey(Category, models.CASCADE, related_name="items")
    tags = models.ManyToManyField(Tag, related_name="items")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveIntegerField()
    description = models.TextField()
    created = models.DateTimeField(db_index=True)

    def get_absolute_url(self) -> str:
        return reverse("catalogue:item", args=[self.slug])
