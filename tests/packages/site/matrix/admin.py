"""Admin pages of packages that have some."""

from django.contrib import admin
from import_export.admin import ImportExportModelAdmin
from mptt.admin import MPTTModelAdmin
from polymorphic.admin import PolymorphicChildModelAdmin, PolymorphicParentModelAdmin
from simple_history.admin import SimpleHistoryAdmin
from treebeard.admin import TreeAdmin
from treebeard.forms import movenodeform_factory

from matrix.exports import ProductResource
from matrix.models import Category, Circle, Node, Product, Recorded, Shape, Square


@admin.register(Product)
class ProductAdmin(ImportExportModelAdmin):
    resource_classes = [ProductResource]
    list_display = ["name", "maker", "price", "added"]
    list_filter = ["maker"]


admin.site.register(Recorded, SimpleHistoryAdmin)


@admin.register(Shape)
class ShapeAdmin(PolymorphicParentModelAdmin):
    base_model = Shape
    child_models = (Circle, Square)
    list_display = ["name", "maker"]


@admin.register(Circle, Square)
class ChildAdmin(PolymorphicChildModelAdmin):
    base_model = Shape


admin.site.register(Category, MPTTModelAdmin)


@admin.register(Node)
class NodeAdmin(TreeAdmin):
    form = movenodeform_factory(Node)
