"""Caching: the Redis client, two-tier reads, fragments, pages, and the signed-in user."""
