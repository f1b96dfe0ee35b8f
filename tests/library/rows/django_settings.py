"""The project's settings with the other answer for the template engine."""

from importlib import import_module

project = vars(import_module("config.settings"))
globals().update({name: value for name, value in project.items() if name.isupper()})

TEMPLATES = [one for one in project["TEMPLATES"] if not one["BACKEND"].endswith("Jinja2")]
