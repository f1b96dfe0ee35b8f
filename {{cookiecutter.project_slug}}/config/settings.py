"""Every setting of the project, in four parts: 0 Environment, 1 Speed, 2 Safety, 3 The rest.

A line has a comment where it differs from Django's own choice. In part 1 that comment begins with
the name of a row of `speed/defaults.py`, which says what the default buys and how it is measured.
"""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from environs import Env

from speed.redis import database_number

BASE_DIR = Path(__file__).resolve().parent.parent

# 0. Environment: .env.example explains every variable -------------------------------------------

env = Env()
env.read_env(BASE_DIR / ".env", recurse=False)  # what the process was started with wins

DEBUG = env.bool("DEBUG", False)
testing = "PYTEST_VERSION" in os.environ


def required(name: str, example: str) -> str:
    """Read a variable that production cannot do without.

    Development may leave it empty: `manage.py` and pytest then start what is missing, and commands
    that need no database or cache get none.

    Raises:
        ImproperlyConfigured: it is empty and `DEBUG` is off.
    """
    value = env.str(name, "")
    if not value and not DEBUG:
        raise ImproperlyConfigured(
            f"Set {name}, for example {name}={example}, or DEBUG=1 in .env for development"
        )
    return value


def database(url: str) -> dict[str, Any]:
    """Turn a URL into Django's dictionary; its query (`?sslmode=require`) becomes OPTIONS.

    Raises:
        ImproperlyConfigured: it is no database URL.
    """
    if not url:
        return {"ENGINE": "django.db.backends.dummy", "OPTIONS": {}}
    try:
        return {"OPTIONS": {}, **dj_database_url.parse(url)}
    except ValueError:
        raise ImproperlyConfigured(
            "Set DATABASE_URL to a URL like postgresql://user:password@host:5432/name, with what is "
            "neither letter nor digit in the password as %XX"
        ) from None


def redis(name: str, url: str) -> str:
    """Check the URL in the variable `name`; the result names its database number.

    Raises:
        ImproperlyConfigured: it is no Redis URL.
    """
    try:
        return database_number(url, 0)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"Set {name} to a URL like redis://host:6379/0. {error}"
        ) from None


def smtp(url: str) -> dict[str, Any]:
    """Turn a URL into the options of Django's SMTP backend.

    Raises:
        ImproperlyConfigured: it is no URL of a mail server.
    """
    encryption = {"smtp": {}, "smtp+tls": {"use_tls": True}, "smtps": {"use_ssl": True}}
    try:
        parts = urlsplit(url)
        return {
            "host": parts.hostname,
            "port": parts.port,
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "timeout": 10,  # seconds
            **encryption[parts.scheme],
        }
    except (KeyError, ValueError):
        raise ImproperlyConfigured(
            "Set EMAIL_URL to a URL like smtp+tls://user:password@host:587 (smtps: TLS from the first "
            "byte, smtp: none)"
        ) from None


# Plain HTTP on this machine, for `make serve`, benchmarks and tests: config/server.py refuses any
# other address, and `check --deploy` reports the redirect and the cookies that are then not secure.
LOCAL_HTTP = env.bool("LOCAL_HTTP", False)

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", [], subcast=str.strip)
if LOCAL_HTTP and not ALLOWED_HOSTS:
    ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [], subcast=str.strip)

DATABASES = {
    "default": database(required("DATABASE_URL", "postgresql://user:password@host:5432/name"))
}

# Port 1: nobody listens there. It is for commands of development that need no cache.
redis_url = redis(
    "REDIS_URL", required("REDIS_URL", "redis://host:6379/0") or "redis://127.0.0.1:1/0"
)
redis_sessions_url = redis(
    "REDIS_SESSIONS_URL", env.str("REDIS_SESSIONS_URL", "") or database_number(redis_url, 1)
)

SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Set SECRET_KEY, for example to the output of `python3 -c 'import secrets; "
        "print(secrets.token_urlsafe(50))'`; in development, `make .env` writes one"
    )

