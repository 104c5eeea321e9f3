"""What an idle worker costs PostgreSQL and the processor."""

from __future__ import annotations

import time

import psutil
from sqlalchemy import text

from bench.measure import Result
from bench.place import Place
from tests.harness.databases import autocommit
from tests.harness.waiting import wait_until

SECONDS = 60
COUNTING = 3  # of the transactions are those of the count itself


def run(place: Place, rounds: int = 1) -> list[Result]:
    with autocommit(place.database) as connection:
        # Its transactions are counted, too, and are not the worker's.
        connection.execute(text("ALTER SYSTEM SET autovacuum = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    with place.worker(concurrency=4) as process:
        wait_until(lambda: _seen(place) > 0, "the worker's first heartbeat")
        time.sleep(10)  # let the start be over: this is about the time after it
        worker = psutil.Process(process.pid)
        before, cpu = _statements(place), worker.cpu_times()
        time.sleep(SECONDS)
        after, used = _statements(place), worker.cpu_times()
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


def _seen(place: Place) -> int:
    with place.database.begin() as session:
        query = text("SELECT count(*) FROM provisioner_daemons")
        return int(session.execute(query).scalar_one())


def _statements(place: Place) -> int:
    """Return how many transactions of the database were counted by now."""
    with autocommit(place.database) as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with autocommit(place.database) as connection:
        query = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(query).scalar_one())
