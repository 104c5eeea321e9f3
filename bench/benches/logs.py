"""A build that prints a million lines: lines stored, memory, and how much it slows the build."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import psutil
import psycopg
from sqlalchemy import text

from bench.measure import Result, pair
from bench.services import BENCH_DEADLINE_S, Services
from db.jobs.logs import LogRow, append_logs
from db.schema.enums import JobStatus, LogLevel, LogSource, Transition
from tests.harness.waiting import wait_until
from worker.enqueue import enqueue_build

LINES = 1_000_000
BATCH = 1000
STORED = 6_000  # lines of 80 characters that fit below the limit of a job
LINE = "x" * 80


def run(services: Services, rounds: int = 3) -> list[Result]:
    return [_stored(services, rounds), *_flood(services)]


def _stored(services: Services, rounds: int) -> Result:
    """Lines per second into the table, fenced and counted, against COPY of the same rows."""
    now = datetime.now(UTC)

    def ours() -> float:
        job = services.factory.running_build()
        row = LogRow(
            created_at=now,
            source=LogSource.PROVISIONER,
            level=LogLevel.INFO,
            stage="Starting workspace",
            output=LINE,
        )
        started = time.perf_counter()
        for _ in range(STORED // BATCH):
            with services.database.begin() as connection:
                append_logs(connection, job.lease, rows=[row] * BATCH)
        return STORED / (time.perf_counter() - started)

    def theirs() -> float:
        job = services.factory.running_build()
        started = time.perf_counter()
        with services.database.begin() as session:
            driver = session.connection().connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            statement = (
                "COPY provisioner_job_logs (job_id, created_at, source, level, stage, output)"
                " FROM STDIN"
            )
            with driver.cursor().copy(statement) as copy:
                for _ in range(STORED):
                    copy.write_row((job.id, now, "provisioner", "info", "Starting workspace", LINE))
        return STORED / (time.perf_counter() - started)

    return pair(ours, theirs, rounds=rounds).result(
        "logs",
        "lines stored in batches, against one COPY of the same rows",
        unit="1/s",
        reach=">= 0.3",
        aim=">= 0.7",
    )


def _flood(services: Services) -> list[Result]:
    """A million lines through the log buffer of a real worker."""
    script = {"apply": {"logs": [{"output": LINE}], "repeat_logs": LINES}}
    quiet = {"apply": {"logs": [{"output": LINE}], "repeat_logs": 1}}
    flood = services.factory.any_workspace(script=script)
    calm = services.factory.any_workspace(script=quiet)
    with services.worker(concurrency=2) as process:
        worker = psutil.Process(process.pid)
        _build(services, calm.id)
        before = worker.memory_info().rss
        took, peak, job_id = _build_watched(services, flood.id, worker)
        to_file = _write_to_file(services)
    with services.database.begin() as session:
        row = session.execute(
            text("SELECT logs_length, logs_overflowed FROM provisioner_jobs WHERE id = :id"),
            {"id": job_id},
        ).one()
    note = f"kept {row.logs_length} bytes, overflowed {row.logs_overflowed}"
    return [
        Result(
            bench="logs",
            what="growth of the worker's memory by a build that prints 1M lines",
            unit="MB",
            ours=(peak - before) / 1e6,
            reach="<= 32",
            note=note,
        ),
        Result(
            bench="logs",
            what="an echo build of 1M lines, against writing them to a file, per line",
            unit="us",
            ours=took / LINES * 1e6,
            theirs=to_file / LINES * 1e6,
            ratio=took / to_file,
            reach="<= 1.1",
        ),
    ]


def _build(services: Services, workspace_id: uuid.UUID) -> None:
    with services.database.begin() as session:
        build = enqueue_build(session, workspace_id=workspace_id, transition=Transition.START)
    services.wait_for_build(build.job_id)


def _build_watched(
    services: Services, workspace_id: uuid.UUID, worker: psutil.Process
) -> tuple[float, int, uuid.UUID]:
    """Return the seconds that a build took, the worker's highest memory in bytes, and the job."""
    with services.database.begin() as session:
        build = enqueue_build(session, workspace_id=workspace_id, transition=Transition.START)
    started = time.perf_counter()
    peak = 0

    def is_done() -> bool:
        nonlocal peak
        peak = max(peak, worker.memory_info().rss)
        return not services.factory.status(build.job_id).is_active

    wait_until(is_done, "the end of the build", within_s=BENCH_DEADLINE_S, tick_s=0.05)
    assert services.factory.status(build.job_id) is JobStatus.SUCCEEDED
    return time.perf_counter() - started, peak, build.job_id


def _write_to_file(services: Services) -> float:
    started = time.perf_counter()
    with (services.data_dir / "lines").open("w") as output:
        for _ in range(LINES):
            output.write(f"{datetime.now(UTC).isoformat()} {LINE}\n")
    return time.perf_counter() - started