STATIC_ROOT = BASE_DIR / (env.str("STATIC_ROOT", "") or "staticfiles")

# Whose X-Forwarded-* headers count. Anybody can send them, so by default nobody's do.
TRUSTED_PROXY: list[str] = env.list("TRUSTED_PROXY", [], subcast=str.strip)
for proxy in TRUSTED_PROXY:
    try:
        ip_network(proxy)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"Set TRUSTED_PROXY to addresses or networks like 10.0.0.0/8: {error}"
        ) from None

# 1. Speed ---------------------------------------------------------------------------------------

# The dummy stands for development's PostgreSQL, in commands that do not start it.
postgres = DATABASES["default"]["ENGINE"].endswith(("postgresql", "dummy"))
sqlite = DATABASES["default"]["ENGINE"].endswith("sqlite3")

# {% if cookiecutter.interface == "wsgi" %}
# persistent connections: a new one costs more than most queries, so keep it between requests...
DATABASES["default"]["CONN_MAX_AGE"] = 600  # seconds: outlives a quiet spell, frees memory
# ...and find out whether it is alive before its first query, so a database restart costs no request.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# health check: Django's own costs each request a trip to the database, this one only after a rest.
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "speed.postgresql"
# {% else %}
# connection pool: under ASGI a request may run on any thread, so connections that belong to a thread
# (CONN_MAX_AGE) pile up unused. A pool hands them on, and tries each before a request gets it.
if postgres:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": 8,  # connections per process: so many requests use the database at once
        "timeout": 5,  # seconds that a request waits for a free one before it fails
        "max_idle": 600,  # seconds: outlives a quiet spell, then frees the backend
        # Seconds until it stops trying again, at ever longer intervals, by itself. The next request
        # then tries at once: else pages go on failing after a lost database is back.
        "reconnect_timeout": 3,
    }
# {% endif %}

if postgres:
    DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)  # seconds; libpq waits minutes
    # Prepared statements gained nothing measurable and change how parameters are typed. To try them:
    # DATABASES["default"]["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": 5}

if sqlite:
    DATABASES["default"]["OPTIONS"] = {
        # Take the write lock at BEGIN: what reads and then writes cannot fail halfway.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,  # seconds that one writer waits for another
        # WAL lets readers and the writer work side by side. With it, NORMAL never harms the file: a
        # power cut may take the last commits. The first 128 MiB are read without a copy.
        "init_command": "PRAGMA journal_mode=WAL;"
        "PRAGMA synchronous=NORMAL;"
        "PRAGMA mmap_size=134217728;",
        **DATABASES["default"]["OPTIONS"],
    }

# A pooler that lends connections per transaction (PgBouncer) loses cursors and prepared statements
# in between, or gives them to somebody else.
if postgres and env.bool("TRANSACTION_POOLER", False):
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
    DATABASES["default"]["OPTIONS"] |= {"server_side_binding": False, "prepare_threshold": None}

# redis cache: Django's own is private to a process, so each worker fills its own and no deletion
# reaches the others. Every alias has its own database, because django-redis keeps one pool with one
# set of options per URL; where there is only database 0, the prefixes keep the aliases apart.
prefix = "{{ cookiecutter.project_slug }}"
if testing:  # a test that clears the cache clears neither development's nor another process's
    prefix += f"-test{os.environ.get('PYTEST_XDIST_WORKER', '')}"
