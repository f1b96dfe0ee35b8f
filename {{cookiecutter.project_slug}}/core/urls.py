"""Addresses of this app's pages; the health probes answer in a middleware, before any of these."""

from django.urls import path

from core import views

urlpatterns = [
    path("", views.home, name="home"),
]
