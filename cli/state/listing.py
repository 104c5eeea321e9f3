"""The output of ``provisionerd state list``: stored states, and orphaned states of this host."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import click

from cli.printing import DOCUMENTS, TABLE, print_document, print_rows
from cli.table import Columns
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


COLUMNS: Columns[StateRow] = {
    "BUILD": lambda row: row.state or row.build_number,
    "KIND": lambda row: "current" if row.is_current else row.kind,
    "TRANSITION": lambda row: row.transition,
    "STATUS": lambda row: row.status,
    "SERIAL": lambda row: row.serial,
    "SIZE": lambda row: row.size,
    "STORED": lambda row: row.stored_at,
    "LINEAGE": lambda row: row.lineage,
}
ORPHAN_COLUMNS: Columns[StateRow] = {
    "WORKSPACE": lambda row: row.workspace,
    "BUILD": lambda row: row.build_number,
    "JOB": lambda row: row.job_id,
    "SERIAL": lambda row: row.serial,
    "SIZE": lambda row: row.size,
    "PUT ASIDE": lambda row: row.stored_at,
    "FILE": lambda row: row.path,
}


def print_list(
    stored: Sequence[StateRow] | None, orphaned: Sequence[StateRow], *, output: str
) -> None:
    """Print the states of a workspace, and the orphaned states.

    Args:
        stored: the states of the workspace; None if no workspace was given.
    """
    if output in DOCUMENTS:
        print_document([asdict(row) for row in (*(stored or ()), *orphaned)], output)
    elif stored is None:
        _print_orphans(orphaned)
    else:
        print_rows(stored, COLUMNS, output=output, kind="states")
        if orphaned:
            click.echo("\nOrphaned on this host (`provisionerd state adopt JOB` stores one):")
            _print_orphans(orphaned)


def _print_orphans(orphaned: Sequence[StateRow]) -> None:
    print_rows(orphaned, ORPHAN_COLUMNS, output=TABLE, kind="orphaned states on this host")


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
