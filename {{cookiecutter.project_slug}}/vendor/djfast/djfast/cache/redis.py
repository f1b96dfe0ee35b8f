"""Redis client for aliases that share a server: `clear()` by prefix, and a limit for timeouts."""

from itertools import batched
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client import DefaultClient
from django_redis.client.default import glob_escape
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

BATCH = 1000  # keys per round trip: few round trips, none of which occupies the server for long


class PrefixClient(DefaultClient):
    """A django-redis client whose `clear()` deletes only the keys of its `KEY_PREFIX`.

    The default client sends FLUSHDB, which also deletes what others have stored in that database:
    sessions, a queue, another site's cache.

    Options:
        MAX_TIMEOUT: the longest timeout in seconds that a value is stored with; default: no limit.
    """

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, *args: Any, **options: Any
    ) -> bool:
        """Store a value for `timeout` seconds, limited to `MAX_TIMEOUT`."""
        if limit := self._options.get("MAX_TIMEOUT"):
            wanted = self._backend.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
            timeout = limit if wanted is None else min(wanted, limit)
        return bool(super().set(key, value, timeout, *args, **options))

    def clear(self, client: Any = None) -> None:
        """Delete every key of this alias, in all versions.

        Raises:
            ConnectionInterrupted: Redis is unreachable. The backend ignores it or raises its cause,
                by the setting DJANGO_REDIS_IGNORE_EXCEPTIONS.
        """
        client = client or self.get_client(write=True)
        pattern = f"{glob_escape(self._backend.key_prefix)}:*"
        try:
            for keys in batched(client.scan_iter(match=pattern, count=BATCH), BATCH):
                client.unlink(*keys)
        except (RedisError, OSError) as error:
            raise ConnectionInterrupted(connection=client) from error
