"""How Celery's messages travel through Redis: the same for those who ring and for workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kombu.entity import Queue

SOCKET_TIMEOUT_S = 2
# Longer than any build: a message that comes again finds nothing to claim, but it need not come.
VISIBILITY_TIMEOUT_S = 12 * 3600
TRANSPORT_OPTIONS: Mapping[str, Any] = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    # One list per queue: order is decided by SQL, not by the broker.
    "priority_steps": [0],
    # A Redis that is there but does not answer: publishing must not hang.
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "global_keyprefix": "provisionerd:",
    # A caller that rings does not wait for a Redis that is away; kombu would try for 6 s. A
    # worker's own connection is tried by Celery, without an end (see ``worker.app``).
    "max_retries": 0,
}


def make_queues(names: Sequence[str]) -> list[Queue]:
    """Return the queues that a worker consumes from."""
    return [Queue(name) for name in names]  # type: ignore[no-untyped-call]
