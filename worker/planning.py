"""Asking what a start would do and cost, before anybody starts it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from sqlalchemy.orm import Session

from db.catalog.dryruns import EnqueuedDryRun, insert_dry_run
from db.catalog.sources import PlannedWorkspace
from worker.broker.ringer import Ring
from worker.enqueue import ring_after_commit


def enqueue_dry_run(
    session: Session,
    workspace: PlannedWorkspace,
    *,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: uuid.UUID | str | None = None,
    redis_url: str | None = None,
    ring: Ring | None = None,
) -> EnqueuedDryRun:
    """Enqueue a dry run of the workspace's next start in the caller's transaction.

    A worker plans the start; nothing is made, changed or charged. ``db.reads.dryruns`` returns
    what was found, ``quota.forecast`` what the quota says about its cost.

    Args:
        workspace: as ``new_workspace`` or ``existing_workspace`` of ``db.catalog.dryruns`` return.

    The other arguments and the exceptions are those of ``enqueue_build``.
    """
    run = insert_dry_run(
        session,
        workspace,
        initiator_id=initiator_id,
        template_version_id=template_version_id,
        parameters=parameters,
        preset=preset,
    )
    ring_after_commit(session, run.queue, redis_url=redis_url, ring=ring)
    return run
