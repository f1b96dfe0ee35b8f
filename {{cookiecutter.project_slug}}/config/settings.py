"""Every setting of the project, in four parts: 0 Environment, 1 Speed, 2 Safety, 3 The rest.

In part 1, a comment that begins with a name, such as `compression:`, marks a speed default: the
name is that in `manage.py check --tag speed` and in the toolbar's Speed panel. To revert a default,
change its line and add its id, such as `speed.compression`, to SILENCED_SYSTEM_CHECKS.
"""

from pathlib import Path
from typing import Any

from django.utils.csp import CSP
from djfast.env import (
    database,
    env,
    networks,
    read_env,
    redis,
    redis_location,
    required,
    smtp,
)
from djfast.testing.run import is_test, media_root, run_id

BASE_DIR = Path(__file__).resolve().parent.parent

# 0. Environment: .env.example explains every variable -------------------------------------------

read_env(BASE_DIR / ".env")  # the process environment takes precedence

DEBUG = env.bool("DEBUG", False)
testing = is_test()
toolbar = DEBUG and not testing

# Plain HTTP on this machine, for `make serve`, benchmarks and tests: the production server then
# refuses any other address, and `check --deploy` reports the redirect and the insecure cookies.
LOCAL_HTTP = env.bool("LOCAL_HTTP", False)

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", [], subcast=str.strip)
if LOCAL_HTTP and not ALLOWED_HOSTS:
    ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [], subcast=str.strip)

if DEBUG:  # start what DATABASE_URL and REDIS_URL do not name, for whatever reads these settings
    from djfast.services import Services

    Services(BASE_DIR).start()

database_url = required(
    "DATABASE_URL", "postgresql://user:password@host:5432/name, or DEBUG=1 for development"
)

# As it is in the environment: also for CELERY_BROKER_URL, channels_redis and others.
redis_url = redis("REDIS_URL", required("REDIS_URL", "redis://host:6379/0"))
redis_sessions = redis_location(redis_url, 1)
if redis_sessions_url := env.str("REDIS_SESSIONS_URL", ""):
    redis_sessions = redis_location(redis("REDIS_SESSIONS_URL", redis_sessions_url))

SECRET_KEY = required(
    "SECRET_KEY",
    "the output of `python3 -c 'import secrets; print(secrets.token_urlsafe(50))'`; "
    "in development, `make .env` writes one",
)

STATIC_ROOT = BASE_DIR / (env.str("STATIC_ROOT", "") or "staticfiles")

# The proxies whose X-Forwarded-* headers are trusted. Anybody can send these headers, so by default
# there is none.
TRUSTED_PROXY = networks("TRUSTED_PROXY", env.list("TRUSTED_PROXY", [], subcast=str.strip))

# 1. Speed ---------------------------------------------------------------------------------------

# redis cache: Django's default is private to a process, so each worker fills its own and a deletion
# does not reach the others. The prefixes separate aliases that share a database number. Sessions
# have their own number, so that a FLUSHDB on the cache does not delete them.
prefix = "{{ cookiecutter.project_slug }}"
if testing:  # each run, and each process of a run, starts with empty caches
    prefix += f"-test-{run_id()}"
redis_options = {
    "CLIENT_CLASS": "djfast.cache.redis.PrefixClient",  # clear() deletes this alias's keys only
    "SOCKET_CONNECT_TIMEOUT": 0.5,  # seconds: 5 by default, for each request during an outage
    "SOCKET_TIMEOUT": 0.5,  # seconds: a reply that takes longer costs more than a query
}
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "KEY_PREFIX": f"{prefix}-cache",
        "LOCATION": redis_location(redis_url),
        "OPTIONS": redis_options,
    },
    "sessions": {
        "BACKEND": "django_redis.cache.RedisCache",
        "KEY_PREFIX": f"{prefix}-sessions",
        "LOCATION": redis_sessions,
        # A logout during an outage of the cache leaves a cached session behind, which is valid again
        # after the outage: cache it for minutes instead of weeks, at the cost of a query each time.
        "OPTIONS": redis_options | {"MAX_TIMEOUT": 300},  # seconds
    },
}
# For @cached_page, and for the `cache` tag of templates, which uses this name.
CACHES["pages"] = CACHES["default"] | {"KEY_PREFIX": f"{prefix}-pages"}
CACHES["template_fragments"] = CACHES["default"] | {
    "KEY_PREFIX": f"{prefix}-fragments",
    # two-tier cache: off, because a fragment can then be a second out of date. To read a popular
    # fragment from the process's memory instead of Redis, add
    # "OPTIONS": redis_options | {"CLIENT_CLASS": "djfast.cache.tiers.TieredClient"},
}
if DEBUG:  # development shows each change at once; delete this to try the page cache and fragments
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    CACHES |= {"pages": dummy, "template_fragments": dummy}

