"""The URLs of the site."""

from django.contrib import admin
from django.urls import include, path

from matrix import views
from matrix.fast_api import api
from matrix.rest import router

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("components/", views.components),
    path("filter/", views.Filtered.as_view()),
    path("form/", views.form),
    path("htmx/", views.htmx),
    path("ninja/", api.urls),
    path("rest/", include(router.urls)),
    path("tables/", views.Tabled.as_view()),
    path("tables/two/", views.two_tables),
    path("tree/", views.tree),
]
