"""URLs of the workload's pages."""

from django.urls import include, path

from djfast_bench.workload import views

app_name = "catalogue"
urlpatterns = [
    path("", views.catalogue, name="list"),
    path("about/", views.public, name="public"),
    path("account/", views.account, name="account"),
    path("cached/", include("djfast_bench.workload.cached")),
    path("category/<slug:slug>/", views.category, name="category"),
    path("count/", views.count, name="count"),
    path("hello/", views.hello, name="hello"),
    path("items.json", views.items_json, name="json"),
    path("items/<slug:slug>/", views.item, name="item"),
    path("n-plus-one/forgotten/", views.forgotten),
    path("n-plus-one/guarded/", views.guarded),
    path("tag/<slug:slug>/", views.tag, name="tag"),
]