# bundles: the files in a template's compress block become one file without comments, made by `make build`
# and never during a request. A block that the build cannot render is served as single files.
COMPRESS_CSS_HASHING_METHOD = None  # the manifest has hashed every url() already
# No filters: those of django-compressor change what some scripts do.
COMPRESS_FILTERS: dict[str, list[str]] = {"css": [], "js": []}
COMPRESS_OFFLINE = not DEBUG
COMPRESSORS = {"css": "djfast.bundles.Stylesheets", "js": "djfast.bundles.Scripts"}

# What each database gets, by the scheme of its URL; options in the query of the URL take precedence.
tuned: dict[str, Any] = {
    # {% if cookiecutter.interface == "wsgi" %}
    # persistent connections: a new one costs more than most queries, so keep it between requests.
    "CONN_MAX_AGE": 600,  # seconds: survives quiet periods, frees backend memory
    # {% endif %}
    # A check before the first query of a request keeps a restart of the database from failing it.
    "CONN_HEALTH_CHECKS": True,
    "postgresql": {
        "connect_timeout": 5,  # seconds; libpq waits minutes
        # {% if cookiecutter.interface == "asgi" %}
        # connection pool: under ASGI a request may run on any thread, so persistent connections, which
        # belong to a thread, would pile up unused. A pool lends them.
        "pool": {
            "max_idle": 600,  # seconds: survives quiet periods, then frees the backend
            "max_size": 8,  # connections per process: this many requests use the database at once
            "min_size": 1,
            "timeout": 5,  # seconds that a request waits for one of them, then it gets one more
        },
        # {% endif %}
        # Prepared statements gained nothing measurable and change how parameters are typed. To try
        # them: "prepare_threshold": 5, "server_side_binding": True
    },
    "sqlite": {
        # WAL lets readers and the writer work side by side. With it, NORMAL never damages the file: a
        # power cut may lose the last commits. The first 128 MiB are read without a copy.
        "init_command": "PRAGMA journal_mode=WAL;"
        "PRAGMA synchronous=NORMAL;"
        "PRAGMA mmap_size=134217728;",
        "timeout": 5,  # seconds that one writer waits for another
        # Take the write lock at BEGIN: a transaction that reads first cannot fail when it writes.
        "transaction_mode": "IMMEDIATE",
    },
}
if env.bool("TRANSACTION_POOLER", False):
    # Between transactions, a pooler like PgBouncer gives the connection to another client: cursors
    # and prepared statements do not survive that.
    tuned["DISABLE_SERVER_SIDE_CURSORS"] = True
    tuned["postgresql"] |= {"prepare_threshold": None, "server_side_binding": False}
DATABASES = {
    "default": database(database_url, **tuned),
    # A second one: "archive": database(env.str("ARCHIVE_URL"), **tuned),
}

# The default of django-redis, which looks it up after each request: a missing setting is slower.
DJANGO_REDIS_CLOSE_CONNECTION = False
# Without the cache the site is slower, not broken: log the failure and go on.
DJANGO_REDIS_IGNORE_EXCEPTIONS = True
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True

# Replacements for slow parts of Django: see djfast.engine. False turns all of them off, a set like
# {"urls", "loops"} turns on just these.
DJFAST_ENGINE = True

MIDDLEWARE = [
    # First, so that a probe needs neither HTTPS nor a known Host.
    "djfast.health.HealthMiddleware",
    # A chunked body arrives empty under WSGI: answer 411 instead of processing it.
    "djfast.bodies.LengthRequiredMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    # compression: zstd, brotli or gzip, with padding against BREACH. Above conditional GET: below it,
    # the padding would change the ETag of each response, and no 304 would ever be sent.
    "djfast.compression.HttpCompressionMiddleware",
    # conditional GET: a page that the browser already has is answered with 304 and no body.
    "django.middleware.http.ConditionalGetMiddleware",
    # page cache: stores responses of views with @cached_page, for anonymous visitors only.
    "djfast.cache.pages.PageCacheMiddleware",
    *(["debug_toolbar.middleware.DebugToolbarMiddleware"] if toolbar else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    # cached user: off, because a change that sends no signal shows after up to a minute. To save a
    # query on each page of a signed-in visitor, replace the next line with
    # "djfast.cache.users.CachedUserMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *(
        ["zeal.middleware.zeal_middleware", "djfast.testing.n_plus_one.NameMiddleware"]
        if DEBUG
        else []
    ),
]

# cached sessions: Django's default makes a query on each request of a signed-in visitor. These are
# read from the cache and also stored in the database, so losing the cache logs nobody out.
SESSION_CACHE_ALIAS = "sessions"
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

SILENCED_SYSTEM_CHECKS: list[str] = []  # ids of speed defaults that are off on purpose

# static files: a name contains the hash of the content, so that a browser may cache it for ever, with
# a brotli copy beside it. Development uses plain names: hashes need `make build`.
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "compressor.finders.CompressorFinder",
]
STATIC_URL = "/static/"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# A hash in the name: Django's (app.0123456789ab.css) and the bundles' (output.0123456789ab.css).
WHITENOISE_IMMUTABLE_FILE_TEST = r"^.+[.-][0-9a-f]{12}\..+$"

