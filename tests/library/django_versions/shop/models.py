"""Items with a category and tags."""

import djfast.models
from django.db import models


class Category(djfast.models.Model):
    name = models.CharField(max_length=30)


class Tag(djfast.models.Model):
    name = models.CharField(max_length=30)


class Item(djfast.models.Model):
    name = models.CharField(max_length=30)
    price = models.DecimalField(max_digits=9, decimal_places=3)
    published = models.DateTimeField()
    category = models.ForeignKey(Category, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag, related_name="items")
