"""Facts that the Redis server reports."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 3


def read_server(url: str) -> dict[str, Any]:
    """Return Redis's answer to INFO, by name, within 3 seconds.

    Raises:
        ValueError: the URL cannot be read.
        redis.RedisError: the server cannot be reached, or refuses.
    """
    with open_client(url) as client:
        facts: dict[str, Any] = client.info()
        return facts


def open_client(url: str) -> redis.Redis:
    """Return a client that waits at most 3 seconds for each answer, not connected yet.

    Raises:
        ValueError: the URL cannot be read.
    """
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
