"""Enqueueing workspace builds. Callers import it: it loads no tables, and no driver.

The rules are functions in PostgreSQL, for callers of other languages, too
(``db/schema/migrations/functions``). Here, values are opened and sealed, which needs keys that
PostgreSQL does not have.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from db.catalog.sources import Request, call, open_source, sealed_values
from db.engine import sql
from db.parameters.limits import passable
from db.refusals import refusing
from db.schema.enums import BuildReason, Transition
from db.schema.place import schema_of_functions
from db.sealing.keyring import keyring_of
from db.sealing.places import parameter_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_COLUMNS = "build_id, job_id, workspace_id, build_number, queue"


@dataclass(frozen=True, kw_only=True)
class EnqueuedBuild:
    """An enqueued build, with what the caller needs to follow its job and to ring its queue."""

    build_id: uuid.UUID
    job_id: uuid.UUID
    workspace_id: uuid.UUID
    build_number: int
    queue: str


def insert_build(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: uuid.UUID | str | None = None,
    reason: BuildReason = BuildReason.INITIATOR,
    trace_metadata: dict[str, Any] | None = None,
) -> EnqueuedBuild:
    """Insert a pending job and its build in the caller's transaction.

    Args:
        initiator_id: the user who asked for the build; None means the workspace's owner. Builds of
            the prebuilds user wait behind builds of people.
        template_version_id: the version to build from; None means that of the last build that
            entered apply or, if there is none, the template's active version.
        parameters: values for this build; the others stay as in the last build that entered
            apply, or are the template's defaults.
        preset: a preset of the version, by its id or its name; its values take precedence.

    Raises:
        NotFoundError: there is no such workspace, it was deleted, or it has no usable version.
        BuildActiveError: the workspace has an unfinished build.
        OwnerInactiveError: it is a start, and the workspace's owner is not active.
        LimitReachedError: it is a start, and the owner has enough unfinished builds.
        CircuitOpenError: it is a start, and the last starts of the version failed.
        ActiveVersionRequiredError: the template requires its active version.
        ConflictError: the template version cannot be built from.
        ParameterValidationError: the values are not allowed; a delete never fails by them.
        InvalidError: the version has no such preset, or a workspace tag cannot be evaluated.
        SealedError: a value that a start needs is sealed, and does not open.
    """
    request = {
        "workspace_id": str(workspace_id),
        "transition": transition.value,
        "parameters": passable(parameters or {}, transition),
        "preset": str(preset) if preset else None,
        "initiator_id": str(initiator_id) if initiator_id else None,
        "template_version_id": str(template_version_id) if template_version_id else None,
        "reason": reason.value,
        "trace_metadata": trace_metadata or None,
    }
    with refusing(session):
        if keyring_of(session).keys:
            return _insert_sealed(session, request, workspace_id, transition)
        return _insert(session, request)


def _insert(session: Session, request: Request) -> EnqueuedBuild:
    row = session.execute(
        sql(f"""
            SELECT {_COLUMNS}
            FROM {schema_of_functions()}.enqueue_build(
                CAST(:workspace_id AS uuid), :transition, CAST(:parameters AS jsonb), :preset,
                CAST(:initiator_id AS uuid), CAST(:template_version_id AS uuid), :reason,
                CAST(:trace_metadata AS jsonb), notify => false)
        """),  # noqa: S608 - made of constants
        {
            **request,
            "parameters": json.dumps(request["parameters"]),
            "trace_metadata": json.dumps(request["trace_metadata"]),
        },
    ).one()
    return EnqueuedBuild(**row._asdict())


def _insert_sealed(
    session: Session, request: Request, workspace_id: uuid.UUID, transition: Transition
) -> EnqueuedBuild:
    """Insert a build in the steps of ``enqueue_build``; values are opened and sealed between."""
    stored = call(session, "begin_build", request)
    source = open_source(session, stored, owner=workspace_id, transition=transition)
    decided = call(session, "decide_build", request, source)
    build_id = uuid.uuid4()
    place_of = partial(parameter_of, workspace_id)
    values = sealed_values(session, source, decided["values"], place_of, row=build_id)
    row = session.execute(
        sql(f"""
            SELECT {_COLUMNS}
            FROM {schema_of_functions()}.insert_build(
                :build_id, CAST(:request AS jsonb), CAST(:decided AS jsonb),
                CAST(:stored AS jsonb))
        """),  # noqa: S608 - made of constants
        {
            "build_id": build_id,
            "request": json.dumps(request),
            "decided": json.dumps(decided),
            "stored": json.dumps(values),
        },
    ).one()
    return EnqueuedBuild(**row._asdict())
