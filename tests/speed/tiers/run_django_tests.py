"""Django's own tests of a cache, run on django-redis with the client class that is named.

    python run_django_tests.py FOLDER CLIENT_CLASS PREFIX

FOLDER is the `tests` folder of Django's source distribution; the project is the working directory.
"""

import os
import sys
import unittest
from typing import Any

folder, client, prefix = sys.argv[1:]
sys.path[:0] = [folder, os.getcwd()]  # noqa: PTH109 - a string

from django.conf import settings  # noqa: E402

location = os.environ["REDIS_URL"]
settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["cache"],
    ROOT_URLCONF="urls",
    SECRET_KEY="x",
    USE_TZ=False,
)
import django  # noqa: E402

django.setup()
from cache.tests import BaseCacheTests, caches_setting_for_tests  # type: ignore[import-not-found]  # noqa: E402
from django.test import TestCase, override_settings  # noqa: E402
from django.test.utils import get_runner, setup_test_environment  # noqa: E402

base: dict[str, Any] = {
    "BACKEND": "django_redis.cache.RedisCache",
    "LOCATION": location,
    "OPTIONS": {"CLIENT_CLASS": client},
}


def with_prefix(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: it | {"KEY_PREFIX": f"{prefix}-{it.get('KEY_PREFIX', 'none')}"}
        for name, it in given.items()
    }


@override_settings(CACHES=with_prefix(caches_setting_for_tests(base=base)))
class Tests(BaseCacheTests, TestCase):  # type: ignore[misc]
    pass


setup_test_environment()
runner = get_runner(settings)(verbosity=0)
databases = runner.setup_databases()
result = unittest.TextTestRunner(verbosity=0).run(
    unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
)
print(f"ran {result.testsRun}, skipped {len(result.skipped)}")
for case, _ in [*result.failures, *result.errors]:
    print("failed", case.id().rpartition(".")[2])
