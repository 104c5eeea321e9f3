"""The errors that mean that the broker is away. This is the only list of them."""

from __future__ import annotations

from kombu.exceptions import OperationalError
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

__all__ = ["BROKER_AWAY", "BROKER_ERRORS", "AuthenticationError", "NoPermissionError"]

BROKER_ERRORS = (OperationalError, RedisError)
"""Errors that Celery and the Redis client raise when the broker cannot be used."""

BROKER_AWAY = (*BROKER_ERRORS, OSError)
"""The same, and the errors of the socket itself."""
