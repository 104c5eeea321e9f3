"""What ``provisionerd state list`` shows: stored states, and orphaned ones of this host."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import click

from cli.printing import JSON, Columns, print_json, print_rows
from db.reads.states import BuildOfJob, StateListing, state_label
from db.schema.enums import JobStatus, Transition
from provisioner.host.orphans import OrphanedState


@dataclass(frozen=True, kw_only=True)
class StateRow:
    """A line of ``state list``: a stored state, or an orphaned one."""

    workspace: str | None  #: OWNER/NAME; None: the job of an orphaned state was pruned
    state: str | None  #: what ``--build`` takes; None for an orphaned state
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
    path: str | None  #: of an orphaned state


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
    """Print the states of a workspace and those orphaned here; ``stored`` None: only these."""
    if output == JSON:
        print_json([asdict(row) for row in (*(stored or ()), *orphaned)])
        return
    if stored is not None:
        print_rows(stored, COLUMNS, output=output, kind="states")
        if orphaned:
            click.echo("\nOrphaned on this host (`provisionerd state adopt JOB` stores one):")
    if orphaned or stored is None:
        print_rows(orphaned, ORPHAN_COLUMNS, output=output, kind="orphaned states on this host")


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


def orphan_row(orphan: OrphanedState, build: BuildOfJob | None) -> StateRow:
    """Return the line of an orphaned state; ``build`` None: it was pruned."""
    return StateRow(
        workspace=build.workspace if build else None,
        state=None,
        build_number=build.build_number if build else None,
        kind="orphaned",
        transition=build.transition if build else None,
        status=build.status if build else None,
        lineage=orphan.state.lineage if orphan.state else None,
        serial=orphan.state.serial if orphan.state else None,
        size=orphan.size,
        stored_at=orphan.put_aside_at,
        is_current=False,
        job_id=orphan.job_id,
        path=str(orphan.path),
    )
