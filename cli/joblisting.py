"""How jobs are listed: the columns of the table, and the fields for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from cli.listing import Kind
from cli.table import WIDE, Column, Columns, age
from db.reads.jobs import Job
from db.reads.pages import MAX_PAGE


def duration(job: Job) -> timedelta | None:
    """Return how long the job has run."""
    if job.started_at is None:
        return None
    return (job.completed_at or datetime.now(UTC)) - job.started_at


COLUMNS: Columns[Job] = {
    "JOB": lambda row: row.id,
    "STATUS": lambda row: row.status,
    "TRANSITION": Column(lambda row: row.transition, 1),
    "WORKSPACE": lambda row: f"{row.workspace_owner_name}/{row.workspace_name}",
    "STAGE": Column(lambda row: row.stage if row.status.is_active else None, 4),
    "CODE": Column(lambda row: row.error_code, 2),
    "QUEUE": Column(lambda row: row.queue, 6),
    "WORKER": Column(lambda row: row.worker_name, 5),
    "AGE": lambda row: age(row.created_at),
    "DURATION": Column(duration, 3),
    "TEMPLATE": Column(lambda row: row.template_name, WIDE),
    "INITIATOR": Column(lambda row: row.initiator_name, WIDE),
    "CREATED": Column(lambda row: row.created_at, WIDE),
}

FIELDS = (
    "id",
    "status",
    "transition",
    "workspace_name",
    "workspace_owner_name",
    "template_name",
    "template_version_name",
    "build_number",
    "provisioner",
    "queue",
    "tags",
    "stage",
    "attempt",
    "drains",
    "worker_name",
    "error",
    "error_code",
    "failure_reason",
    "initiator_name",
    "workspace_build_id",
    "organization_id",
    "daily_cost",
    "quota_budget",
    "quota_credits_consumed",
    "logs_overflowed",
    "created_at",
    "started_at",
    "canceled_at",
    "completed_at",
)
"""The fields of a job in JSON output."""


def document(job: Job) -> dict[str, object]:
    """Return the JSON object of a job."""
    return {name: getattr(job, name) for name in FIELDS}


KIND = Kind(
    plural="jobs",
    columns=COLUMNS,
    name=lambda row: row.id,
    document=document,
    more="`--limit` shows more, and `--before JOB` the next page",
)
jobs_limit_option = click.option(
    "--limit",
    type=click.IntRange(1, MAX_PAGE),
    default=50,
    show_default=True,
    help="Maximum number of jobs.",
)
