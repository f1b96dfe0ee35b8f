"""django-ninja."""

from datetime import date
from decimal import Decimal

from django.conf import settings
from django.shortcuts import get_object_or_404
from django.utils.csp import CSP
from django.views.decorators.csp import csp_override
from ninja import ModelSchema, NinjaAPI, Query, Schema
from ninja.pagination import paginate

from matrix.models import Label, Maker, Product

POLICY = {**getattr(settings, "SECURE_CSP", {}), "script-src": [CSP.SELF, CSP.UNSAFE_INLINE]}
api = NinjaAPI(title="Matrix", docs_decorator=csp_override(POLICY))


class MakerOut(ModelSchema):
    class Meta:
        model = Maker
        fields = ["id", "name"]


class LabelOut(ModelSchema):
    class Meta:
        model = Label
        fields = ["name"]


class ProductOut(ModelSchema):
    maker: MakerOut
    labels: list[LabelOut]

    class Meta:
        model = Product
        fields = ["id", "name", "price", "added"]


class ProductIn(Schema):
    name: str
    maker_id: int
    price: Decimal
    added: date


class Filters(Schema):
    cheaper_than: Decimal | None = None


@api.get("/products", response=list[ProductOut])
@paginate
def products(request, filters: Query[Filters]):
    found = Product.objects.all()
    return found.filter(price__lt=filters.cheaper_than) if filters.cheaper_than else found


@api.post("/products", response={201: ProductOut})
def add(request, data: ProductIn):
    return 201, Product.objects.create(**data.dict())


@api.get("/products/{pk}", response=ProductOut)
def product(request, pk: int):
    return get_object_or_404(Product, pk=pk)


@api.get("/async/{pk}", response=ProductOut)
async def product_async(request, pk: int):
    return await Product.objects.select_related("maker").prefetch_related("labels").aget(pk=pk)
