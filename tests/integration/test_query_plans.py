"""On full tables, no query of the API's readers scans one: what it reads is bounded."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import NotFoundError
from db.reads.agents import agents_of
from db.reads.builds import find_parameters, get_build, get_builds
from db.reads.jobs import get_job
from db.reads.logs import get_logs
from db.reads.pages import Cursor, JobFilter, list_jobs
from db.reads.parameters import list_parameters
from db.reads.progress import job_progress
from db.reads.queues import claimable_jobs, queue_depths
from db.reads.states import builds_of_jobs, get_state, list_states
from db.reads.timings import get_timings
from db.reads.workspaces import show_workspace
from db.schema.enums import JobStatus, JobType, ProvisionerType
from quota.details import get_workspace_quota
from quota.usage import consumption
from tests.harness.databases import copied_database, database_url_of, opened_database
from tests.harness.factory import Factory
from tests.harness.plans import describe, explain, is_scan, rows_read, sent_by, walk
from worker.embedded import Embedded

JOBS = 100_000
WORKSPACES = 1_000
# Rows of one statement: far above what a page of 50 needs in all of its legs, or the line of
# the 1,000 that wait; far below a scan.
MAX_ROWS_READ = 6_000

# One workspace build in ten failed, one job in 10,000 is an import, and the jobs of a GPU are the
# oldest thousand: rare and far from the newest, which a walk over all jobs would find last.
FILL = """
SET LOCAL session_replication_role = replica;

INSERT INTO workspaces (id, owner_id, organization_id, template_id, name)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), :owner_id, :organization_id, :template_id, 'ws-' || n
FROM generate_series(0, :workspaces - 1) AS n;

INSERT INTO provisioner_jobs
    (id, created_at, updated_at, started_at, completed_at, error, organization_id, initiator_id,
     provisioner, file_id, type, input, tags, workspace_id, owner_id, queue, worker_id, lease_token)
SELECT CAST('ffffffff' || lpad(to_hex(n), 24, '0') AS uuid),
       now() - n * interval '1 second', now(), now(), now(),
       CASE WHEN n % 10 = 3 THEN 'it broke' END,
       :organization_id, :owner_id, 'echo', gen_random_uuid(),
       CASE WHEN n % 10000 = 1 THEN 'template_version_import' ELSE 'workspace_build'
       END::provisioner_job_type,
       '{}',
       CASE WHEN n > :jobs - 1000 THEN '{"gpu": "a100"}' ELSE '{"scope": "organization"}'
       END::jsonb,
       CAST(lpad(to_hex(n % :workspaces), 32, '0') AS uuid), :owner_id,
       CASE WHEN n > :jobs - 1000 THEN 'builds-gpu' ELSE 'builds' END,
       gen_random_uuid(), gen_random_uuid()
FROM generate_series(1, :jobs) AS n;

INSERT INTO provisioner_jobs
    (id, organization_id, initiator_id, provisioner, file_id, type, input, workspace_id, owner_id,
     queue)
SELECT CAST('eeeeeeee' || lpad(to_hex(n), 24, '0') AS uuid),
       :organization_id, :owner_id, 'echo', gen_random_uuid(), 'workspace_build', '{}',
       CAST(lpad(to_hex(n), 32, '0') AS uuid), :owner_id, 'builds'
FROM generate_series(0, :workspaces - 1) AS n;

INSERT INTO workspace_builds
    (workspace_id, template_version_id, build_number, transition, initiator_id, job_id)
SELECT workspace_id, :version_id, row_number() OVER (PARTITION BY workspace_id ORDER BY id),
       'start', :owner_id, id
FROM provisioner_jobs
WHERE type = 'workspace_build';

INSERT INTO workspace_resources (id, job_id, transition, type, name)
SELECT CAST('dddddddd' || lpad(to_hex(n), 24, '0') AS uuid),
       CAST('ffffffff' || lpad(to_hex(n), 24, '0') AS uuid), 'start', 'pod', 'dev'
FROM generate_series(1, 20000) AS n;

INSERT INTO workspace_agents
    (id, resource_id, name, auth_token, architecture, operating_system)
SELECT id, id, 'dev', id, 'amd64', 'linux'
FROM workspace_resources;

INSERT INTO workspace_apps (agent_id, slug, display_name, icon)
SELECT id, 'code', 'Editor', ''
FROM workspace_agents;

INSERT INTO workspace_agent_log_sources (workspace_agent_id, id, display_name)
SELECT id, id, 'Start'
FROM workspace_agents;

