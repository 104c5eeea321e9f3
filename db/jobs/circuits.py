"""Circuits: counts the failures in a row of a template version's starts, and opens at enough.

Each version has a circuit for each reason of failure. While one is open, ``enqueue_build`` refuses
more starts of the version, and starts that wait already fail when they are claimed; this saves what
they would cost. When its time is up, one start is let through: a success closes all circuits of
the version, and a failure opens them again, for longer. Stops and deletes are never refused.

Only those starts count that would be refused: automatic ones, and those of people if a limit is
set for them (``db.catalog.limits``). Failures that say nothing about the version never count.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.leases import Lease
from db.jobs.moves import Moved, note_circuits
from db.refusals import refusing
from db.schema.enums import FailureReason, JobStatus, Transition
from db.schema.place import schema_of_functions

COUNTED = frozenset(
    {
        FailureReason.ARCHIVE,
        FailureReason.COST,
        FailureReason.DEADLINE,
        FailureReason.PARAMETERS,
        FailureReason.TEMPLATE,
        FailureReason.TERRAFORM,
    }
)
"""The failures that say something about the version: not those of a quota, a worker, a key, a
hook or a cancel."""
SHORTEST = timedelta(minutes=1)
"""How long a circuit is open at first; each further time twice as long."""
LONGEST = timedelta(hours=1)

# Only what would be refused counts.
_COUNTED_VERSION = """
    SELECT template_version_id
    FROM workspace_builds
    WHERE job_id = :job_id
      AND {functions}.failures_allowed(
              {functions}.is_automatic(initiator_id, reason::text)) IS NOT NULL
"""
_FAILING = sql("""
    SELECT build.template_version_id
    FROM workspace_builds AS build
    JOIN circuits USING (template_version_id)
    WHERE build.job_id = :job_id
    LIMIT 1
""")
_ADMIT = """
    SELECT {functions}.admit_start(
        template_version_id, workspace_id, {functions}.is_automatic(initiator_id, reason::text))
    FROM workspace_builds
    WHERE job_id = :job_id
"""
# Counts end at 1000, so that they never overflow.
_COUNT = sql("""
    INSERT INTO circuits AS circuit (template_version_id, reason, last_job_id)
    SELECT build.template_version_id,
           coalesce(job.error_code, concat_ws(' in ', job.failure_reason, job.stage)), job.id
    FROM workspace_builds AS build
    JOIN provisioner_jobs AS job ON job.id = build.job_id
    WHERE build.job_id = :job_id
    ON CONFLICT (template_version_id, reason) DO UPDATE
    SET failures = least(circuit.failures + 1, 1000),
        last_job_id = excluded.last_job_id,
        last_failed_at = now()
""")
_OPEN = """
    UPDATE circuits
    SET openings = least(openings + 1, 1000),
        opened_at = coalesce(opened_at, now()),
        open_until = now() + least(:shortest * power(2, least(openings, 30)), :longest),
        trial_workspace_id = NULL
    WHERE template_version_id = :version_id
      AND failures >= least({functions}.failures_allowed(true),
                            {functions}.failures_allowed(false))
      AND (open_until IS NULL OR open_until <= now())
    RETURNING reason
"""
_CLOSE = sql("DELETE FROM circuits WHERE template_version_id = :version_id RETURNING reason")


def settle_circuits(session: Session, moved: Moved) -> None:
    """Count the failure of a start, or close the circuits of its version, in its transaction."""
    if moved.transition is not Transition.START:
        return
    if moved.move.after is JobStatus.SUCCEEDED:
        _succeeded(session, moved)
    elif moved.move.after is JobStatus.FAILED and moved.failure_reason in COUNTED:
        _failed(session, moved)


def check_circuits(session: Session, lease: Lease) -> None:
    """Let a claimed start run only if the circuits of its version allow it by now.

    Raises:
        CircuitOpenError: one was opened while the job waited.
    """
    with refusing(session):
        session.execute(
            sql(_ADMIT.format(functions=schema_of_functions())), {"job_id": lease.job_id}
        )


def close_circuits(session: Session, version_id: uuid.UUID) -> list[str]:
    """Forget the failures of a version; return the reasons of its circuits."""
    _take_turn(session, version_id)
    return list(session.scalars(_CLOSE, {"version_id": version_id}))


def _succeeded(session: Session, moved: Moved) -> None:
    # Nearly always there is no circuit, and nothing to lock.
    version_id = session.scalars(_FAILING, {"job_id": moved.job_id}).one_or_none()
    if version_id is not None:
        note_circuits(session, moved, closed=close_circuits(session, version_id))


def _failed(session: Session, moved: Moved) -> None:
    values, functions = {"job_id": moved.job_id}, schema_of_functions()
    found = session.scalars(sql(_COUNTED_VERSION.format(functions=functions)), values)
    version_id = found.one_or_none()
    if version_id is None:
        return
    _take_turn(session, version_id)
    session.execute(_COUNT, values)
    opened = session.scalars(
        sql(_OPEN.format(functions=functions)),
        {"version_id": version_id, "shortest": SHORTEST, "longest": LONGEST},
    )
    note_circuits(session, moved, opened=opened.all())


def _take_turn(session: Session, version_id: uuid.UUID) -> None:
    """Let transactions change the circuits of a version one after the other."""
    session.execute(
        sql(f"SELECT pg_advisory_xact_lock({schema_of_functions()}.circuits_key(:version_id))"),
        {"version_id": version_id},
    )
