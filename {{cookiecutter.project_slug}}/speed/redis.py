"""Redis cache: what keeps aliases apart on one server, and bounds the life of a value."""

from itertools import batched
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client import DefaultClient
from django_redis.client.default import glob_escape
from django_redis.exceptions import ConnectionInterrupted
from redis.connection import parse_url
from redis.exceptions import RedisError

BATCH = 1000  # keys per round trip: few trips, and none that keeps the server busy for long


class PrefixClient(DefaultClient):
    """A django-redis client whose `clear()` deletes only the keys of its `KEY_PREFIX`.

    The stock client sends FLUSHDB: on a shared database that also empties the sessions, the queue or
    another site. The option `MAX_TIMEOUT` is the longest life, in seconds, that a value is set for.
    """

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, *args: Any, **options: Any
    ) -> bool:
        """Set a value for `timeout` seconds, `MAX_TIMEOUT` at most."""
        if limit := self._options.get("MAX_TIMEOUT"):
            wanted = self._backend.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
            timeout = limit if wanted is None else min(wanted, limit)
        return bool(super().set(key, value, timeout, *args, **options))

    def clear(self, client: Any = None) -> None:
        """Delete every key of this alias, of all versions.

        Raises:
            ConnectionInterrupted: Redis cannot be reached; the backend ignores or raises it.
        """
        client = client or self.get_client(write=True)
        pattern = f"{glob_escape(self._backend.key_prefix)}:*"
        try:
            for keys in batched(client.scan_iter(match=pattern, count=BATCH), BATCH):
                client.unlink(*keys)
        except (RedisError, OSError) as error:
            raise ConnectionInterrupted(connection=client) from error


def database_number(url: str, offset: int) -> str:
    """Return `url` with `offset` added to its database number, all else kept.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with the number in the path or in `?db=`.
        offset: how many databases further on.

    Raises:
        ValueError: redis-py cannot read it.
    """
    number = parse_url(url).get("db", 0) + offset
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | {"db": number}
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(query)}"
