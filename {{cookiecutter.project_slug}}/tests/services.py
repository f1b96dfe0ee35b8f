"""pytest plugin: start PostgreSQL and Valkey, as manage.py does, before the settings are read."""

from collections.abc import Generator

import pytest
from environs import Env

from config import services


@pytest.hookimpl(wrapper=True)  # around pytest-django, which reads the settings in this hook
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Set DATABASE_URL and REDIS_URL, which processes of pytest-xdist inherit."""
    options = early_config.known_args_namespace
    if not (options.help or options.version or options.collectonly):
        env = Env()
        env.read_env(services.PROJECT / ".env", recurse=False)
        if env.bool("DEBUG", False):
            services.start()
    return (yield)
