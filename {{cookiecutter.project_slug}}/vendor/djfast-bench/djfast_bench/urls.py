"""The workload's URLs below /catalogue/, and all of the project's."""

import os
from importlib import import_module

from django.urls import include, path

urlpatterns = [
    # First: the project may end with a pattern that matches every path.
    path("catalogue/", include("djfast_bench.workload.urls")),
    path("", include(import_module(os.environ["BENCH_SETTINGS"]).ROOT_URLCONF)),
]
