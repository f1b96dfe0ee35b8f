"""The URLs of this app; the health probes have none, because a middleware answers them first."""

from django.urls import path

from core import views

urlpatterns = [
    path("", views.home, name="home"),
]