INSERT INTO workspace_agent_scripts
    (workspace_agent_id, log_source_id, log_path, script, cron, start_blocks_login, run_on_start,
     run_on_stop, timeout_seconds, display_name)
SELECT id, id, '', '', '', false, true, false, 0, 'Start'
FROM workspace_agents;

INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
SELECT id, now(), 'provisioner', 'info', 'stage', 'line'
FROM provisioner_jobs;

ANALYZE;
"""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A database with full tables, and what to ask of it."""

    database: Database
    organization_id: uuid.UUID
    owner_id: uuid.UUID
    workspace_id: uuid.UUID
    build_id: uuid.UUID
    finished_job_id: uuid.UUID
    pending_job_id: uuid.UUID


@pytest.fixture(scope="module")
def filled(embedded: Embedded, template_database: str) -> Iterator[Filled]:
    """The tables after 100,000 builds, with 1,000 that wait."""
    with (
        copied_database(embedded, template_database) as name,
        opened_database(database_url_of(embedded, name)) as database,
    ):
        yield fill(database)


def fill(database: Database) -> Filled:
    template = Factory(database=database).fill(FILL, jobs=JOBS, workspaces=WORKSPACES)
    with database.begin() as session:
        workspace_id = uuid.UUID(int=7)
        newest = get_builds(session, workspace_id, limit=2)
    return Filled(
        database=database,
        organization_id=template.organization_id,
        owner_id=template.created_by,
        workspace_id=workspace_id,
        build_id=newest[0].id,
        finished_job_id=uuid.UUID("ffffffff" + f"{JOBS // 2:024x}"),
        pending_job_id=uuid.UUID("eeeeeeee" + f"{WORKSPACES - 1:024x}"),
    )


Query = Callable[[Session, Filled], object]


def jobs(after: Cursor | None = None, **filters: Any) -> Query:
    """A page of the jobs of the organization."""

    def query(session: Session, filled: Filled) -> object:
        wanted = JobFilter(organization_id=filled.organization_id, **filters)
        return list_jobs(session, wanted, after=after)

    return query


def _or_none(session: Session, filled: Filled, build_number: int | None = None) -> object:
    """Ask for a state; no build of these has one."""
    with suppress(NotFoundError):
        return get_state(session, filled.workspace_id, build_number=build_number)
    return None


