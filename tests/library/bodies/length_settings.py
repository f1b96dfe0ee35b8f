"""The project's settings, with a view that repeats what it gets."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "length_urls"
WSGI_APPLICATION = "length_applications.wsgi"
