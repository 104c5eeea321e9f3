from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from db.errors import LeaseLostError
from db.jobs.leases import Lease
from db.jobs.logs import LINE_LIMIT, LogRow, append_logs, logs_size
from db.jobs.transitions import ClaimedJob, requeue_job
from db.schema.enums import LogLevel, LogSource, Stage
from db.schema.tables import LOG_LIMIT_BYTES, ProvisionerJobLog
from tests.harness.factory import Factory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(output: str, level: LogLevel = LogLevel.INFO) -> LogRow:
    return LogRow(
        created_at=NOW, source=LogSource.PROVISIONER, level=level, stage="Planning", output=output
    )


def append(factory: Factory, job: ClaimedJob, *outputs: str, overflowed: bool = False) -> None:
    with factory.database.begin() as session:
        append_logs(
            session,
            job.lease,
            rows=[row(output) for output in outputs],
            overflowed=overflowed,
        )


def outputs(factory: Factory) -> list[str]:
    with factory.database.begin() as session:
        query = select(ProvisionerJobLog.output).order_by(ProvisionerJobLog.id)
        return list(session.scalars(query))


def test_lines_are_stored_in_the_order_given(factory: Factory) -> None:
    job = factory.running_build()
    lines = [str(number) for number in range(200)]
    append(factory, job, *lines[:100])
    append(factory, job, *lines[100:])
    assert outputs(factory) == lines


def test_a_line_is_stored_with_all_that_it_says(factory: Factory) -> None:
    job = factory.running_build()
    append(factory, job, "x")
    with factory.database.begin() as session:
        line = session.scalars(select(ProvisionerJobLog)).one()
    assert (line.job_id, line.created_at, line.source, line.level, line.stage, line.output) == (
        job.id,
        NOW,
        LogSource.PROVISIONER,
        LogLevel.INFO,
        "Planning",
        "x",
    )


@pytest.mark.parametrize(
    "output",
    ["", "'; DROP TABLE users; --", '{"a", "b"}', "NULL", "\\", '"', "\u00e9\U0001f600", "\t\r\n"],
    ids=ascii,
)
def test_a_line_is_stored_as_it_is(factory: Factory, output: str) -> None:
    append(factory, factory.running_build(), output)
    assert outputs(factory) == [output]


def test_the_widest_line_fits(factory: Factory) -> None:
    append(factory, factory.running_build(), "\U0001f600" * LINE_LIMIT)
    assert len(outputs(factory)[0]) == LINE_LIMIT


def test_the_size_of_all_lines_stands_on_the_job(factory: Factory) -> None:
    job = factory.running_build()
    append(factory, job, "abc", "\u00e9")
    append(factory, job, "d")
    assert factory.job(job.id).logs_length == 6 == logs_size([row("abc"), row("\u00e9"), row("d")])


def test_the_mark_of_an_overflow_stays(factory: Factory) -> None:
    job = factory.running_build()
    append(factory, job, "x", overflowed=True)
    append(factory, job, "y")
    assert factory.job(job.id).logs_overflowed


def test_a_log_that_was_not_cut_bears_no_mark(factory: Factory) -> None:
    job = factory.running_build()
    append(factory, job, "x")
    assert not factory.job(job.id).logs_overflowed


def test_the_size_never_passes_the_limit(factory: Factory) -> None:
    job = factory.running_build()
    with factory.database.begin() as session:
        change = text("UPDATE provisioner_jobs SET logs_length = :full WHERE id = :id")
        session.execute(change, {"full": LOG_LIMIT_BYTES - 1, "id": job.id})
    append(factory, job, "abc")
    assert factory.job(job.id).logs_length == LOG_LIMIT_BYTES


def test_no_lines_are_no_error(factory: Factory) -> None:
    append(factory, factory.running_build())
    assert outputs(factory) == []


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        pytest.param(Stage.SET_UP, Stage.PLAN, Stage.PLAN, id="bring the job on"),
        pytest.param(Stage.PLAN, None, Stage.PLAN, id="leave it where it is"),
        pytest.param(Stage.APPLY, Stage.PLAN, Stage.APPLY, id="do not take it back from apply"),
    ],
)
def test_lines_that_come_with_a_stage(
    factory: Factory, before: Stage, told: Stage | None, after: Stage
) -> None:
    job = factory.running_build(stage=before)
    with factory.database.begin() as session:
        append_logs(session, job.lease, rows=[row("x")], stage=told)
    assert factory.job(job.id).stage == after


@pytest.mark.parametrize("is_finished", [False, True])
def test_lines_of_a_job_that_is_not_held_are_refused(factory: Factory, is_finished: bool) -> None:
    job = factory.finished_build() if is_finished else factory.running_build()
    token = job.lease.token if is_finished else uuid.uuid4()
    with factory.database.begin() as session, pytest.raises(LeaseLostError):
        append_logs(session, Lease(job.id, token), rows=[row("x")])
    assert outputs(factory) == []


def test_a_claim_tells_how_much_an_earlier_attempt_has_stored(factory: Factory) -> None:
    job = factory.running_build()
    append(factory, job, "abc")
    with factory.database.begin() as session:
        requeue_job(session, job.lease)
    again = factory.claim()
    assert again is not None
    assert again.logs_length == 3
