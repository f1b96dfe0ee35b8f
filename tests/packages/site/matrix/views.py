"""Pages of packages for lists, forms and templates."""

import django_filters
import django_tables2
from crispy_forms.helper import FormHelper
from crispy_forms.layout import Column, Layout, Row, Submit
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_filters.views import FilterView
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_tables2 import RequestConfig, SingleTableMixin
from django_tables2.export.views import ExportMixin

from matrix.models import Category, Product


class ProductFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains")
    price = django_filters.RangeFilter()

    class Meta:
        model = Product
        fields = ["maker", "labels", "added"]


class ProductTable(django_tables2.Table):
    maker = django_tables2.Column(linkify=lambda record: f"/makers/{record.maker_id}/")
    price = django_tables2.Column(footer=lambda table: sum(row.price for row in table.data))

    class Meta:
        model = Product
        fields = ["name", "maker", "price", "added", "owner"]


class Filtered(FilterView):
    filterset_class = ProductFilter
    paginate_by = 4
    template_name = "matrix/filter.html"


class Tabled(ExportMixin, SingleTableMixin, FilterView):
    table_class = ProductTable
    filterset_class = ProductFilter
    paginate_by = 4
    template_name = "matrix/table.html"


def two_tables(request: HttpRequest) -> HttpResponse:
    tables = [ProductTable(Product.objects.all(), prefix=f"{number}-") for number in (1, 2)]
    for table in tables:
        RequestConfig(request, paginate={"per_page": 2}).configure(table)
    return render(request, "matrix/tables.html", {"tables": tables})


class ProductForm(forms.ModelForm):
    helper = FormHelper()
    helper.layout = Layout(
        Row(Column("name", css_class="col-6"), Column("maker")),
        "labels",
        "price",
        "added",
        Submit("save", "Save"),
    )

    class Meta:
        model = Product
        fields = ["name", "maker", "labels", "price", "added"]


def form(request: HttpRequest) -> HttpResponse:
    product = Product.objects.first() if "edit" in request.GET else None
    filled = ProductForm(request.POST or None, instance=product)
    if filled.is_valid():
        return HttpResponse(f"saved {filled.save().name}")
    return render(request, "matrix/form.html", {"form": filled})


def components(request: HttpRequest) -> HttpResponse:
    return render(request, "matrix/components.html", {"products": Product.objects.all()[:3]})


def tree(request: HttpRequest) -> HttpResponse:
    return render(request, "matrix/tree.html", {"categories": Category.objects.all()})


def htmx(request: HttpRequest) -> HttpResponse:
    if request.GET.get("leave"):
        return HttpResponseClientRedirect("/tables/")
    names = ("boosted", "current_url", "target", "trigger", "history_restore_request")
    told = {name: getattr(request.htmx, name) for name in names}
    response = render(request, "matrix/htmx.html", {"is_htmx": bool(request.htmx), "told": told})
    return trigger_client_event(response, "shown", {"count": 1})
