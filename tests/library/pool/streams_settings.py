"""The project's settings, with views that use threads or stay open."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "streams_urls"
