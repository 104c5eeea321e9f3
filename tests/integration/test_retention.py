"""What a prune deletes, what it never does, and how little it reads for it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, text

from db.engine import Database
from db.errors import InvalidError
from db.jobs.archives import ArchiveCache
from db.jobs.builds import load_build
from db.jobs.due import JOBS_PER_TURN, LINES_PER_TURN
from db.jobs.resources import Resource, ResourceMetadata
from db.jobs.results import BuildResult
from db.jobs.retention import ADVISORY_LOCK, Pruned, Retention, prune
from db.jobs.states import State
from db.jobs.transitions import ClaimedJob
from db.jobs.workers import register_worker, sign_off_worker
from db.schema.enums import JobStatus, Stage, TimingStage, Transition
from db.schema.tables import Workspace
from tests.harness.factory import Factory, timing
from tests.harness.threads import join_thread, start_thread
from worker.maintenance.pruner import Pruner

KEPT = Retention()
DEADLINE_S = 30
LINEAGE = "lineage"


def state(serial: int) -> State:
    data = json.dumps({"version": 4, "lineage": LINEAGE, "serial": serial}).encode()
    return State(data=data, lineage=LINEAGE, serial=serial)


def result(serial: int) -> BuildResult:
    return BuildResult(
        state=state(serial),
        resources=[
            Resource(
                type="disk", name="home", metadata=(ResourceMetadata(key="key", value="value"),)
            )
        ],
        timings=[timing(TimingStage.PLAN, started_at=datetime.now(UTC))],
    )


def finished(
    factory: Factory,
    workspace: Workspace,
    *,
    serial: int,
    days_ago: float,
    transition: Transition = Transition.START,
    status: JobStatus = JobStatus.SUCCEEDED,
) -> ClaimedJob:
    """A build with a log line, a state, a resource and a timing, that ended some days ago."""
    job = factory.finished_build(workspace, transition, status=status, result=result(serial))
    add_lines(factory.database, job.id)
    age(factory.database, job.id, days_ago)
    return job


def add_lines(database: Database, job_id: uuid.UUID, count: int = 1) -> None:
    with database.begin() as session:
        session.execute(
            text("""
                INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
                SELECT :job_id, now(), 'provisioner', 'info', 'stage', 'line'
                FROM generate_series(1, :count)
            """),
            {"job_id": job_id, "count": count},
        )


def age(database: Database, job_id: uuid.UUID, days: float) -> None:
    """Let everything about the job have happened so many days earlier."""
    values = {"job_id": job_id, "by": timedelta(days=days)}
    with database.begin() as session:
        # A finished job does not change again: a trigger sees to it.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(
            text("""
                UPDATE provisioner_jobs
                SET created_at = created_at - :by, completed_at = completed_at - :by
                WHERE id = :job_id
            """),
            values,
        )
        session.execute(
            text("""
                UPDATE provisioner_job_logs SET created_at = created_at - :by
                WHERE job_id = :job_id
            """),
            values,
        )


def count(database: Database, table: str) -> int:
    with database.begin() as session:
        return int(session.scalar(text(f'SELECT count(*) FROM "{table}"')))


def rows_of(database: Database, job: ClaimedJob) -> dict[str, int]:
    """How many rows of each kind there are about the job."""
    with database.begin() as session:
        return {
            table: session.scalar(
                text(f'SELECT count(*) FROM "{table}" WHERE {column} = :id'), {"id": job.id}
            )
            for table, column in (
                ("provisioner_jobs", "id"),
                ("workspace_builds", "job_id"),
                ("provisioner_job_logs", "job_id"),
                ("provisioner_job_timings", "job_id"),
                ("workspace_resources", "job_id"),
            )
        }


def serial_of(database: Database, job: ClaimedJob) -> int | None:
    """The serial of the state that stands on the job's build."""
    with database.begin() as session:
        data = session.scalar(
            text("SELECT provisioner_state FROM workspace_builds WHERE job_id = :id"),
            {"id": job.id},
        )
    return json.loads(data)["serial"] if data else None


def start_from(factory: Factory, workspace: Workspace) -> int | None:
    """The serial of the state that the next build of the workspace starts from."""
    job = factory.running_build(workspace)
    with factory.database.begin() as connection:
        loaded = load_build(connection, job.lease, archives=ArchiveCache())
    return json.loads(loaded.state)["serial"] if loaded.state else None


