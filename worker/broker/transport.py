"""Transport options of Celery's messages in Redis, the same for callers and for workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kombu.entity import Queue

SOCKET_TIMEOUT_S = 2
KEY_PREFIX = "provisionerd:"
# Longer than any build. A message that is delivered again finds nothing to claim; this saves it.
VISIBILITY_TIMEOUT_S = 12 * 3600
TRANSPORT_OPTIONS: Mapping[str, Any] = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    # One list per queue: SQL decides the order, not the broker.
    "priority_steps": [0],
    # Publishing must not hang when Redis accepts connections but does not answer.
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "global_keyprefix": KEY_PREFIX,
    # A caller does not wait for a Redis that is away; kombu would retry for 6 s. Celery retries
    # a worker's own connection without limit (see ``worker.app``).
    "max_retries": 0,
}


def make_queues(names: Sequence[str]) -> list[Queue]:
    """Return the queues that a worker consumes from."""
    return [Queue(name) for name in names]  # type: ignore[no-untyped-call]
