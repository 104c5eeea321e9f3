"""A template version that keeps failing, from its first failure to its recovery, in real slots."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from db.catalog.builds import EnqueuedBuild
from db.catalog.limits import Limit, set_limit
from db.errors import CircuitOpenError
from db.jobs.circuits import LONGEST
from db.jobs.mover import Mover
from db.reads.circuits import CircuitListing, list_circuits
from db.schema.enums import BuildReason, FailureReason, JobStatus, Transition
from db.schema.tables import File, Workspace
from tests.harness.factory import Factory, echo_archive
from tests.harness.slots import echo_runner, make_slots
from worker.process.listeners import log_circuits

BROKEN = {"start": {"plan": {"error": "no capacity"}}}


def autostart(factory: Factory, workspace: Workspace) -> EnqueuedBuild:
    return factory.build(workspace, reason=BuildReason.AUTOSTART)


def run_all(factory: Factory, work_root: Path) -> list[str]:
    """Run what waits; return what the daemon's log says about circuits."""
    mover = Mover(database=factory.database, listeners=[log_circuits])
    slot = make_slots(mover, runner=echo_runner(mover, work_root))
    with capture_logs() as events:
        while slot.run_next_build("builds"):
            pass
    return [found["event"] for found in events if found["event"].startswith("circuit.")]


def circuits(factory: Factory) -> list[CircuitListing]:
    with factory.database.begin() as session:
        return list_circuits(session)


def let_time_pass(factory: Factory, by: timedelta = LONGEST) -> None:
    with factory.database.begin() as session:
        session.execute(text("UPDATE circuits SET open_until = open_until - :by"), {"by": by})


def repair(factory: Factory) -> None:
    """Let the version succeed, as if what it needs were there again."""
    with factory.database.begin() as session:
        for file in session.scalars(select(File)):
            file.data = echo_archive({})


def test_a_failing_version_is_left_alone_until_it_succeeds(
    factory: Factory, tmp_path: Path
) -> None:
    with factory.database.begin() as session:
        set_limit(session, Limit.AUTOMATIC_FAILURES, 2)
    workspace = factory.any_workspace(script=BROKEN)
    others = [factory.namesake(workspace, name=f"box-{number}") for number in range(2)]
    builds = [autostart(factory, one) for one in (workspace, *others)]
    assert run_all(factory, tmp_path) == ["circuit.opened"]

    # Two failures open the circuit; what waits does not run, and says why.
    jobs = [factory.job(build.job_id) for build in builds]
    assert [job.failure_reason for job in jobs] == [
        FailureReason.TERRAFORM,
        FailureReason.TERRAFORM,
        FailureReason.CIRCUIT,
    ]
    refusal = 'starts of template version "v1" are refused for now: 2 failed in a row'
    assert str(jobs[-1].error).startswith(refusal)
    with pytest.raises(CircuitOpenError, match=refusal):
        autostart(factory, workspace)
    (circuit,) = circuits(factory)
    assert (circuit.state, circuit.reason, circuit.last_job_id) == (
        "open",
        "terraform in plan",
        builds[1].job_id,
    )

    # A stop goes through.
    stop = factory.build(workspace, Transition.STOP)
    run_all(factory, tmp_path)
    assert factory.status(stop.job_id) is JobStatus.SUCCEEDED

    # What is let through closes it.
    let_time_pass(factory)
    assert [found.state for found in circuits(factory)] == ["half-open"]
    repair(factory)
    start = autostart(factory, workspace)
    assert run_all(factory, tmp_path) == ["circuit.closed"]
    assert factory.status(start.job_id) is JobStatus.SUCCEEDED
    assert circuits(factory) == []
    assert autostart(factory, others[0])
