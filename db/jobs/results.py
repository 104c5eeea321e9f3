"""What a build leaves behind, written in the transaction that finishes its job."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from db.jobs.logs import LINES, LogRow, log_parameters
from db.jobs.states import IS_NOT_OLDER, REPLACE_STATE, State, state_parameters
from db.schema.enums import Stage, TimingStage
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
    last_lines: Sequence[LogRow] = ()  #: of its log, which were not stored yet
    log_overflowed: bool = False
    stage: Stage | None = None  #: where it ended; None leaves what stands


# Parts of the statement that finishes a job, which has named it ``finished``: one round trip and
# one transaction for all of it, instead of eight. Lists come as JSON.
STORE_RESULT = f"""
    logged AS (
        INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
        SELECT finished.id, line.* FROM finished, {LINES} AS line
    ), build AS (
        SELECT build.job_id, build.workspace_id, build.transition
        FROM finished
        JOIN workspace_builds AS build ON build.job_id = finished.id
    ), with_state AS (
        {REPLACE_STATE} FROM build
        WHERE workspace_builds.job_id = build.job_id
          AND CAST(:data AS bytea) IS NOT NULL
          AND {IS_NOT_OLDER}
    ), made AS (
        INSERT INTO workspace_resources
            (id, job_id, transition, type, name, hide, icon, instance_type, daily_cost,
             module_path)
        SELECT new.id, build.job_id, build.transition, new.type, new.name, new.hide, new.icon,
               new.instance_type, new.daily_cost, new.module_path
        FROM build, json_to_recordset(:resources) AS new (
            id uuid, type text, name text, hide boolean, icon text, instance_type text,
            daily_cost integer, module_path text
        )
    ), described AS (
        INSERT INTO workspace_resource_metadata (workspace_resource_id, key, value, sensitive)
        SELECT new.*
        FROM build, json_to_recordset(:metadata) AS new (
            workspace_resource_id uuid, key text, value text, sensitive boolean
        )
    ), timed AS (
        INSERT INTO provisioner_job_timings
            (job_id, started_at, ended_at, stage, source, action, resource)
        SELECT build.job_id, new.*
        FROM build, json_to_recordset(:timings) AS new (
            started_at timestamptz, ended_at timestamptz, stage provisioner_job_timing_stage,
            source text, action text, resource text
        )
    ), deleted AS (
        UPDATE workspaces
        SET deleted = true, updated_at = now()
        FROM build
        WHERE workspaces.id = build.workspace_id AND build.transition = 'delete' AND :succeeded
    )
"""  # noqa: S608 - made of constants


def result_parameters(result: BuildResult, *, succeeded: bool) -> dict[str, object]:
    """Return the parameters of ``STORE_RESULT``."""
    resources = [(str(uuid.uuid4()), resource) for resource in result.resources]
    return {
        **state_parameters(result.state),
        **log_parameters(result.last_lines, overflowed=result.log_overflowed),
        "succeeded": succeeded,
        "ended_in": result.stage,
        "resources": json.dumps([_resource(*resource) for resource in resources]),
        "metadata": json.dumps(
            [
                {"workspace_resource_id": resource_id, **item}
                for resource_id, resource in resources
                for item in _metadata_items(resource)
            ]
        ),
        "timings": json.dumps([_timing(timing) for timing in result.timings]),
    }


def _resource(resource_id: str, resource: ResourceRow) -> dict[str, object]:
    return {
        "id": resource_id,
        "type": storable(resource.type)[:192],
        "name": storable(resource.name)[:64],
        "hide": resource.hide,
        "icon": storable(resource.icon)[:256],
        "instance_type": resource.instance_type and storable(resource.instance_type)[:256],
        "daily_cost": resource.daily_cost,
        "module_path": storable(resource.module_path),
    }


def _metadata_items(resource: ResourceRow) -> Iterable[dict[str, object]]:
    """Return the items as they can be stored. Of several with one key, the last one counts."""
    items: dict[str, dict[str, object]] = {}
    for key, value, sensitive in resource.metadata:
        stored = storable(key)[:1024]
        text = None if value is None else storable(value)[:65536]
        items[stored] = {"key": stored, "value": text, "sensitive": sensitive}
    return items.values()


def _timing(timing: TimingRow) -> dict[str, object]:
    return {
        "started_at": timing.started_at.isoformat(),
        "ended_at": timing.ended_at.isoformat(),
        "stage": timing.stage,
        "source": storable(timing.source),
        "action": storable(timing.action),
        "resource": storable(timing.resource),
    }
