"""The project's addresses, and the workload below /catalogue/."""

from django.urls import include, path

from benchmarks.settings import project

urlpatterns = [
    # First: the project may end with a pattern that takes every address.
    path("catalogue/kept/", include("benchmarks.workload.kept")),
    path("catalogue/", include("benchmarks.workload.urls")),
    path("", include(project["ROOT_URLCONF"])),
]
