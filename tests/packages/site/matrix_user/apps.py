"""On the stock side, the user model has the name that it has in a generated project."""

from django.apps import AppConfig


class MatrixUserConfig(AppConfig):
    name = "matrix_user"
    label = "core"
