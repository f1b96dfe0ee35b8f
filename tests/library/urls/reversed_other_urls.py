"""A URLconf without translation, with other URLs for some of the names of reversed_urls.py."""

from django.urls import include, path
from reversed_urls import inner, shop, view

urlpatterns = [
    path("elsewhere/", view, name="home"),
    path("elsewhere/<str:a>/", view, name="int"),
    path("elsewhere/many/<path:a>", view, name="many"),
    path("elsewhere/shop/", include(shop, namespace="other")),
    path("elsewhere/inner/<int:x>/", include(inner)),
]
