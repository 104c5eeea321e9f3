"""Which worker may claim which job, as SQL."""

from __future__ import annotations

SERVES = """(
    job.queue = ANY(worker.queues)
    AND job.provisioner = ANY(worker.provisioners)
    AND (cardinality(worker.organizations) = 0 OR job.organization_id = ANY(worker.organizations))
)"""
"""Whether the row ``worker``, of workers or of live ones, may claim the row ``job``."""
