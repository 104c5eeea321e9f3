"""Every failed job is counted once, by whoever wrote its row; a scrape reads what is unfinished."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.mover import Mover
from db.jobs.reaper import reap_expired_lease
from db.jobs.transitions import ClaimedJob, cancel_job
from db.jobs.workers import register_worker
from db.outage import is_outage
from db.schema.enums import (
    JobStatus,
    ProvisionerType,
    Stage,
)
from provisioner.build.endings import Ending, Lost
from provisioner.host.interrupt import Interrupt
from provisioner.host.recovery import Recoverer
from provisioner.host.workdir import name_work_directory
from tests.harness.databases import (
    autocommit,
    copied_database,
    database_url_of,
    opened_database,
    tcp_url_of,
)
from tests.harness.factory import LEASE, Factory, echo_archive
from tests.harness.plans import describe, explain, rows_read, sent_by, walk
from tests.harness.proxy import Proxy
from tests.harness.slots import echo_runner, make_slots
from tests.harness.waiting import DEADLINE_S, wait_until
from worker.embedded import Embedded
from worker.maintenance.sweeper import Sweeper
from worker.metrics import cached
from worker.metrics.queues import FleetCollector, QueueCollector
from worker.metrics.series import Metrics
from worker.process.listeners import move_listeners

OVER = timedelta(seconds=-1)
PENDING_LIMIT = timedelta(minutes=30)
SLOTS = 2
FINISH = b"completed_at = now()"  # in the statements that finish a job, and in no other
CLAIM = b"attempt = attempt + 1"  # in the statement that claims, and in no other
OUTAGE = OperationalError("COMMIT", {}, psycopg.OperationalError("the connection was cut"))

Failures = dict[tuple[str, str, str], float]
WORKER_LOST = ("none", "apply", "worker_lost")
POISON = ("none", "init", "poison")
EXPIRED = ("none", "pending", "pending_limit")


@dataclass(frozen=True, kw_only=True)
class OutageDatabase(Database):
    """A database that is away for the Nth transaction, before its COMMIT."""

    away_at: int
    begun: list[None] = field(default_factory=list)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        self.begun.append(None)
        with super().begin() as session:
            yield session
            if len(self.begun) == self.away_at:
                raise OUTAGE


@dataclass(kw_only=True)
class Counting:
    """A worker's sweeper and what it has counted."""

    database: Database
    work_root: Path
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)
        self.messages: list[str] = []
        mover = Mover(
            database=self.database,
            listeners=move_listeners(metrics=self.metrics, ring=self._ring),
        )
        recoverer = Recoverer(
            mover=mover,
            work_root=self.work_root,
            max_attempts=3,
            lease=LEASE,
            grace=timedelta(minutes=5),
        )
        self.sweeper = Sweeper(
            mover=mover,
            metrics=self.metrics,
            queues=["builds"],
            provisioners=tuple(ProvisionerType),
            slots=SLOTS,
            ring=self._ring,
            count_messages=self.messages.count,
            recoverer=recoverer,
            max_attempts=3,
            pending_limit=PENDING_LIMIT,
        )

    def _ring(self, queue: str) -> bool:
        self.messages.append(queue)
        return True

    def sweep(self) -> None:
        self.sweeper.sweep()
        self.sweeper.recover_builds()

    def failures(self) -> Failures:
        """How many failed, by error code, stage and reason."""
        return {
            (labels["error_code"], labels["stage"], labels["reason"]): value
            for labels, value in self.counted("provisionerd_job_failures_total")
        }

    def builds(self) -> dict[str, float]:
        """How many ended, by status."""
        found = self.counted("provisionerd_workspace_builds_total")
        return {labels["status"]: value for labels, value in found}

    def counted(self, name: str) -> list[tuple[dict[str, str], float]]:
        return [
            (sample.labels, sample.value)
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        ]


@pytest.fixture
def counting(database: Database, tmp_path: Path) -> Counting:
    return Counting(database=database, work_root=tmp_path)


def overdue_build(factory: Factory) -> uuid.UUID:
    """A build that waits for longer than it may."""
    job_id = factory.build(factory.any_workspace()).job_id
    set_columns(factory, job_id, created_at="2020-01-01", updated_at="2020-01-01")
    return job_id


def lost_build(factory: Factory, *, stage: Stage, attempt: int = 1) -> ClaimedJob:
    """A build whose worker has not renewed its lease in time."""
    job = factory.running_build(stage=stage, lease=OVER)
    set_columns(factory, job.id, attempt=attempt)
    return job


