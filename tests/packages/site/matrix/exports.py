"""django-import-export."""

from import_export import fields, resources
from import_export.widgets import ForeignKeyWidget, ManyToManyWidget

from matrix.models import Label, Maker, Product


class ProductResource(resources.ModelResource):
    maker = fields.Field("maker", "maker", ForeignKeyWidget(Maker, "name"))
    labels = fields.Field("labels", "labels", ManyToManyWidget(Label, field="name"))

    class Meta:
        model = Product
        fields = ("id", "name", "maker", "labels", "price", "added")