def superseded(factory: Factory, *, days_ago: int) -> ClaimedJob:
    """The first build of a workspace, behind a second one of today."""
    workspace = factory.any_workspace()
    first = finished(factory, workspace, serial=1, days_ago=days_ago)
    finished(factory, workspace, serial=2, days_ago=0)
    return first


GONE = {
    "provisioner_jobs": 0,
    "workspace_builds": 0,
    "provisioner_job_logs": 0,
    "provisioner_job_timings": 0,
    "workspace_resources": 0,
}


def test_a_superseded_build_goes_with_all_that_belongs_to_it(
    database: Database, factory: Factory
) -> None:
    old = superseded(factory, days_ago=91)

    pruned = prune(database, KEPT)

    assert rows_of(database, old) == GONE
    assert pruned == Pruned(log_lines=1, jobs=1)


def test_the_latest_build_of_a_workspace_stays_at_any_age(
    database: Database, factory: Factory
) -> None:
    latest = finished(factory, factory.any_workspace(), serial=1, days_ago=5000)

    prune(database, KEPT)

    assert rows_of(database, latest) == {**dict.fromkeys(GONE, 1), "provisioner_job_logs": 0}
    assert serial_of(database, latest) == 1


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    return factory.any_workspace()


@pytest.fixture
def succeeded_then_failed(factory: Factory, workspace: Workspace) -> ClaimedJob:
    """The first of the two builds that the workspace had long ago."""
    first = finished(factory, workspace, serial=1, days_ago=200)
    finished(factory, workspace, serial=2, days_ago=199, status=JobStatus.FAILED)
    return first


@pytest.mark.usefixtures("succeeded_then_failed")
def test_a_failed_latest_build_stays_too(
    database: Database, factory: Factory, workspace: Workspace
) -> None:
    prune(database, KEPT)

    assert start_from(factory, workspace) == 2


def test_the_last_build_that_entered_apply_stays_behind_later_failures(
    database: Database, succeeded_then_failed: ClaimedJob
) -> None:
    prune(database, KEPT)

    assert rows_of(database, succeeded_then_failed)["workspace_builds"] == 1


