"""Items with a category and tags; without migrations, because a scratch database gets the tables."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.module_loading import import_string

# What the project's own models derive from; without a project, Django's.
Model: Any = import_string(getattr(settings, "WORKLOAD_BASE", "django.db.models.Model"))


class Named(Model):
    """What has a name, and an address made from it."""

    # For mypy: its plugin gives managers and reverse relations to the apps of config.settings only.
    objects: ClassVar[Any]

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=100, unique=True)

    class Meta:
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Category(Named):
    """A shelf of the catalogue: an item is on one."""

    items: Any

    class Meta(Named.Meta):
        verbose_name_plural = "categories"

    def get_absolute_url(self) -> str:
        return reverse("catalogue:category", args=[self.slug])


class Tag(Named):
    """A label of the catalogue: an item has several."""

    items: Any

    def get_absolute_url(self) -> str:
        return reverse("catalogue:tag", args=[self.slug])


class Item(Named):
    """What the catalogue lists."""

    category = models.ForeignKey(Category, models.CASCADE, related_name="items")
    tags = models.ManyToManyField(Tag, related_name="items")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveIntegerField()
    description = models.TextField()
    created = models.DateTimeField(db_index=True)

    def get_absolute_url(self) -> str:
        return reverse("catalogue:item", args=[self.slug])