redis_options = {
    "CLIENT_CLASS": "speed.redis.PrefixClient",  # clear() deletes the alias's keys, never the rest
    "SOCKET_CONNECT_TIMEOUT": 0.5,  # seconds: redis-py waits 5 on each request of an outage
    "SOCKET_TIMEOUT": 0.5,  # seconds: a cache slower than that is slower than the database
}
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "KEY_PREFIX": f"{prefix}-cache",
        "LOCATION": redis_url,
        "OPTIONS": redis_options,
    },
    "sessions": {
        "BACKEND": "django_redis.cache.RedisCache",
        "KEY_PREFIX": f"{prefix}-sessions",
        "LOCATION": redis_sessions_url,
        # A sign-out that the cache could not be told of is undone when the cache is back: let a copy
        # live for minutes instead of weeks, at the price of a query for each.
        "OPTIONS": redis_options | {"MAX_TIMEOUT": 300},  # seconds
    },
}
# Of the page cache, and of Django's `cache` tag, which looks for this name.
CACHES["pages"] = CACHES["default"] | {"KEY_PREFIX": f"{prefix}-pages"}
CACHES["template_fragments"] = CACHES["default"] | {
    "KEY_PREFIX": f"{prefix}-fragments",
    # two-tier cache: a fragment is asked for more often than it changes. A copy in the process
    # answers for a second before Redis is asked again; `default` and `sessions` are always exact.
    "OPTIONS": redis_options | {"CLIENT_CLASS": "speed.tiers.TieredClient"},
}
# The switch: development shows each change at once, and keeps neither pages nor fragments.
if DEBUG:
    off = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    CACHES |= {"pages": off, "template_fragments": off}
# Without the cache the site is slower, not broken: log the failure and go on.
DJANGO_REDIS_IGNORE_EXCEPTIONS = True
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
# django-redis's own choice. Left out, it would be looked for in vain after each request.
DJANGO_REDIS_CLOSE_CONNECTION = False

# cached sessions: Django's own asks the database on each request of a signed-in visitor. These are
# read from the cache and kept in the database too, so a lost cache signs nobody out.
SESSION_CACHE_ALIAS = "sessions"
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

toolbar = DEBUG and not testing

# lean middleware: Django's own of the same names get ready, for each request, what few requests need.
MIDDLEWARE = [
    # First, so that a probe needs neither HTTPS nor a known Host.
    "core.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    # compression: zstd, brotli or gzip, with noise against BREACH. Above ConditionalGet: below it,
    # the noise would change the ETag each time and no 304 would ever be sent.
    "django_http_compression.middleware.HttpCompressionMiddleware",
    # conditional GET: a page that the visitor already has is answered with 304 and no body.
    "speed.middleware.ConditionalGetMiddleware",
    # page cache: keeps the finished pages of views that ask for it, if they show nobody's own data.
    "speed.pages.PageCacheMiddleware",
    *(["debug_toolbar.middleware.DebugToolbarMiddleware"] if toolbar else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    # cached user: off, because a change that sends no signal shows after a minute only. To spare each
    # page of a signed-in visitor a query, write speed.users.CachedUserMiddleware here.
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "speed.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *(["zeal.middleware.zeal_middleware"] if DEBUG else []),
]

TEMPLATES = [
    # {% if cookiecutter.template_engine == "jinja2" %}
    {
        # jinja2: renders the project's own pages; what it does not find is left to Django's engine.
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.contrib.messages.context_processors.messages",
                "core.context.site",
            ],
            "environment": "config.jinja2.environment",
            "extensions": [
                "compressor.contrib.jinja2ext.CompressorExtension",
                "speed.fragments_jinja2.Fragments",
                "speed.whitespace_jinja2.Whitespace",
            ],
        },
    },
    # {% endif %}
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # {% if cookiecutter.template_engine == "django" %}
        "DIRS": [BASE_DIR / "templates"],
        # {% endif %}
        "OPTIONS": {
            "builtins": [
                # compiled urls: Django's `url` tag interprets a pattern anew for each link of each page.
                "speed.urls",
                # {% if cookiecutter.template_engine == "django" %}
                # compiled loops: Django's `for` tag interprets its body anew for each row.
                "speed.loops",
                # {% endif %}
                # prepared formats: Django's filters take a format apart anew for each date and price.
                "speed.formats",
                # fragments: a list of rows costs one slim query and what has changed since.
                "speed.fragments",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.context.site",
            ],
            # cached template loader: Django caches by itself only while nobody sets "loaders".
            "loaders": [
                (
                    # whitespace: Django's cached loader, which drops indentation from what it reads.
                    "speed.whitespace.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                ),
            ],
        },
    },
]

