"""Make many rows by SQL, which would take months with real builds."""

from __future__ import annotations

from sqlalchemy import text

from bench.services import Services
from db.schema.tables import Template, User
from tests.harness.databases import autocommit


def fill_jobs(
    services: Services,
    count: int,
    *,
    owner: User,
    template: Template,
    pending: bool,
    of_each: int | None = None,
) -> None:
    """Make ``count`` new workspaces, each with one build and its job.

    Args:
        of_each: how many workspaces an owner has; ``owner`` has all if it is None.
    """
    owner_id = ":owner_id" if of_each is None else f"md5((number / {of_each})::text)::uuid"
    state = (
        "NULL, NULL"
        if pending
        else "now() - number * interval '1 second', now() - number * interval '1 second'"
    )
    _run(
        services,
        f"""
        WITH new AS (
            SELECT number, gen_random_uuid() AS workspace_id, gen_random_uuid() AS job_id,
                   {owner_id} AS owner_id
            FROM generate_series(1, :count) AS number
        ), made AS (
            INSERT INTO workspaces (id, owner_id, organization_id, template_id, name, deleted)
            SELECT workspace_id, owner_id, :organization_id, :template_id,
                   'filled-' || workspace_id, false
            FROM new
        ), jobs AS (
            INSERT INTO provisioner_jobs
                (id, organization_id, initiator_id, provisioner, file_id, type, input,
                 workspace_id, owner_id, queue, fair_rank, created_at, started_at, completed_at)
            SELECT job_id, :organization_id, :owner_id, 'echo', (SELECT id FROM files LIMIT 1),
                   'workspace_build', '{{}}', workspace_id, owner_id, 'builds', number % 1000,
                   now() - number * interval '1 second', {state}
            FROM new
        )
        INSERT INTO workspace_builds
            (workspace_id, template_version_id, build_number, transition, initiator_id, job_id)
        SELECT workspace_id, :version_id, 1, 'start', :owner_id, job_id FROM new
        """,
        owner_id=owner.id,
        organization_id=template.organization_id,
        template_id=template.id,
        version_id=template.active_version_id,
        count=count,
    )


def analyze(services: Services) -> None:
    """Update the statistics, as autovacuum does over time, and write everything to disk."""
    with autocommit(services.database) as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _run(services: Services, statement: str, **parameters: object) -> None:
    with services.database.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        # Foreign keys and triggers of a million rows take minutes; these rows are known to be valid.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement), parameters)
