"""The rows of ``provisionerd state list``: orphaned states of this host, and stored states."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from cli.listing import Kind
from cli.table import WIDE, Column, age
from db.reads.states import BuildOfJob, StateListing, state_label
from db.schema.enums import JobStatus, Transition
from provisioner.host.orphans import OrphanedState


@dataclass(frozen=True, kw_only=True)
class StateRow:
    """A line of ``state list``: a stored state, or an orphaned one."""

    workspace: str | None  #: OWNER/NAME; None if the job of an orphaned state was pruned
    state: str | None  #: the value for ``--build``; None for an orphaned state
    build_number: int | None
    kind: str  #: build, pushed, orphaned
    transition: Transition | None
    status: JobStatus | None
    lineage: str | None
    serial: int | None
    size: int | None
    stored_at: datetime | None
    is_current: bool
    job_id: uuid.UUID
    path: str | None  #: the file of an orphaned state


def _name(row: StateRow) -> object:
    """Return what `--build` takes for a stored state, and `state adopt` for an orphaned one."""
    return row.state or row.job_id


KIND: Kind[StateRow] = Kind(
    plural="states",
    columns={
        "WORKSPACE": Column(lambda row: row.workspace, 5),
        "BUILD": lambda row: row.state or row.build_number,
        "KIND": lambda row: "current" if row.is_current else row.kind,
        "TRANSITION": Column(lambda row: row.transition, 3),
        "STATUS": Column(lambda row: row.status, 2),
        "JOB": Column(lambda row: row.job_id, 1),
        "SERIAL": lambda row: row.serial,
        "SIZE": Column(lambda row: row.size, 4),
        "STORED": lambda row: age(row.stored_at),
        "STORED AT": Column(lambda row: row.stored_at, WIDE),
        "LINEAGE": Column(lambda row: row.lineage, 6),
        "FILE": Column(lambda row: row.path, WIDE),
    },
    name=_name,
)
ORPHANS = replace(KIND, plural="orphaned states on this host")


def stored_row(row: StateListing) -> StateRow:
    """Return the line of a stored state."""
    facts: Mapping[str, Any] = {
        name: value for name, value in asdict(row).items() if name != "position"
    }
    return StateRow(
        **facts,
        state=state_label(row.build_number, row.position),
        kind="pushed" if row.position else "build",
        path=None,
    )


def orphan_rows(
    orphans: Sequence[OrphanedState],
    builds: Mapping[uuid.UUID, BuildOfJob],
    *,
    workspace_id: uuid.UUID | None = None,
) -> list[StateRow]:
    """Return the lines of orphaned states.

    Args:
        builds: the builds of their jobs, without those that were pruned.
        workspace_id: only states of this workspace; all states if None.
    """
    if workspace_id:
        builds = {job: build for job, build in builds.items() if build.workspace_id == workspace_id}
        orphans = [orphan for orphan in orphans if orphan.job_id in builds]
    return [_orphan_row(orphan, builds.get(orphan.job_id)) for orphan in orphans]


def _orphan_row(orphan: OrphanedState, build: BuildOfJob | None) -> StateRow:
    row = StateRow(
        workspace=None,
        state=None,
        build_number=None,
        kind="orphaned",
        transition=None,
        status=None,
        lineage=orphan.state.lineage if orphan.state else None,
        serial=orphan.state.serial if orphan.state else None,
        size=orphan.size,
        stored_at=orphan.put_aside_at,
        is_current=False,
        job_id=orphan.job_id,
        path=str(orphan.path),
    )
    if build is None:  # it was pruned
        return row
    return replace(
        row,
        workspace=build.workspace,
        build_number=build.build_number,
        transition=build.transition,
        status=build.status,
    )