# {% if cookiecutter.interface == "wsgi" %}
# Threads overlap waiting for the database and nothing else: a page that computes gets slower, not
# faster, with more of them. Each keeps a database connection.
SERVER_THREADS = 4  # per process of the production server; for config/server.py

# {% endif %}
# static files: a name carries the hash of its content, so that a browser keeps it for ever, and a
# brotli copy lies beside it. Development keeps plain names: hashes need `make build`.
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "compressor.finders.CompressorFinder",
]
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# bundles: what a template wraps in a compress block is one minified file, made by `make build` and
# never by a request.
COMPRESS_CSS_HASHING_METHOD = None  # the manifest has hashed every url() already
COMPRESS_OFFLINE = not DEBUG

# translation off: True costs each page a lookup per string. Turn it on with the first translation.
USE_I18N = False

# 2. Safety --------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

https = not (DEBUG or LOCAL_HTTP)
CSRF_COOKIE_SECURE = https
SESSION_COOKIE_SECURE = https
SECURE_SSL_REDIRECT = https
# One hour, so that a mistake with a certificate heals; a year once HTTPS has settled. Subdomains
# that speak plain HTTP cannot be reached.
SECURE_HSTS_SECONDS = 3600 if https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = https
SECURE_HSTS_PRELOAD = https

# Argon2 resists graphics cards; the other two read passwords that were stored before.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]

# Only this site's own files run: a script that got into a page by injection does not.
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    # The toolbar's template profiler draws its bars with style attributes.
    "style-src": [CSP.SELF, *([CSP.UNSAFE_INLINE] if toolbar else [])],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}

# 3. The rest ------------------------------------------------------------------------------------

# {% if cookiecutter.interface == "wsgi" %}
WSGI_APPLICATION = "config.wsgi.application"
# {% else %}
ASGI_APPLICATION = "config.asgi.application"
# {% endif %}

AUTH_USER_MODEL = "core.User"  # from the first migration on: it cannot be exchanged later

DEBUG_TOOLBAR_PANELS = [
    "debug_toolbar.panels.history.HistoryPanel",
    "debug_toolbar.panels.timer.TimerPanel",
    "debug_toolbar.panels.headers.HeadersPanel",
    "debug_toolbar.panels.request.RequestPanel",
    "debug_toolbar.panels.sql.SQLPanel",
    "debug_toolbar.panels.cache.CachePanel",
    "debug_toolbar.panels.templates.TemplatesPanel",
    # Its release 2.1 lacks a script (404), so that its rows do not fold; the times are right.
    "template_profiler_panel.panels.template.TemplateProfilerPanel",
    "debug_toolbar.panels.staticfiles.StaticFilesPanel",
    "debug_toolbar.panels.profiling.ProfilingPanel",
]

INSTALLED_APPS = [
    "core",
    "compressor",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "speed",
    *(["zeal"] if DEBUG else []),
    *(["debug_toolbar", "template_profiler_panel"] if toolbar else []),
]

INTERNAL_IPS = ["127.0.0.1", "::1"]  # who sees the debug toolbar

# Django's own only mails the faults of a production process, and to nobody while ADMINS is empty.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django": {"level": "INFO"}},  # without the handlers that it brings
}

# Django's own is to the port 25 of this machine, and waits for ever.
MAILERS = {
    "default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if DEBUG
    else {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": smtp(env.str("EMAIL_URL", "") or "smtp://localhost:25"),
    }
}

ROOT_URLCONF = "config.urls"

# {# The formatter would break a long line, and change the quotes of a name that holds some. #}
# {% if cookiecutter.project_name | length > 40 or '"' in cookiecutter.project_name %}
SITE_NAME = "{{ cookiecutter.__site_name }}"  # fmt: skip
# {% else %}
SITE_NAME = "{{ cookiecutter.__site_name }}"
# {% endif %}

TIME_ZONE = "UTC"  # of times as they are shown and logged; Django's own is Chicago

# N+1 queries fail a test. In development they are a warning on the console: stopping the page would
# also stop pages of other packages.
ZEAL_RAISE = testing
