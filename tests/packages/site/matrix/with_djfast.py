"""The settings of the generated project, with the packages."""

import json
import os

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as OWN_APPS
from config.settings import MIDDLEWARE as OWN_MIDDLEWARE
from config.settings import STORAGES

from matrix.added import APPS, AUTHENTICATION_BACKENDS, MIDDLEWARE, PACKAGES  # noqa: F401

AUTH_PASSWORD_VALIDATORS: list[dict[str, str]] = []
DJFAST_ENGINE = json.loads(os.environ["MATRIX_ENGINE"])
INSTALLED_APPS = [*OWN_APPS, *APPS]
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
MIDDLEWARE = [*OWN_MIDDLEWARE, *MIDDLEWARE]
# Names without a hash, as on the other side.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}

globals().update(PACKAGES)
