"""Addresses of the workload's pages."""

from django.urls import path

from benchmarks.workload import views

app_name = "catalogue"
urlpatterns = [
    path("", views.catalogue, name="list"),
    path("about/", views.public, name="public"),
    path("account/", views.account, name="account"),
    path("category/<slug:slug>/", views.category, name="category"),
    path("count/", views.count, name="count"),
    path("hello/", views.hello, name="hello"),
    path("items.json", views.items_json, name="json"),
    path("items/<slug:slug>/", views.item, name="item"),
    path("tag/<slug:slug>/", views.tag, name="tag"),
]
