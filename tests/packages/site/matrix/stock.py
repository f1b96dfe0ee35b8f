"""The settings that `startproject` writes, with PostgreSQL and the packages."""

import os

import dj_database_url

from matrix.added import APPS, AUTHENTICATION_BACKENDS, MIDDLEWARE, PACKAGES  # noqa: F401

ALLOWED_HOSTS = ["localhost"]
AUTH_PASSWORD_VALIDATORS: list[dict[str, str]] = []
AUTH_USER_MODEL = "core.User"
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
DEBUG = False
INSTALLED_APPS = [
    "matrix_user",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *APPS,
]
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *MIDDLEWARE,
]
SECRET_KEY = os.environ["SECRET_KEY"]
STATIC_URL = "static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
# As in a generated project: both are choices about the site, which show on its pages.
TIME_ZONE = "UTC"
USE_I18N = False

if os.environ["MATRIX_INTERFACE"] == "asgi":
    ASGI_APPLICATION = "matrix.asgi.application"
else:
    WSGI_APPLICATION = "matrix.wsgi.application"

globals().update(PACKAGES)
MIGRATION_MODULES = PACKAGES["MIGRATION_MODULES"] | {"core": "core_migrations"}
