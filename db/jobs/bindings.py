"""Which jobs a worker may run: of its queues, unless paused, and of organizations it is bound to.

The row of the worker decides, not a doorbell or the process. A worker that is bound to no
organization runs the jobs of all.
"""

from __future__ import annotations

# Each subselect runs once for the statement. Without a row nothing is bound.
SERVED_BY_WORKER = """
    organization_id = ANY(coalesce(
        (SELECT nullif(organizations, '{}') FROM provisioner_daemons WHERE id = :worker_id),
        ARRAY[organization_id]
    ))
"""
"""Whether the worker ``:worker_id`` runs jobs of the organization of a row of jobs."""

QUEUE_OF_WORKER = """
    :queue = ANY(coalesce(
        (SELECT CASE WHEN drain_requested_at IS NULL THEN queues ELSE '{}' END
         FROM provisioner_daemons
         WHERE id = :worker_id),
        ARRAY[CAST(:queue AS text)]
    ))
"""
"""Whether the worker ``:worker_id`` serves the queue ``:queue``, and is not drained."""

NOT_PAUSED = "NOT EXISTS (SELECT 1 FROM queue_pauses WHERE queue = {queue} AND resumed_at IS NULL)"
"""Whether a queue is not paused."""
