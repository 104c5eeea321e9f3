"""Optional quota figures for a refusal; they never delay or replace it."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Future

import structlog
from sqlalchemy.orm import Session

from chattool.context import OwnerContext
from db.reads.builds import find_quota_decision
from db.reads.contract import WorkspaceQuota
from db.reads.server import limit_statements
from quota.details import get_workspace_quota

log = structlog.get_logger("chattool")


def look_up_figures(context: OwnerContext, build_id: uuid.UUID) -> WorkspaceQuota | None:
    """Return the figures of the build's refusal, or None if they cannot be read in time.

    Errors, including those of the owner's authorization, are only logged: the agent must get the
    refusal.
    """
    answer: Future[WorkspaceQuota] = Future()
    # A thread: a statement timeout does not limit the wait for a connection or for an external
    # role service. A daemon: a hung one must not keep the process from ending.
    threading.Thread(
        target=_answer, args=(answer, context, build_id), name="quota-figures", daemon=True
    ).start()
    try:
        return answer.result(timeout=context.settings.quota_timeout.total_seconds())
    except Exception as error:  # noqa: BLE001 - on any failure the figures are left out
        log.warning(
            "quota.lookup_failed",
            build_id=str(build_id),
            owner_id=str(context.owner_id),
            error=str(error) or type(error).__name__,
        )
        return None


def _answer(answer: Future[WorkspaceQuota], context: OwnerContext, build_id: uuid.UUID) -> None:
    try:
        with context.database.begin() as session:
            limit_statements(session, context.settings.quota_timeout)
            figures = _read(session, context, build_id)
    except Exception as error:  # noqa: BLE001 - ``answer.result`` raises it again
        answer.set_exception(error)
    else:
        answer.set_result(figures)


def _read(session: Session, context: OwnerContext, build_id: uuid.UUID) -> WorkspaceQuota:
    owner = context.authorize(session)
    # The figures of the decision cannot contradict it; the current figures could.
    return find_quota_decision(session, build_id) or get_workspace_quota(
        session, organization_id=context.organization_id, user_id=owner.id
    )
