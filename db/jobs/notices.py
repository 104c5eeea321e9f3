"""Notices: PostgreSQL tells those who listen which job has changed, when the change is committed.

A notice has no authority: readers that miss one find the change when they poll.
"""

from __future__ import annotations

CHANNEL = "provisionerd_jobs"
NOTIFY = f"pg_notify('{CHANNEL}', {{id}}::text)"
"""For RETURNING. Notices of one transaction about the same job are sent once."""

QUEUES = "provisionerd_queues"
"""Where ``enqueue_build`` of PostgreSQL sends the name of a queue that has work."""
