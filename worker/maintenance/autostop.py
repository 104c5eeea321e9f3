"""Stops workspaces whose deadline has passed, and tries a failed stop once more."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from db.catalog.deadlines import DueWorkspace, forget_deadline, lock_due, postpone
from db.engine import Database
from db.errors import RequestError
from db.schema.enums import BuildReason, Transition
from worker.broker.ringer import Ring
from worker.enqueue import enqueue_build

log = structlog.get_logger("worker")

BUSY_PAUSE = timedelta(minutes=1)
"""How long an active build of a due workspace is left to itself."""
REFUSED_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Autostop:
    """Enqueues stops, one transaction for each; the workers share the work.

    Args:
        retry_after: how long after its failure a stop is tried once more; None: never.
    """

    database: Database
    ring: Ring
    retry_after: timedelta | None

    def stop_due(self) -> int:
        """Enqueue a stop of every workspace that is due; return how many were enqueued."""
        stopped = 0
        while (found := self._handle_one()) is not None:
            stopped += found
        return stopped

    def _handle_one(self) -> bool | None:
        """Return whether a stop was enqueued; None if no workspace is due."""
        due: DueWorkspace | None = None
        try:
            with self.database.begin() as session:
                due = lock_due(session, retry_after=self.retry_after)
                if due is None:
                    return None
                return self._handle(session, due)
        except RequestError as error:
            assert due is not None, "only an enqueueing is refused"
            self._refused(due.id, error)
            return False

    def _handle(self, session: Session, due: DueWorkspace) -> bool:
        if due.is_busy:
            postpone(session, due.id, BUSY_PAUSE)
            return False
        forget_deadline(session, due.id)
        if not due.must_stop:
            return False
        build = enqueue_build(
            session,
            workspace_id=due.id,
            transition=Transition.STOP,
            reason=BuildReason.AUTOSTOP,
            ring=self.ring,
        )
        log.info("workspace.autostop", workspace_id=str(due.id), job_id=str(build.job_id))
        return True

    def _refused(self, workspace_id: uuid.UUID, error: RequestError) -> None:
        log.warning("workspace.autostop_refused", workspace_id=str(workspace_id), error=str(error))
        with self.database.begin() as session:
            postpone(session, workspace_id, REFUSED_PAUSE)