def left_build(factory: Factory, work_root: Path) -> ClaimedJob:
    """A build in apply whose worker on this host has died a moment ago."""
    job = factory.running_build(stage=Stage.APPLY)
    directory = name_work_directory(work_root, job.lease, claim=job.claim)
    directory.make(echo_archive())
    directory.release()
    return job


def set_columns(factory: Factory, job_id: uuid.UUID, **values: object) -> None:
    changes = ", ".join(f"{column} = :{column}" for column in values)
    with factory.database.begin() as session:
        session.execute(
            text(f"UPDATE provisioner_jobs SET {changes} WHERE id = :id"),
            {"id": job_id, **values},
        )


def test_jobs_that_nobody_claimed_in_time_are_counted_once_each(
    factory: Factory, counting: Counting
) -> None:
    overdue_build(factory)
    overdue_build(factory)

    counting.sweep()
    counting.sweep()

    assert counting.failures() == {EXPIRED: 2.0}


def test_a_job_whose_worker_was_lost_in_apply_is_counted_once(
    factory: Factory, counting: Counting
) -> None:
    lost_build(factory, stage=Stage.APPLY)

    counting.sweep()
    counting.sweep()

    assert counting.failures() == {WORKER_LOST: 1.0}


def test_a_job_whose_worker_was_lost_in_its_last_attempt_is_counted_as_poison(
    factory: Factory, counting: Counting
) -> None:
    lost_build(factory, stage=Stage.INIT, attempt=3)

    counting.sweep()

    assert counting.failures() == {POISON: 1.0}


def test_a_job_that_was_put_back_is_no_failure(factory: Factory, counting: Counting) -> None:
    lost_build(factory, stage=Stage.INIT)

    counting.sweep()

    assert counting.failures() == {}
    assert counting.counted("provisionerd_requeues_total") == [({"reason": "lost"}, 1.0)]


def test_a_job_that_was_canceled_for_its_lost_worker_is_no_failure(
    factory: Factory, counting: Counting
) -> None:
    job = lost_build(factory, stage=Stage.INIT)
    with factory.database.begin() as session:
        cancel_job(session, job_id=job.id)

    counting.sweep()

    assert counting.failures() == {}
    assert counting.builds() == {"canceled": 1.0}


@pytest.mark.parametrize(
    ("stage", "attempt", "status"),
    [
        pytest.param(Stage.APPLY, 1, "failed", id="failed"),
        pytest.param(Stage.INIT, 1, "pending", id="put back"),
    ],
)
def test_what_became_of_a_reaped_job_is_counted(
    factory: Factory, counting: Counting, stage: Stage, attempt: int, status: str
) -> None:
    lost_build(factory, stage=stage, attempt=attempt)

    counting.sweep()

    assert counting.counted("provisionerd_reaped_jobs_total") == [({"status": status}, 1.0)]


def test_a_job_that_is_closed_from_its_directory_is_counted_once(
    factory: Factory, counting: Counting
) -> None:
    left_build(factory, counting.work_root)

    counting.sweep()
    counting.sweep()

    assert counting.failures() == {WORKER_LOST: 1.0}


def test_a_job_that_another_has_closed_is_not_counted_from_its_directory(
    factory: Factory, counting: Counting
) -> None:
    job = left_build(factory, counting.work_root)
    with factory.database.begin() as session:
        session.execute(text("UPDATE leases SET expires_at = now() - interval '1 second'"))
        reap_expired_lease(session, max_attempts=3)

    counting.sweep()

    assert factory.status(job.id) is JobStatus.FAILED
    assert counting.failures() == {}


def test_a_recovery_before_an_outage_is_counted(factory: Factory, tmp_path: Path) -> None:
    left_build(factory, tmp_path)
    left_build(factory, tmp_path)
    counting = Counting(database=away(factory.database, at=2), work_root=tmp_path)

    with pytest.raises(OperationalError):
        counting.sweeper.recover_builds()

    assert counting.failures() == {WORKER_LOST: 1.0}


Make = Callable[[Factory, Path], object]

CASES: dict[str, tuple[Make, tuple[str, str, str]]] = {
    "expired": (lambda factory, _root: overdue_build(factory), EXPIRED),
    "reaped": (lambda factory, _root: lost_build(factory, stage=Stage.APPLY), WORKER_LOST),
    "poison": (lambda factory, _root: lost_build(factory, stage=Stage.INIT, attempt=3), POISON),
    "recovered": (left_build, WORKER_LOST),
}


