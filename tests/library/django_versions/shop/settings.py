"""The settings of the small project; ENGINE is DJFAST_ENGINE as JSON."""

import json
import os

ALLOWED_HOSTS = ["testserver"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "file:shop?mode=memory&cache=shared",  # for all threads
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DJFAST_ENGINE = json.loads(os.environ["ENGINE"])
INSTALLED_APPS = ["shop", "djfast"]
ROOT_URLCONF = "shop.urls"
SECRET_KEY = "secret"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"builtins": [f"djfast.engine.{name}" for name in ("urls", "loops", "formats")]},
    }
]