QUERIES: dict[str, Query] = {
    "a finished job": lambda s, f: get_job(s, f.finished_job_id),
    "a pending job": lambda s, f: get_job(s, f.pending_job_id),
    "the newest jobs": jobs(),
    "an old page of jobs": jobs(after=Cursor.parse(f"{0}.{uuid.UUID(int=0).hex}")),
    "jobs of one status": jobs(statuses=[JobStatus.FAILED]),
    "jobs of a status that none has": jobs(statuses=[JobStatus.CANCELING]),
    "jobs of several statuses": jobs(statuses=[JobStatus.SUCCEEDED, JobStatus.FAILED]),
    "jobs of a rare type": jobs(types=[JobType.TEMPLATE_VERSION_IMPORT]),
    "jobs with rare tags": jobs(tags={"gpu": "a100"}),
    "jobs with the tags of most": jobs(tags={"scope": "organization"}),
    "jobs with tags that none has": jobs(tags={"gpu": "h100"}),
    "jobs by status, type and tags": jobs(
        statuses=[JobStatus.FAILED], types=[JobType.WORKSPACE_BUILD], tags={"gpu": "a100"}
    ),
    "jobs of a rare queue": jobs(queue="builds-gpu"),
    "jobs of all organizations": lambda s, _: list_jobs(s, JobFilter()),
    "builds of all organizations": lambda s, _: list_jobs(
        s, JobFilter(types=[JobType.WORKSPACE_BUILD])
    ),
    "jobs with rare tags of all organizations": lambda s, _: list_jobs(
        s, JobFilter(tags={"gpu": "a100"})
    ),
    "the log of a job": lambda s, f: get_logs(s, f.finished_job_id),
    "the log after a line": lambda s, f: get_logs(s, f.finished_job_id, after=1),
    "timings": lambda s, f: get_timings(s, f.finished_job_id),
    "builds of a workspace": lambda s, f: get_builds(s, f.workspace_id),
    "older builds of a workspace": lambda s, f: get_builds(s, f.workspace_id, before=50),
    "a build": lambda s, f: get_build(s, f.build_id),
    "values of a build": lambda s, f: find_parameters(s, f.build_id),
    "parameters of a version": lambda s, f: list_parameters(s, f.build_id),
    "a workspace with its values": lambda s, f: show_workspace(s, f.workspace_id),
    "agents of a resource": lambda s, _: agents_of(s, [uuid.UUID("dddddddd" + f"{9:024x}")]),
    "states of a workspace": lambda s, f: list_states(s, f.workspace_id),
    "the state of a build": lambda s, f: _or_none(s, f, build_number=1),
    "the newest state": _or_none,
    "builds of orphaned states": lambda s, f: builds_of_jobs(s, [f.finished_job_id]),
    "a quota": lambda s, f: get_workspace_quota(
        s, organization_id=f.organization_id, user_id=f.owner_id
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_does_not_scan_a_table(filled: Filled, name: str) -> None:
    nodes = [node for plan in plans(filled, QUERIES[name]) for node in walk(plan)]

    assert [describe(node) for node in nodes if is_scan(node)] == []


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_reads_a_bounded_number_of_rows(filled: Filled, name: str) -> None:
    read = [sum(map(rows_read, walk(plan))) for plan in plans(filled, QUERIES[name])]

    assert max(read) < MAX_ROWS_READ


SLOTS = 8

BOUNDED: dict[str, Query] = {
    "what a worker rings for": lambda s, _: claimable_jobs(
        s, queues=["gone", "builds"], provisioners=tuple(ProvisionerType), count_to=SLOTS
    ),
    "the queues as a worker shows them": lambda s, _: queue_depths(s, count_to=SLOTS),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_look_at_the_queues_reads_no_more_waiting_jobs_than_it_counts(
    filled: Filled, name: str
) -> None:
    [plan] = plans(filled, BOUNDED[name])

    # To learn the name of a queue takes the first entry of the index, and its tags take one row.
    assert SLOTS <= sum(map(rows_read, walk(plan))) <= SLOTS + 2


@pytest.mark.parametrize(("job", "looks"), [("pending_job_id", 1), ("finished_job_id", 0)])
def test_a_look_at_a_build_reads_the_workers_only_while_it_waits(
    filled: Filled, job: str, looks: int
) -> None:
    [plan] = plans(filled, lambda session, _: job_progress(session, getattr(filled, job)))
    workers = [node for node in walk(plan) if node.get("Relation Name") == "provisioner_daemons"]

    assert [node["Actual Loops"] for node in workers] == [looks]


def latest_build_of_one(session: Session, filled: Filled) -> object:
    """The view, asked for one workspace by a condition."""
    statement = "SELECT id FROM latest_workspace_builds WHERE workspace_id = :id"
    return session.execute(text(statement), {"id": filled.workspace_id}).one()


def latest_build_by_join(session: Session, filled: Filled) -> object:
    """The view, asked for one workspace by a join, as most readers do."""
    statement = """
        SELECT latest.id
        FROM workspaces
        LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspaces.id
        WHERE workspaces.id = :id
    """
    return session.execute(text(statement), {"id": filled.workspace_id}).one()


@pytest.mark.parametrize("query", [latest_build_of_one, latest_build_by_join])
def test_the_latest_build_of_a_workspace_is_one_entry_of_an_index(
    filled: Filled, query: Query
) -> None:
    [plan] = plans(filled, query)

    assert sum(map(rows_read, walk(plan))) == 1


def test_consumption_reads_one_build_of_each_workspace(filled: Filled) -> None:
    def consume(session: Session, filled: Filled) -> object:
        return consumption(
            session, organization_id=filled.organization_id, owner_id=filled.owner_id
        )

    [plan] = plans(filled, consume)

    assert sum(map(rows_read, walk(plan))) == WORKSPACES


def test_a_query_without_an_index_would_be_noticed(filled: Filled) -> None:
    def unindexed(session: Session, _: Filled) -> object:
        return session.execute(text("SELECT id FROM provisioner_jobs WHERE error = 'none'")).all()

    nodes = [node for plan in plans(filled, unindexed) for node in walk(plan)]

    assert [node for node in nodes if is_scan(node)]
    assert sum(map(rows_read, nodes)) > JOBS


def plans(filled: Filled, query: Query) -> list[dict[str, Any]]:
    """The plans, with real row counts, of the very statements that ``query`` sends."""
    with filled.database.begin() as session:
        statements = sent_by(session.connection(), lambda: query(session, filled))
        return [explain(session.connection(), *statement) for statement in statements]