def test_a_newer_build_without_a_state_supersedes_none_that_has_one(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace()
    older = finished(factory, workspace, serial=1, days_ago=200)
    newer = finished(factory, workspace, serial=2, days_ago=199)
    with database.begin() as session:
        session.execute(
            text("UPDATE workspace_builds SET provisioner_state = NULL WHERE job_id = :id"),
            {"id": newer.id},
        )

    prune(database, KEPT)

    assert serial_of(database, older) == 1


def test_the_state_of_a_superseded_build_goes_before_its_job(
    database: Database, factory: Factory
) -> None:
    old = superseded(factory, days_ago=31)

    pruned = prune(database, KEPT)

    assert (pruned.states, pruned.jobs) == (1, 0)
    assert serial_of(database, old) is None
    assert rows_of(database, old)["provisioner_jobs"] == 1


@pytest.mark.parametrize(
    ("days_ago", "left"),
    [
        pytest.param(29, {"logs": 1, "state": 1, "job": 1}, id="young"),
        pytest.param(31, {"logs": 0, "state": 0, "job": 1}, id="logs and state are due"),
        pytest.param(89, {"logs": 0, "state": 0, "job": 1}, id="job is not due yet"),
        pytest.param(91, {"logs": 0, "state": 0, "job": 0}, id="all is due"),
    ],
)
def test_what_is_due_goes_by_the_age_of_the_job_s_end(
    database: Database, factory: Factory, days_ago: int, left: dict[str, int]
) -> None:
    old = superseded(factory, days_ago=days_ago)

    prune(database, KEPT)

    rows = rows_of(database, old)
    assert {
        "logs": rows["provisioner_job_logs"],
        "state": int(serial_of(database, old) is not None),
        "job": rows["provisioner_jobs"],
    } == left


@pytest.mark.parametrize("stage", ["pending", "running"])
def test_an_unfinished_job_stays_whatever_its_age(
    database: Database, factory: Factory, stage: str
) -> None:
    workspace = factory.any_workspace()
    build = factory.build(workspace)
    if stage == "running":
        factory.claim(build.queue)
    add_lines(database, build.job_id)
    age(database, build.job_id, 5000)

    assert prune(database, KEPT) == Pruned()
    assert count(database, "provisioner_job_logs") == 1


def test_a_superseded_build_goes_once_the_next_one_applies(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace()
    old = finished(factory, workspace, serial=1, days_ago=91)
    running = factory.running_build(workspace, stage=Stage.APPLY)

    prune(database, KEPT)

    assert rows_of(database, old) == GONE
    assert serial_of(database, running) == 1


def test_a_deleted_workspace_loses_every_build(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    jobs = [
        finished(factory, workspace, serial=1, days_ago=92),
        finished(factory, workspace, serial=2, days_ago=91, transition=Transition.DELETE),
    ]

    prune(database, KEPT)

    assert [rows_of(database, job) for job in jobs] == [GONE, GONE]


def test_a_template_can_be_built_from_after_its_import_is_old(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace()
    with database.begin() as session:
        imports = session.scalars(text("SELECT job_id FROM template_versions")).all()
    for job_id in imports:
        age(database, job_id, 5000)

    assert prune(database, KEPT) == Pruned()
    assert factory.build(workspace).build_number == 1


def test_a_dry_run_counts_and_changes_nothing(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    for serial, days_ago in ((1, 91), (2, 31), (3, 0)):
        finished(factory, workspace, serial=serial, days_ago=days_ago)
    before = {table: count(database, table) for table in GONE}

    counted = prune(database, KEPT, is_dry_run=True)

    assert {table: count(database, table) for table in GONE} == before
    assert counted == Pruned(log_lines=2, states=1, jobs=1)
    assert prune(database, KEPT) == counted


def test_a_second_prune_finds_nothing(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    for serial in range(1, 4):
        finished(factory, workspace, serial=serial, days_ago=100)
    prune(database, KEPT)

    assert prune(database, KEPT) == Pruned()


def test_logs_of_more_than_one_turn_go(database: Database, factory: Factory) -> None:
    job = factory.finished_build()
    add_lines(database, job.id, 2 * LINES_PER_TURN + 1)
    age(database, job.id, 31)

    assert prune(database, KEPT).log_lines == 2 * LINES_PER_TURN + 1
    assert count(database, "provisioner_job_logs") == 0


@pytest.mark.parametrize(
    "apart",
    [
        pytest.param(timedelta(minutes=1), id="that ended before"),
        # A sweep ends many jobs in one transaction, which has one time.
        pytest.param(timedelta(), id="that ended at the same time"),
    ],
)
def test_old_jobs_that_stay_do_not_hide_those_behind_them(
    database: Database, factory: Factory, apart: timedelta
) -> None:
    old = superseded(factory, days_ago=91)
    keep_jobs(database, old, JOBS_PER_TURN + 1, apart=apart)

    prune(database, KEPT)

    assert rows_of(database, old) == GONE


def keep_jobs(database: Database, like: ClaimedJob, number: int, *, apart: timedelta) -> None:
    """Add imports that come before the job in the order of their ends: they stay for ever."""
    with database.begin() as session:
        session.execute(
            text("""
                INSERT INTO provisioner_jobs
                    (id, completed_at, organization_id, initiator_id, provisioner, file_id, type,
                     input, queue)
                SELECT lpad(n::text, 32, '0')::uuid, completed_at - n * CAST(:apart AS interval),
                       organization_id, initiator_id, provisioner, file_id,
                       'template_version_import', '{}', queue
                FROM provisioner_jobs, generate_series(1, :number) AS n
                WHERE id = :id
            """),
            {"id": like.id, "number": number, "apart": apart},
        )


def test_one_process_prunes_at_a_time(database: Database, factory: Factory) -> None:
    superseded(factory, days_ago=91)
    with database.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})

        assert prune(database, KEPT) == Pruned(is_complete=False)


def test_a_prune_stops_between_two_turns_when_told(database: Database, factory: Factory) -> None:
    job = factory.finished_build()
    add_lines(database, job.id, 3 * LINES_PER_TURN)
    age(database, job.id, 31)
    answers = iter([True, False])

    pruned = prune(database, KEPT, may_go_on=lambda: next(answers))

    assert pruned == Pruned(log_lines=LINES_PER_TURN, is_complete=False)


def test_a_prune_that_fails_half_way_can_be_repeated(database: Database, factory: Factory) -> None:
    job = factory.finished_build()
    add_lines(database, job.id, 2 * LINES_PER_TURN)
    age(database, job.id, 31)

    def break_down() -> bool:
        if count(database, "provisioner_job_logs") < 2 * LINES_PER_TURN:
            raise OSError("gone")
        return True

    with pytest.raises(OSError, match="gone"):
        prune(database, KEPT, may_go_on=break_down)

    assert prune(database, KEPT).log_lines == LINES_PER_TURN


def test_builds_are_enqueued_while_old_ones_go(database: Database, factory: Factory) -> None:
    workspaces = [factory.any_workspace() for _ in range(5)]
    for workspace in workspaces:
        for serial in range(1, 5):
            finished(factory, workspace, serial=serial, days_ago=100 - serial)
    stopped = threading.Event()

    def prune_on() -> None:
        while not stopped.is_set():
            prune(database, KEPT)

    thread = start_thread(prune_on)
    try:
        starts = [start_from(factory, workspace) for workspace in workspaces]
    finally:
        stopped.set()
        join_thread(thread)

    assert starts == [4] * 5


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({"logs": timedelta(days=91)}, id="logs"),
        pytest.param({"states": timedelta(days=91)}, id="states"),
    ],
)
def test_nothing_is_kept_for_longer_than_its_job(kept: dict[str, timedelta]) -> None:
    with pytest.raises(InvalidError, match="cannot be kept for longer"):
        Retention(**kept)


def worker(database: Database, name: str) -> uuid.UUID:
    with database.begin() as session:
        return register_worker(
            session, name=name, tags={}, provisioners=[], concurrency=1, version="", hostname=""
        )


def prunes(database: Database, worker_id: uuid.UUID) -> bool:
    pruner = Pruner(database=database, worker_id=worker_id, retention=KEPT, may_go_on=lambda: True)
    return pruner.prune() is not None


def test_of_several_workers_one_prunes(database: Database) -> None:
    workers = [worker(database, f"worker-{number}") for number in range(3)]

    assert sum(prunes(database, worker_id) for worker_id in workers) == 1


def test_another_worker_prunes_when_the_first_has_signed_off(database: Database) -> None:
    first, second = sorted(worker(database, f"worker-{number}") for number in range(2))
    with database.begin() as session:
        sign_off_worker(session, worker_id=first)

    assert (prunes(database, first), prunes(database, second)) == (False, True)


ENDS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which workspace
        st.sampled_from([Transition.START, Transition.STOP]),
        st.sampled_from([JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED]),
        st.booleans(),  # whether it changed the state
        st.integers(0, 200),  # days between this end and the next build
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(builds=ENDS)
def test_after_a_prune_every_workspace_starts_from_its_newest_state(
    database: Database, factory: Factory, builds: list[tuple[int, Transition, JobStatus, bool, int]]
) -> None:
    workspaces = [factory.any_workspace() for _ in range(3)]
    newest: dict[int, int] = {}
    jobs: list[uuid.UUID] = []
    for serial, (place, transition, status, changes, _days) in enumerate(builds, start=1):
        left = result(serial) if changes else BuildResult()
        job = factory.finished_build(workspaces[place], transition, status=status, result=left)
        if changes:
            newest[place] = serial
        jobs.append(job.id)
    days_ago = 0
    for job_id, (*_, days) in zip(reversed(jobs), reversed(builds), strict=True):
        days_ago += days
        age(database, job_id, days_ago)

    prune(database, KEPT)

    starts = {place: start_from(factory, workspaces[place]) for place in range(3)}
    assert starts == {place: newest.get(place) for place in range(3)}


JOBS = 80_000
FILL = """
SET LOCAL session_replication_role = replica;

INSERT INTO workspaces (id, owner_id, organization_id, template_id, name)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), :owner_id, :organization_id, :template_id, 'ws-' || n
FROM generate_series(0, 99) AS n;

INSERT INTO provisioner_jobs
    (id, created_at, started_at, completed_at, organization_id, initiator_id, provisioner, file_id,
     type, input, workspace_id, owner_id, queue, worker_id, lease_token)
SELECT CAST('ffffffff' || lpad(to_hex(n), 24, '0') AS uuid),
       now(), now(), now() - n * interval '2 minutes',
       :organization_id, :owner_id, 'echo', gen_random_uuid(), 'workspace_build', '{}',
       CAST(lpad(to_hex(n % 100), 32, '0') AS uuid), :owner_id, 'builds',
       gen_random_uuid(), gen_random_uuid()
FROM generate_series(1, :jobs) AS n;

INSERT INTO workspace_builds
    (workspace_id, template_version_id, build_number, transition, initiator_id, job_id,
     provisioner_state, state_lineage, state_serial)
SELECT workspace_id, :version_id,
       row_number() OVER (PARTITION BY workspace_id ORDER BY completed_at),
       'start', :owner_id, id, 'state', 'lineage', 1
FROM provisioner_jobs
WHERE type = 'workspace_build';

INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
SELECT id, completed_at, 'provisioner', 'info', 'stage', 'line'
FROM provisioner_jobs
WHERE type = 'workspace_build'
ORDER BY completed_at;

ANALYZE;
"""
TABLES = {
    "provisioner_jobs",
    "provisioner_job_logs",
    "provisioner_job_timings",
    "workspace_builds",
    "workspace_resources",
    "workspaces",
}


@dataclass
class Statements:
    """The plans of the statements of a prune, as they were run."""

    plans: list[dict[str, Any]]

    def nodes(self) -> Iterator[dict[str, Any]]:
        waiting = list(self.plans)
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.get("Plans", ()))


@pytest.fixture
def statements(database: Database) -> Iterator[Statements]:
    """Explains each statement on provisionerd's tables before it is run."""
    seen = Statements(plans=[])

    def explain(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        if not statement.startswith("EXPLAIN") and any(table in statement for table in TABLES):
            explained = connection.exec_driver_sql(
                f"EXPLAIN (FORMAT JSON) {statement}", parameters
            ).scalar_one()
            seen.plans.append(explained[0]["Plan"])

    event.listen(database.engine, "before_cursor_execute", explain)
    yield seen
    event.remove(database.engine, "before_cursor_execute", explain)


def test_a_prune_of_a_full_database_scans_no_table(
    database: Database, factory: Factory, statements: Statements
) -> None:
    factory.fill(FILL, jobs=JOBS)
    statements.plans.clear()

    pruned = prune(database, KEPT)

    scans = [
        node["Relation Name"]
        for node in statements.nodes()
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in TABLES - {"workspaces"}
    ]
    assert pruned.jobs > JOBS / 10
    assert scans == []


def test_every_column_that_points_at_what_goes_has_an_index(database: Database) -> None:
    """Or each deleted row would scan the table that points at it."""
    with database.begin() as session:
        unindexed = session.scalars(
            text("""
                SELECT conrelid::regclass || '.' || attname
                FROM pg_constraint AS key
                JOIN pg_attribute AS reference
                  ON reference.attrelid = key.conrelid AND reference.attnum = key.conkey[1]
                WHERE contype = 'f'
                  AND confrelid IN (
                      'provisioner_jobs'::regclass, 'workspace_builds'::regclass,
                      'workspace_resources'::regclass
                  )
                  AND NOT EXISTS (
                      SELECT 1 FROM pg_index
                      WHERE indrelid = key.conrelid AND indkey[0] = key.conkey[1]
                        AND indpred IS NULL
                  )
            """)
        ).all()

    assert unindexed == []


def audited(database: Database, *, days_ago: int, count: int = 1) -> None:
    """Let somebody have changed something."""
    with database.begin() as session:
        session.execute(
            text("""
                INSERT INTO audit_logs (id, time, username, organization_id, resource_type,
                                        resource_id, resource_target, action)
                SELECT gen_random_uuid(), now() - :age, 'alice', gen_random_uuid(), 'workspace',
                       gen_random_uuid(), 'alice/box', 'push_state'
                FROM generate_series(1, :count)
            """),
            {"age": timedelta(days=days_ago), "count": count},
        )


def changes_of(database: Database) -> int:
    with database.begin() as session:
        found: int = session.execute(text("SELECT count(*) FROM audit_logs")).scalar_one()
        return found


def test_a_change_is_kept_in_the_audit_log_for_as_long_as_was_said(database: Database) -> None:
    audited(database, days_ago=364)
    audited(database, days_ago=366)
    assert prune(database, KEPT) == Pruned(audit_logs=1)
    assert changes_of(database) == 1


@pytest.mark.parametrize(("is_dry_run", "left"), [(False, 0), (True, LINES_PER_TURN + 1)])
def test_a_long_audit_log_is_pruned_in_turns(
    database: Database, is_dry_run: bool, left: int
) -> None:
    audited(database, days_ago=366, count=LINES_PER_TURN + 1)
    assert prune(database, KEPT, is_dry_run=is_dry_run).audit_logs == LINES_PER_TURN + 1
    assert changes_of(database) == left