TEMPLATES: list[dict[str, Any]] = [
    # {% if cookiecutter.template_engine == "jinja2" %}
    {
        # jinja2: renders the project's own pages; templates that it does not find are Django's.
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.csp",
                "core.context.site",
            ],
            "environment": "config.jinja2.environment",
            "extensions": [
                "compressor.contrib.jinja2ext.CompressorExtension",
                "djfast.cache.fragments_jinja2.Fragments",
            ],
        },
    },
    # {% endif %}
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # {% if cookiecutter.template_engine == "django" %}
        "DIRS": [BASE_DIR / "templates"],
        # {% endif %}
        # cached template loader: Django uses it as long as OPTIONS has no "loaders".
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": [
                # compiled urls: Django's `url` tag interprets a pattern for each link of each page.
                "djfast.engine.urls",
                # compiled loops: Django's `for` tag interprets its body for each row.
                "djfast.engine.loops",
                # prepared formats: Django's filters parse a format for each date and price.
                "djfast.engine.formats",
                # fragments: `cache_each` makes one small query and renders the rows that changed.
                "djfast.cache.fragments",
            ],
            "context_processors": [
                "django.template.context_processors.csp",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.context.site",
            ],
        },
    },
]

# translation off: True costs a lookup per string. Set it to True with the first translation.
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

# Argon2 resists graphics cards; the other two verify passwords that were stored before.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]

# Only this site's own files run: a script that was injected into a page does not. Development has the
# same policy, so its browser console shows what production blocks. A nonce is part of it where a page,
# like those of the admin, uses one.
SECURE_CSP = {
    "base-uri": [CSP.NONE],
    "default-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "img-src": [CSP.SELF, "data:"],
    "object-src": [CSP.NONE],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
}

SECURE_HSTS_INCLUDE_SUBDOMAINS = https  # subdomains that use plain HTTP cannot be reached
SECURE_HSTS_PRELOAD = https
# One hour, so that a mistake with a certificate is soon over; a year once HTTPS has settled.
SECURE_HSTS_SECONDS = 3600 if https else 0
SECURE_SSL_REDIRECT = https
SESSION_COOKIE_SECURE = https

# 3. The rest ------------------------------------------------------------------------------------

# {% if cookiecutter.interface == "asgi" %}
ASGI_APPLICATION = "config.asgi.application"  # for djfast.server

# {% endif %}
AUTH_USER_MODEL = "core.User"  # from the first migration on: it is hard to replace later

DEBUG_TOOLBAR_CONFIG: dict[str, Any] = {"SHOW_COLLAPSED": True}  # one button until it is needed

DEBUG_TOOLBAR_PANELS = [
    "djfast.toolbar.SpeedPanel",  # every speed default and its state in this process
    "debug_toolbar.panels.history.HistoryPanel",
    "debug_toolbar.panels.timer.TimerPanel",
    "debug_toolbar.panels.headers.HeadersPanel",
    "debug_toolbar.panels.request.RequestPanel",
    "debug_toolbar.panels.sql.SQLPanel",
    "debug_toolbar.panels.cache.CachePanel",
    "debug_toolbar.panels.templates.TemplatesPanel",
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
    "djfast",
    *(["zeal"] if DEBUG else []),
    *(["debug_toolbar"] if toolbar else []),
]

INTERNAL_IPS = ["127.0.0.1", "::1"]  # who sees the debug toolbar

# Django's default only mails the errors of a production process, and to nobody while ADMINS is empty.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django": {"level": "INFO"}},  # in place of Django's own handlers
}

# Django's default is port 25 of this machine, without a time limit.
MAILERS: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if DEBUG
    else {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": smtp(env.str("EMAIL_URL", "") or "smtp://localhost:25"),
    }
}

# Uploads; README.md has the lines for object storage.
MEDIA_ROOT = media_root() if testing else BASE_DIR / (env.str("MEDIA_ROOT", "") or "media")
MEDIA_URL = "/media/"

ROOT_URLCONF = "config.urls"

# {# The formatter would break a long line, and change the quotes of a name that has some. #}
# {% if cookiecutter.project_name | length > 40 or '"' in cookiecutter.project_name %}
SITE_NAME = "{{ cookiecutter.__site_name }}"  # fmt: skip
# {% else %}
SITE_NAME = "{{ cookiecutter.__site_name }}"
# {% endif %}

TIME_ZONE = "UTC"  # of times as they are shown and logged; Django's default is Chicago

# {% if cookiecutter.interface == "wsgi" %}
WSGI_APPLICATION = "config.wsgi.application"

# {% endif %}
# A test with an N+1 query fails. Development logs it instead: an exception would also stop pages of
# third-party packages.
ZEAL_RAISE = testing
