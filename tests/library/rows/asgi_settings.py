"""The project's settings, served under ASGI from a pool of connections."""

from importlib import import_module

project = vars(import_module("config.settings"))
globals().update({name: value for name, value in project.items() if name.isupper()})

ASGI_APPLICATION = "asgi_application.application"
default = {name: v for name, v in project["DATABASES"]["default"].items() if name != "CONN_MAX_AGE"}
DATABASES = {"default": {**default, "OPTIONS": {"pool": {"min_size": 1, "max_size": 8}}}}
