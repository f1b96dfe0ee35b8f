"""A model for each package that has something to do with models."""

import os

from dirtyfields import DirtyFieldsMixin
from django.conf import settings
from django.db import models
from model_utils import Choices, FieldTracker
from model_utils.managers import InheritanceManager
from model_utils.models import StatusModel, TimeStampedModel
from mptt.models import MPTTModel, TreeForeignKey
from polymorphic.models import PolymorphicModel
from simple_history.models import HistoricalRecords
from treebeard.mp_tree import MP_Node

if os.environ["MATRIX_BASE"] == "BaseModel":
    from core.models import BaseModel
else:

    class BaseModel(models.Model):
        class Meta:
            abstract = True


class Maker(BaseModel):
    name = models.CharField(max_length=40, unique=True)

    def __str__(self) -> str:
        return self.name


class Label(BaseModel):
    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class Product(BaseModel):
    """For lists, forms and APIs."""

    name = models.CharField(max_length=40, unique=True)
    maker = models.ForeignKey(Maker, models.CASCADE, related_name="products")
    labels = models.ManyToManyField(Label, blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    added = models.DateField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name


class Recorded(BaseModel):
    """django-simple-history."""

    name = models.CharField(max_length=40)
    maker = models.ForeignKey(Maker, models.CASCADE)
    history = HistoricalRecords()

    def __str__(self) -> str:
        return self.name


class Tracked(StatusModel, TimeStampedModel, BaseModel):
    """django-model-utils."""

    STATUS = Choices("draft", "published")
    name = models.CharField(max_length=40)
    maker = models.ForeignKey(Maker, models.CASCADE, null=True)
    tracker = FieldTracker()


class Place(BaseModel):
    """django-model-utils: managers of multi-table inheritance."""

    name = models.CharField(max_length=40)
    objects = InheritanceManager()


class Restaurant(Place):
    stars = models.IntegerField(default=0)


class Dirty(DirtyFieldsMixin, BaseModel):
    """django-dirtyfields."""

    name = models.CharField(max_length=40)
    amount = models.IntegerField(default=0)
    maker = models.ForeignKey(Maker, models.CASCADE, null=True)
    labels = models.ManyToManyField(Label, blank=True)

    ENABLE_M2M_CHECK = True


class Shape(PolymorphicModel, BaseModel):
    """django-polymorphic: its base class comes first, as its manager must be the default one."""

    name = models.CharField(max_length=40)
    maker = models.ForeignKey(Maker, models.CASCADE, null=True)

    def __str__(self) -> str:
        return self.name


class Circle(Shape):
    radius = models.IntegerField(default=1)


class Square(Shape):
    side = models.IntegerField(default=1)


class Category(MPTTModel, BaseModel):
    """django-mptt."""

    name = models.CharField(max_length=40)
    parent = TreeForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")

    def __str__(self) -> str:
        return self.name


class Node(MP_Node, BaseModel):
    """django-treebeard."""

    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name
