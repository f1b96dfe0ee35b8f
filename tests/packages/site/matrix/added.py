"""What both sides add to their settings, as the documentation of each package says."""

import os
from typing import Any

APPS = [
    "rest_framework",
    "ninja",
    "allauth",
    "allauth.account",
    "django_filters",
    "django_tables2",
    "crispy_forms",
    "crispy_bootstrap5",
    "simple_history",
    "polymorphic",
    "mptt",
    "treebeard",
    "import_export",
    "django_cotton",
    "django_htmx",
    "channels",
    "matrix",
]
MIDDLEWARE = [
    "simple_history.middleware.HistoryRequestMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]

QUEUE = os.environ["MATRIX_QUEUE"]  # what a side puts into Valkey must not reach the other one
PACKAGES: dict[str, Any] = {
    "ACCOUNT_EMAIL_VERIFICATION": "none",
    "ACCOUNT_RATE_LIMITS": False,
    "CELERY_BROKER_URL": os.environ["REDIS_URL"],
    "CELERY_RESULT_BACKEND": os.environ["REDIS_URL"],
    "CELERY_TASK_DEFAULT_QUEUE": QUEUE,
    "CHANNEL_LAYERS": {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["REDIS_URL"]], "prefix": QUEUE},
        }
    },
    "CRISPY_ALLOWED_TEMPLATE_PACKS": "bootstrap5",
    "CRISPY_TEMPLATE_PACK": "bootstrap5",
    "DJANGO_TABLES2_TEMPLATE": "django_tables2/bootstrap5.html",
    "LOGIN_REDIRECT_URL": "/tables/",
    "MIGRATION_MODULES": {"matrix": "matrix_migrations"},
    "REST_FRAMEWORK": {
        "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
        "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
        "DEFAULT_THROTTLE_RATES": {"user": "3/hour"},
        "PAGE_SIZE": 3,
    },
    "ROOT_URLCONF": "matrix.urls",
}