@pytest.mark.parametrize("case", CASES)
def test_a_job_is_counted_once_although_the_answer_to_its_commit_was_lost(
    embedded: Embedded, factory: Factory, tmp_path: Path, case: str
) -> None:
    make, failure = CASES[case]
    make(factory, tmp_path)
    with through_proxy(embedded, factory.database) as (proxy, database):
        counting = Counting(database=database, work_root=tmp_path)
        proxy.lose_answer(FINISH)

        counting.sweep()
        counting.sweep()

    assert proxy.lost_answers == 1
    assert counting.failures() == {failure: 1.0}


@pytest.mark.parametrize("lose", [Proxy.lose_answer, Proxy.lose_row], ids=["COMMIT", "statement"])
def test_a_claim_whose_answer_was_lost_is_run_at_once_as_the_first_attempt(
    embedded: Embedded, factory: Factory, tmp_path: Path, lose: Callable[[Proxy, bytes], None]
) -> None:
    job_id = factory.build(factory.any_workspace()).job_id
    registry = CollectorRegistry()
    with through_proxy(embedded, factory.database) as (proxy, database):
        lose(proxy, CLAIM)
        run_a_build(database, Metrics(registry), tmp_path)

    assert proxy.lost_answers == 1
    assert (factory.status(job_id), factory.job(job_id).attempt) == (JobStatus.SUCCEEDED, 1)
    assert registry.get_sample_value("provisionerd_queue_wait_seconds_count") == 1.0


@pytest.mark.parametrize(("case", "transaction"), [("reaped", 1), ("recovered", 3)])
def test_a_job_whose_end_was_rolled_back_is_counted_when_it_has_ended(
    factory: Factory, tmp_path: Path, case: str, transaction: int
) -> None:
    make, failure = CASES[case]
    make(factory, tmp_path)
    counting = Counting(database=away(factory.database, at=transaction), work_root=tmp_path)
    with pytest.raises(OperationalError):
        counting.sweep()
    too_early = counting.failures()

    counting.sweep()

    assert too_early == {}
    assert counting.failures() == {failure: 1.0}


def test_the_outage_of_these_tests_is_one() -> None:
    assert is_outage(OUTAGE)


def away(database: Database, *, at: int) -> OutageDatabase:
    return OutageDatabase(
        engine=database.engine,
        away_at=at,
    )


@contextmanager
def through_proxy(embedded: Embedded, database: Database) -> Iterator[tuple[Proxy, Database]]:
    """The same database, through a proxy that can lose an answer."""
    assert embedded.postgres_port is not None
    with Proxy(target=("127.0.0.1", embedded.postgres_port)) as proxy:
        name = database.engine.url.database
        assert name is not None
        with opened_database(tcp_url_of(embedded, name, port=proxy.port)) as harmed:
            yield proxy, harmed


def run_a_build(database: Database, metrics: Metrics, work_root: Path) -> None:
    listeners = move_listeners(metrics=metrics, ring=lambda _queue: True)
    mover = Mover(database=database, listeners=listeners)
    slots = make_slots(mover, runner=echo_runner(mover, work_root), metrics=metrics)
    slots.run_next_build("builds")


@pytest.mark.parametrize("statement", [b"attempt = attempt + 1", FINISH], ids=["claim", "finish"])
def test_a_build_is_counted_once_although_the_answer_to_a_commit_was_lost(
    embedded: Embedded, factory: Factory, counting: Counting, statement: bytes
) -> None:
    factory.build(factory.any_workspace())
    with through_proxy(embedded, factory.database) as (proxy, database):
        proxy.lose_answer(statement)
        run_a_build(database, counting.metrics, counting.work_root)

    assert proxy.lost_answers == 1
    assert counting.counted("provisionerd_claims_total") == [({}, 1.0)]
    assert counting.builds() == {"succeeded": 1.0}
    assert counting.counted("provisionerd_leases_lost_total") == []


def test_a_worker_counts_no_end_that_it_did_not_write(factory: Factory, counting: Counting) -> None:
    factory.build(factory.any_workspace())
    runner: Any = LostRunner()
    make_slots(
        Mover(database=factory.database), runner=runner, metrics=counting.metrics
    ).run_next_build("builds")

    assert counting.builds() == {}
    assert counting.counted("provisionerd_leases_lost_total") == [({}, 1.0)]


class LostRunner:
    """Stands for a runner whose job was taken by somebody else."""

    def run(self, _job: ClaimedJob, _interrupt: Interrupt) -> Ending:
        return Lost()


