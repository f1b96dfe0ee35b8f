"""All of reversed_urls.py that no language changes."""

from django.urls import path
from reversed_urls import plain, view

urlpatterns = [*plain, path("plain/", view, name="plain")]
