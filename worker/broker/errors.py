"""Which errors mean that the broker is away. The one list of them."""

from __future__ import annotations

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

BROKER_ERRORS = (OperationalError, RedisError)
"""What Celery and the Redis client raise when the broker cannot be used."""

BROKER_AWAY = (*BROKER_ERRORS, OSError)
"""The same, with what the socket itself raises."""
