"""How far readers count."""

from __future__ import annotations

QUEUE_COUNT_LIMIT = 10_000
"""The jobs of a queue are counted up to this number (see ``db.reads.jobs``)."""
