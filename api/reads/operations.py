"""What operators look at: workers, queues, limits and the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from api.caller import Right
from api.reads.asking import USUAL_ROWS, Read, RightMissingError, RowList, Viewer, sight_by_right
from db.catalog.limits import DEFAULTS, read_limits
from db.reads.audit import AuditListing, list_audit_logs
from db.reads.circuits import CircuitListing, list_circuits
from db.reads.queues import QueueDepth, queue_depths
from db.reads.workers import WorkerListing, list_workers

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class WorkerList(RowList[WorkerListing]):
    """List the workers that were ever registered, the most recently seen first."""

    path = "/workers"
    rows = staticmethod(list_workers)
    right = Right.READ_JOBS
    refusal = "only template admins see the workers"


@dataclass(frozen=True, kw_only=True)
class QueueList(Read[list[QueueDepth]]):
    """List the queues that have waiting jobs or live workers, or are paused."""

    path = "/queues"
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[QueueDepth]:
        """Return the queues by name."""
        if not viewer.may_everywhere(Right.READ_JOBS):
            raise RightMissingError("only template admins of the whole site see the queues")
        return queue_depths(session)[: self.limit]


class CircuitList(RowList[CircuitListing]):
    """List the template versions whose last starts failed, with the reason."""

    path = "/circuits"
    rows = staticmethod(list_circuits)
    right = Right.READ_TEMPLATES


@dataclass(frozen=True, kw_only=True)
class LimitValue:
    """A limit, and what it is unless somebody changes it."""

    name: str
    allowed: int | None  #: None: any number
    default: int | None


@dataclass(frozen=True, kw_only=True)
class LimitList(Read[list[LimitValue]]):
    """List the limits on builds and workspaces, which hold for every user."""

    path = "/limits"

    def answer(self, session: Session, viewer: Viewer) -> list[LimitValue]:  # noqa: ARG002
        """Return the limits."""
        return [
            LimitValue(name=limit.value, allowed=allowed, default=DEFAULTS[limit])
            for limit, allowed in read_limits(session).items()
        ]


@dataclass(frozen=True, kw_only=True)
class AuditList(Read[list[AuditListing]]):
    """List who changed what by hand, the last change first."""

    path = "/audit"
    username: str | None = None
    action: str | None = None
    target: str | None = None
    within_s: float | None = None  #: only changes that are not older, in seconds
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[AuditListing]:
        """Return the changes that match all that is given."""
        sight = sight_by_right(viewer, Right.READ_AUDIT, "only auditors see the audit log")
        return list_audit_logs(
            session,
            username=self.username,
            action=self.action,
            target=self.target,
            within=None if self.within_s is None else timedelta(seconds=self.within_s),
            sight=sight,
            limit=self.limit,
        )
