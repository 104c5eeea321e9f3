"""Read what PostgreSQL and Redis have used so far; the difference of two readings is a cost."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import psutil
from sqlalchemy import QueuePool, text

from bench.services import Services
from tests.harness.databases import autocommit

FLUSH_S = 11.0
"""An idle server process reports its counts within ten seconds."""

COUNTS = text("""
    SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float AS wal_bytes,
           (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())
               AS transactions,
           sum(n_tup_upd)::float AS updates,
           sum(n_tup_hot_upd)::float AS hot_updates,
           sum(n_tup_del)::float AS deletes
    FROM pg_stat_all_tables
    WHERE schemaname IN ('public', 'pg_toast')
""")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Sums since the servers started, or the difference of two readings."""

    processor_s: float  #: of PostgreSQL, all of its processes
    wal_bytes: float
    transactions: float
    updates: float
    hot_updates: float  #: those that left no work for vacuum in any index
    deletes: float  #: chunks of replaced states included
    redis_processor_s: float
    redis_commands: float

    def __sub__(self, other: Self) -> Usage:
        """Return what was used between the reading ``other`` and this one."""
        return Usage(
            **{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(Usage)}
        )

    @property
    def dead(self) -> float:
        """Row versions that only vacuum removes."""
        return self.updates - self.hot_updates + self.deletes


def read_usage(services: Services) -> Usage:
    """Read all counters. Recent work of other connections may be missing: see ``FLUSH_S``."""
    with autocommit(services.database) as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        row = connection.execute(COUNTS).one()
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    redis = services.redis.info("cpu")
    commands = services.redis.info("stats")["total_commands_processed"]
    return Usage(
        **row._asdict(),
        processor_s=_processor_s(postmaster_of(pid)),
        redis_processor_s=redis["used_cpu_user"] + redis["used_cpu_sys"],
        redis_commands=commands,
    )


def postmaster_of(backend: int) -> psutil.Process:
    """Return the process that started the server process of a connection."""
    found = psutil.Process(backend).parent()
    assert found is not None, "PostgreSQL runs on this machine"
    return found


def connections(services: Services) -> int:
    """Return the number of connections to PostgreSQL, without those of this process."""
    pool = services.database.engine.pool
    assert isinstance(pool, QueuePool)
    with autocommit(services.database) as connection:
        count = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        ).scalar_one()
        return int(count) - pool.checkedin() - pool.checkedout()


def private_mb(services: Services) -> float:
    """Return the memory in MB that a connection does not share, the mean of all connections."""
    with autocommit(services.database) as connection:
        clients = connection.execute(
            text("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
        ).all()
        sizes = [psutil.Process(client.pid).memory_full_info().uss for client in clients]
    return sum(sizes) / len(sizes) / 1e6


def _processor_s(server: psutil.Process) -> float:
    """Return the processor time of a process and its children, including ended children."""
    own = server.cpu_times()
    children = [child.cpu_times() for child in server.children()]
    return (
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(times.user + times.system for times in children)
    )
