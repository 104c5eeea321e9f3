"""Deletes expired logs, states and jobs every few hours, in one worker of the deployment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from db.engine import Database
from db.jobs.retention import Pruned, Retention, is_pruner, prune

log = structlog.get_logger("worker")


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """Prunes finished jobs, one pass at a time."""

    database: Database
    worker_id: uuid.UUID
    retention: Retention
    may_go_on: Callable[[], bool]

    def prune(self) -> Pruned | None:
        """Delete what has expired; return None if another worker is the pruner."""
        with self.database.begin() as session:
            if not is_pruner(session, worker_id=self.worker_id):
                return None
        pruned = prune(self.database, self.retention, may_go_on=self.may_go_on)
        log.info(
            "prune.ended",
            log_lines=pruned.log_lines,
            states=pruned.states,
            jobs=pruned.jobs,
            audit_logs=pruned.audit_logs,
            chats=pruned.chats,
            complete=pruned.is_complete,
        )
        return pruned
