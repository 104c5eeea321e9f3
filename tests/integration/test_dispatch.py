"""How a slot answers doorbells, and what a build costs by counts that do not depend on time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import event

from db.catalog.audit import Actor
from db.catalog.drains import drain_worker
from db.engine import Database
from db.jobs.mover import Mover
from db.jobs.transitions import ClaimedJob
from db.schema.enums import JobStatus, Transition
from provisioner.build.endings import Ending, Lost, Requeued, Succeeded
from provisioner.build.runner import Runner
from provisioner.host.interrupt import Interrupt, InterruptReason
from tests.harness.bells import Bell
from tests.harness.factory import Factory
from tests.harness.lossy import LossyDatabase
from tests.harness.slots import echo_runner, make_slots
from tests.harness.threadworker import sign_on
from worker.enqueue import enqueue_build
from worker.metrics.series import Metrics
from worker.process.listeners import move_listeners
from worker.slots.dispatch import Dispatcher

SCRIPT = {
    "plan": {"logs": [{"output": "planned"}]},
    "apply": {
        "logs": [{"output": "made"}],
        "resources": [{"type": "echo_disk", "name": "home", "daily_cost": 1}],
    },
}


def note_statements(database: Database) -> list[str]:
    """Return a list that every statement is put on which is sent to the database."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    return statements


def dispatcher(database: Database, work_root: Path, **given: Any) -> Dispatcher:
    mover = Mover(database=database)
    return make_slots(mover, runner=echo_runner(mover, work_root), **given)


def test_a_doorbell_runs_one_build(factory: Factory, tmp_path: Path) -> None:
    jobs = [factory.build(factory.any_workspace()).job_id for _ in range(2)]
    dispatcher(factory.database, tmp_path).run_next_build("builds")
    assert [factory.status(job) for job in jobs].count(JobStatus.SUCCEEDED) == 1


def test_a_claim_whose_answer_was_lost_is_found_and_no_second_job_is_claimed(
    factory: Factory, tmp_path: Path
) -> None:
    jobs = [factory.build(factory.any_workspace()).job_id for _ in range(2)]
    lossy = LossyDatabase(engine=factory.database.engine)
    dispatcher(lossy, tmp_path).run_next_build("builds")
    assert sorted(factory.status(job) for job in jobs) == ["pending", "succeeded"]


def test_a_doorbell_without_a_job_runs_nothing(factory: Factory, tmp_path: Path) -> None:
    assert dispatcher(factory.database, tmp_path).run_next_build("builds") is None


def test_a_draining_worker_claims_nothing(factory: Factory, tmp_path: Path) -> None:
    job = factory.build(factory.any_workspace()).job_id
    dispatcher(factory.database, tmp_path, is_draining=lambda: True).run_next_build("builds")
    assert factory.status(job) is JobStatus.PENDING


def test_a_draining_worker_passes_a_doorbell_on_once(factory: Factory, tmp_path: Path) -> None:
    bell = Bell()
    slot = dispatcher(factory.database, tmp_path, is_draining=lambda: True, pass_on=bell.ring)
    slot.run_next_build("builds")
    slot.run_next_build("builds", passed_on=True)
    assert bell.queues == ["builds"]


def test_a_worker_that_is_drained_from_afar_passes_a_doorbell_on_once(
    factory: Factory, tmp_path: Path
) -> None:
    bell = Bell()
    slot = dispatcher(factory.database, tmp_path, pass_on=bell.ring)
    slot.worker_id = sign_on(factory.database, "hand")
    slot.run_next_build("builds")
    assert bell.queues == [], "it only had nothing to do"
    with factory.database.begin() as session:
        drain_worker(session, "hand", actor=Actor(username="root"))
    slot.run_next_build("builds")
    slot.run_next_build("builds", passed_on=True)
    assert bell.queues == ["builds"]


def test_a_build_is_eleven_statements_besides_its_log(factory: Factory, tmp_path: Path) -> None:
    """Claim; read; lock and decide the quota; renew and enter apply; finish (move, event,
    state, resources, deadline)."""
    slot = dispatcher(factory.database, tmp_path)
    workspace = factory.any_workspace(allowance=10, script=SCRIPT)
    factory.build(workspace)
    slot.run_next_build("builds")  # reads the archive and opens the quota account
    factory.build(workspace, Transition.STOP)
    statements = note_statements(factory.database)
    assert isinstance(slot.run_next_build("builds"), Succeeded)
    # A build that lasts stores lines meanwhile, and may have none left at its end.
    storing = ("WHEN stage = 'apply'", "INSERT INTO provisioner_job_logs")
    assert len([sent for sent in statements if not any(part in sent for part in storing)]) == 11


def test_an_enqueue_rings_once(factory: Factory) -> None:
    bell = Bell()
    workspace = factory.any_workspace()
    with factory.database.begin() as session:
        build = enqueue_build(
            session, workspace_id=workspace.id, transition=Transition.START, ring=bell.ring
        )
    assert bell.queues == [build.queue]


class HurriedRunner:
    """Runs builds of a worker whose drain time is over."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def run(self, job: ClaimedJob, interrupt: Interrupt) -> Ending:
        interrupt.request(InterruptReason.DRAIN)
        return self.runner.run(job, interrupt)


def test_a_job_that_a_drain_puts_back_is_rung_for(factory: Factory, tmp_path: Path) -> None:
    bell = Bell()
    factory.build(factory.any_workspace())
    metrics = Metrics(CollectorRegistry())
    mover = Mover(
        database=factory.database, listeners=move_listeners(metrics=metrics, ring=bell.ring)
    )
    slots = make_slots(mover, runner=HurriedRunner(echo_runner(mover, tmp_path)))
    assert isinstance(slots.run_next_build("builds"), Requeued)
    assert bell.queues == ["builds"]


def test_a_build_enqueued_within_a_savepoint_is_rung_for_after_the_commit(factory: Factory) -> None:
    bell = Bell()
    workspace = factory.any_workspace()
    with factory.database.begin() as session:
        with session.begin_nested():
            enqueue_build(
                session, workspace_id=workspace.id, transition=Transition.START, ring=bell.ring
            )
        assert bell.queues == [], "nobody else sees the rows yet"
    assert bell.queues == ["builds"]


class OvertakenRunner:
    """Runs builds whose leases are lost."""

    def run(self, job: ClaimedJob, interrupt: Interrupt) -> Ending:
        del job, interrupt
        return Lost()


def test_a_lost_lease_is_counted(factory: Factory) -> None:
    factory.build(factory.any_workspace())
    registry = CollectorRegistry()
    mover = Mover(database=factory.database)
    slots = make_slots(mover, runner=OvertakenRunner(), metrics=Metrics(registry))
    slots.run_next_build("builds")
    assert registry.get_sample_value("provisionerd_leases_lost_total") == 1
