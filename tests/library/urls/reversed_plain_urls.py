"""The patterns of reversed_urls.py that do not depend on the language."""

from django.urls import path
from reversed_urls import plain, view

urlpatterns = [*plain, path("plain/", view, name="plain")]
