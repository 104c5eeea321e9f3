"""What a build leaves behind, written in the transaction that finishes its job."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert

from db.engine import Executor, sql
from db.enums import TimingStage, Transition
from db.models import ProvisionerJobTiming, WorkspaceResource, WorkspaceResourceMetadata
from db.states import State, replace_state
from db.texts import storable


@dataclass(frozen=True, kw_only=True)
class ResourceRow:
    """A managed resource, as stored."""

    type: str
    name: str
    daily_cost: int = 0
    module_path: str = ""
    instance_type: str | None = None
    hide: bool = False
    icon: str = ""
    metadata: Sequence[tuple[str, str | None, bool]] = ()  #: key, value, sensitive


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """A timing, as stored."""

    stage: TimingStage
    source: str
    action: str
    resource: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a build leaves behind. ``state`` None keeps the stored one."""

    state: State | None = None
    resources: Sequence[ResourceRow] = ()
    timings: Sequence[TimingRow] = ()


@dataclass(frozen=True, kw_only=True)
class FinishedBuild:
    """Whose build a finished job was; nobody's when it was no workspace build."""

    workspace_id: uuid.UUID | None
    transition: str | None


def store_result(
    session: Executor,
    *,
    job_id: uuid.UUID,
    build: FinishedBuild,
    result: BuildResult,
    succeeded: bool,
) -> None:
    """Write state, resources, timings and the workspace row of a job that is being finished."""
    if build.transition is None:
        return
    if result.state is not None:
        replace_state(session, job_id=job_id, state=result.state)
    _insert_resources(session, job_id, Transition(build.transition), result.resources)
    _insert_timings(session, job_id, result.timings)
    if succeeded and build.transition == Transition.DELETE:
        session.execute(
            sql("UPDATE workspaces SET deleted = true, updated_at = now() WHERE id = :id"),
            {"id": build.workspace_id},
        )


def _insert_resources(
    session: Executor, job_id: uuid.UUID, transition: Transition, resources: Sequence[ResourceRow]
) -> None:
    if not resources:
        return
    ids = [uuid.uuid4() for _ in resources]
    session.execute(
        insert(WorkspaceResource),
        [
            {
                "id": resource_id,
                "job_id": job_id,
                "transition": transition,
                "type": storable(resource.type)[:192],
                "name": storable(resource.name)[:64],
                "hide": resource.hide,
                "icon": storable(resource.icon)[:256],
                "instance_type": resource.instance_type and storable(resource.instance_type)[:256],
                "daily_cost": resource.daily_cost,
                "module_path": storable(resource.module_path),
            }
            for resource_id, resource in zip(ids, resources, strict=True)
        ],
    )
    metadata = [
        {"workspace_resource_id": resource_id, **item}
        for resource_id, resource in zip(ids, resources, strict=True)
        for item in _metadata_items(resource)
    ]
    if metadata:
        session.execute(insert(WorkspaceResourceMetadata), metadata)


def _metadata_items(resource: ResourceRow) -> Iterable[dict[str, object]]:
    """Return the items as they can be stored. Of several with one key, the last one counts."""
    items: dict[str, dict[str, object]] = {}
    for key, value, sensitive in resource.metadata:
        stored = storable(key)[:1024]
        text = None if value is None else storable(value)[:65536]
        items[stored] = {"key": stored, "value": text, "sensitive": sensitive}
    return items.values()


def _insert_timings(session: Executor, job_id: uuid.UUID, timings: Sequence[TimingRow]) -> None:
    if timings:
        session.execute(
            insert(ProvisionerJobTiming),
            [
                {
                    "job_id": job_id,
                    "started_at": timing.started_at,
                    "ended_at": timing.ended_at,
                    "stage": timing.stage,
                    "source": storable(timing.source),
                    "action": storable(timing.action),
                    "resource": storable(timing.resource),
                }
                for timing in timings
            ],
        )
