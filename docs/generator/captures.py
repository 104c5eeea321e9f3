"""Captures of the command line: its own tables, at 80 columns, of one example deployment."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from cli import group, joblisting, queue, user, workers, workspacelisting
from cli.listing import Kind
from cli.table import Look, Row, table_lines
from cli.template import listing as template
from cli.template import versions
from db.reads.imports import VersionListing
from db.reads.jobs import Job
from db.reads.people import GroupListing, UserListing
from db.reads.queues import QueueDepth
from db.reads.templates import TemplateListing
from db.reads.workers import WorkerListing
from db.reads.workspaces import WorkspaceListing
from db.schema.enums import JobErrorCode, JobStatus, Transition
from docs.generator.examples import ago, example_job, example_worker, example_workspace

WIDTH = 80


def captures() -> str:
    """Return ten commands with what they print."""
    lists: Mapping[str, Sequence[str]] = {
        "workspace list": _table(_workspaces(), workspacelisting.KIND),
        "workspace list -o name": [str(workspacelisting.KIND.name(row)) for row in _workspaces()],
        "jobs list": _table(_jobs(), joblisting.KIND),
        "jobs list --no-headers --sort-by workspace": _table(
            sorted(_jobs(), key=lambda job: str(job.workspace_name)), joblisting.KIND, headers=False
        ),
        "queue": _table(_queues(), queue.KIND),
        "workers": _table(_workers(), workers.KIND),
        "template list": _table(_templates(), template.KIND),
        "template versions dev": _table(_versions(), versions.KIND),
        "user list": _table(_users(), user.KIND),
        "group list": _table(_groups(), group.KIND),
    }
    parts = [f"$ provisionerd {name}\n" + "\n".join(lines) for name, lines in lists.items()]
    return "```text\n" + "\n\n".join(parts) + "\n```"


def _table(rows: Sequence[Row], kind: Kind[Row], *, headers: bool = True) -> list[str]:
    return table_lines(rows, kind.columns, Look(width=WIDTH, headers=headers))


def _workspaces() -> list[WorkspaceListing]:
    box = example_workspace()
    return [
        box,
        replace(box, name="lab", status="stopped", daily_cost=0, last_build_at=ago(days=3)),
        replace(box, name="train", owner_name="bob", template_name="gpu", status="failed",
                daily_cost=0, last_build_at=ago(hours=5), is_outdated=False),
    ]  # fmt: skip


def _job(digits: str, **changes: Any) -> Job:
    return example_job(uuid.UUID(digits.ljust(32, "0")), **changes)


def _ended(job: Job, seconds: float) -> Job:
    assert job.started_at is not None
    return replace(job, completed_at=job.started_at + timedelta(seconds=seconds))


def _jobs() -> list[Job]:
    refused = _job("7d41c09a", status=JobStatus.FAILED, workspace_name="train",
                   workspace_owner_name="bob", error_code=JobErrorCode.INSUFFICIENT_QUOTA,
                   created_at=ago(hours=5), started_at=ago(hours=5))  # fmt: skip
    stop = _job("c2b97f10", workspace_name="lab", transition=Transition.STOP,
                created_at=ago(days=3), started_at=ago(days=3))  # fmt: skip
    waiting = _job("3f2a0c1e", status=JobStatus.PENDING, workspace_name="tools",
                   created_at=ago(minutes=3), started_at=None)  # fmt: skip
    return [waiting, _ended(_job("91ae4d22"), 34), _ended(refused, 5), _ended(stop, 8)]


def _queues() -> list[QueueDepth]:
    plain = QueueDepth(queue="builds", depth=1, oldest_s=190, workers=2, slots=8)
    tags = {"gpu": "a100"}
    return [plain, replace(plain, queue="builds-5d1f0c7e", depth=0, workers=1, slots=2, tags=tags)]


def _workers() -> list[WorkerListing]:
    first = example_worker()
    others = replace(first, running_jobs=0, free_slots=4, status="idle")
    gpu = replace(others, name="gpu-1", tags={"gpu": "a100"}, slots=2, free_slots=2)
    old = replace(others, name="build-3", status="offline", free_slots=0, last_seen_s=7 * 3600.0)
    return [first, replace(others, name="build-2"), gpu, old]


def _templates() -> list[TemplateListing]:
    dev = TemplateListing(
        id=uuid.UUID(int=1),
        name="dev",
        organization_name="default",
        provisioner="terraform",
        active_version_name="v2",
        versions=2,
        workspaces=3,
        updated_at=ago(hours=5),
    )
    return [dev, replace(dev, name="gpu", active_version_name="v1", workspaces=1)]


def _versions() -> list[VersionListing]:
    second = VersionListing(
        id=uuid.UUID(int=2),
        name="v2",
        status="succeeded",
        error=None,
        error_code=None,
        is_active=True,
        archived=False,
        workspaces=1,
        message="More memory",
        created_by_name="alice",
        created_at=ago(hours=5),
        job_id=uuid.UUID(int=3),
    )
    first = replace(second, name="v1", is_active=False, workspaces=2, message="")
    return [second, replace(first, created_at=ago(days=9))]


def _users() -> list[UserListing]:
    alice = UserListing(
        id=uuid.UUID(int=1),
        username="alice",
        email="alice@example.com",
        status="active",
        organizations=["default"],
        created_at=ago(days=9),
    )
    return [alice, replace(alice, username="bob", email="bob@example.com", status="suspended")]


def _groups() -> list[GroupListing]:
    everyone = GroupListing(
        id=uuid.UUID(int=1),
        name="Everyone",
        organization_name="default",
        quota_allowance=20,
        members=["alice", "bob"],
    )
    return [everyone, replace(everyone, name="gpu", quota_allowance=40, members=["bob"])]
