"""Measure the resources that one side uses, to explain a rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil
from sqlalchemy import text

from bench.server import postmaster_of
from bench.services import Services
from tests.harness.databases import autocommit

WRITTEN = text("""
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::float8,
           (pg_current_wal_insert_lsn() - '0/0')::float8,
           pg_backend_pid()
""")


@dataclass(kw_only=True)
class Meter:
    """Sums over the actions of one side; ``process`` does its work."""

    services: Services
    process: psutil.Process
    count: int = 0
    transactions: float = 0  #: only those that write, because only they wait for the disk
    wal_bytes: float = 0
    process_s: float = 0
    servers_s: float = 0

    def measure(self, count: int, action: Callable[[], float]) -> float:
        """Run an action for ``count`` jobs, and return its result."""
        before = self._read()
        result = action()
        spent = [after - start for after, start in zip(self._read(), before, strict=True)]
        self.count += count
        self.transactions += spent[0]
        self.wal_bytes += spent[1]
        self.process_s += spent[2]
        self.servers_s += spent[3]
        return result

    def _read(self) -> tuple[float, float, float, float]:
        with autocommit(self.services.database) as connection:
            transactions, wal_bytes, backend = connection.execute(WRITTEN).one()
        postgres = postmaster_of(backend)
        redis = psutil.Process(self.services.redis.info("server")["process_id"])
        servers = _processor_s([*postgres.children(), redis])
        return transactions, wal_bytes, _processor_s([self.process]), servers

    def __str__(self) -> str:
        return (
            f"{self.transactions / self.count:.1f} writing transactions, "
            f"{self.wal_bytes / self.count / 1000:.1f} kB of WAL, "
            f"{self.process_s / self.count * 1000:.1f} ms of processor, "
            f"{self.servers_s / self.count * 1000:.1f} ms in the servers"
        )


def _processor_s(processes: Iterable[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