FINISHED = 50_000
PENDING = 60
RUNNING = 20
FILL = """
INSERT INTO provisioner_jobs
    (organization_id, initiator_id, provisioner, file_id, type, input, workspace_id,
     owner_id, queue, created_at, started_at, completed_at)
SELECT gen_random_uuid(), gen_random_uuid(), 'echo', gen_random_uuid(), 'workspace_build', '{}',
       gen_random_uuid(), gen_random_uuid(), 'builds', now() - n * interval '1 second', now(), now()
FROM generate_series(1, :finished) AS n;

INSERT INTO provisioner_jobs
    (organization_id, initiator_id, provisioner, file_id, type, input, workspace_id,
     owner_id, queue)
SELECT gen_random_uuid(), gen_random_uuid(), 'echo', gen_random_uuid(), 'workspace_build', '{}',
       gen_random_uuid(), gen_random_uuid(), 'builds'
FROM generate_series(1, :pending + :running);

WITH chosen AS (
    SELECT id FROM provisioner_jobs WHERE started_at IS NULL LIMIT :running
), started AS (
    UPDATE provisioner_jobs AS job
    SET started_at = now(), worker_id = :worker_id, lease_token = gen_random_uuid(), attempt = 1
    FROM chosen
    WHERE job.id = chosen.id
    RETURNING job.id, lease_token
)
INSERT INTO leases (job_id, token, worker_id, expires_at)
SELECT id, lease_token, :worker_id, now() + interval '1 minute' FROM started;
"""


@pytest.fixture(scope="module")
def filled(embedded: Embedded, template_database: str) -> Iterator[Database]:
    """A database with 50,000 finished jobs, 60 that wait and 20 that run."""
    with (
        copied_database(embedded, template_database) as name,
        opened_database(database_url_of(embedded, name)) as database,
    ):
        fill(database)
        yield database


def test_a_scrape_scans_no_finished_jobs(filled: Database) -> None:
    nodes = [node for plan in plans_of_scrape(filled) for node in walk(plan)]

    jobs = [node for node in nodes if node.get("Relation Name") == "provisioner_jobs"]
    assert jobs
    assert [describe(node) for node in jobs if node["Node Type"] == "Seq Scan"] == []


def test_a_scrape_reads_as_many_jobs_as_are_unfinished(filled: Database) -> None:
    read = [sum(map(rows_read, walk(plan))) for plan in plans_of_scrape(filled)]

    # The queues' statement (with looks at the first job, for the queue's name and tags) and the
    # fleet's read what waits; another of the fleet's, what runs.
    assert sorted(filter(None, read)) == [RUNNING, PENDING, PENDING + 2]


def test_a_scrape_shows_what_is_unfinished(filled: Database) -> None:
    shown = scrape(filled)

    assert shown["provisionerd_queue_depth", "builds"] == PENDING
    assert shown["provisionerd_jobs", "pending"] == PENDING
    assert shown["provisionerd_jobs", "running"] == RUNNING
    assert shown["provisionerd_jobs", "canceling"] == 0


def test_a_scrape_shows_the_last_reading_while_the_database_hangs(
    embedded: Embedded, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "CACHE_S", 0)
    monkeypatch.setattr(cached, "PATIENCE_S", 0.1)
    factory.build(factory.any_workspace())
    with through_proxy(embedded, factory.database) as (proxy, database):
        registry = CollectorRegistry()
        registry.register(QueueCollector(database))

        def depth() -> float | None:
            return registry.get_sample_value("provisionerd_queue_depth", {"queue": "builds"})

        wait_until(lambda: depth() == 1, "a reading")
        proxy.freeze()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(depth).result(DEADLINE_S) == 1
        factory.build(factory.any_workspace())
        proxy.heal()
        wait_until(lambda: depth() == 2, "a new reading")


def fill(database: Database) -> None:
    with database.begin() as session:
        worker_id = register_worker(
            session,
            name="worker",
            tags={},
            provisioners=tuple(ProvisionerType),
            concurrency=RUNNING,
            version="1",
            hostname="host",
        )
        session.execute(text("SET LOCAL session_replication_role = replica"))
        values = {
            "finished": FINISHED,
            "pending": PENDING,
            "running": RUNNING,
            "worker_id": worker_id,
        }
        for statement in filter(str.strip, FILL.split(";\n")):
            session.execute(text(statement), values)
    with autocommit(database) as connection:
        connection.execute(text("VACUUM ANALYZE"))


def scrape(database: Database) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(QueueCollector(database))
    registry.register(FleetCollector(database, lease_s=20))
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def plans_of_scrape(database: Database) -> list[dict[str, Any]]:
    """The plans, with real row counts, of all statements that a scrape sends."""
    statements = sent_by(database.engine, lambda: scrape(database))
    with database.engine.connect() as connection:
        return [explain(connection, *statement) for statement in statements]
