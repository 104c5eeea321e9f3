"""The cost of an idle worker: PostgreSQL and processor time."""

from __future__ import annotations

import time

import psutil
from sqlalchemy import text

from bench.measure import Result
from bench.services import Services
from tests.harness.databases import autocommit
from tests.harness.waiting import wait_until

SECONDS = 60
COUNTING = 3  # transactions of the count itself


def run(services: Services, rounds: int = 1) -> list[Result]:
    with autocommit(services.database) as connection:
        # Its transactions would be counted too, but are not the worker's.
        connection.execute(text("ALTER SYSTEM SET autovacuum = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    with services.worker(concurrency=4) as process:
        wait_until(lambda: _seen(services) > 0, "the worker's first heartbeat")
        time.sleep(10)  # the start must not be measured
        worker = psutil.Process(process.pid)
        before, cpu = _statements(services), worker.cpu_times()
        time.sleep(SECONDS)
        after, used = _statements(services), worker.cpu_times()
    spent = used.user + used.system - cpu.user - cpu.system
    return [
        Result(
            bench="idle",
            what="transactions of an idle worker per minute (most are one statement)",
            unit="1/min",
            ours=(after - before - COUNTING) / SECONDS * 60,
            reach="<= 60",
            aim="<= 15",
        ),
        Result(
            bench="idle",
            what="processor time of an idle worker per minute",
            unit="s",
            ours=spent / SECONDS * 60,
        ),
    ]


def _seen(services: Services) -> int:
    with services.database.begin() as session:
        query = text("SELECT count(*) FROM provisioner_daemons")
        return int(session.execute(query).scalar_one())


def _statements(services: Services) -> int:
    """Return how many transactions the database has counted."""
    with autocommit(services.database) as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with autocommit(services.database) as connection:
        query = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(query).scalar_one())
