"""The measured costs of one worker and one build, from which growth is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields


def cost(what: str, unit: str) -> float:
    """Return a field with a description, for the bench that measures it and for the table."""
    made: float = field(metadata={"what": what, "unit": unit})
    return made


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The measured costs. A worker has 8 slots and the default of every setting."""

    idle_transactions: float = cost("transactions of an idle worker", "1/min")
    idle_ms: float = cost("PostgreSQL for an idle worker that is scraped", "ms/min")
    idle_growth_ms: float = cost("more of it for each 1,000 workers that there are", "ms/min")
    idle_backlog_ms: float = cost("more of it for each 1,000 jobs that wait", "ms/min")
    idle_wal_kb: float = cost("WAL of an idle worker", "kB/min")
    idle_connections: float = cost("connections to PostgreSQL of an idle worker", "")
    busy_connections: float = cost("the same with 8 builds", "")
    connection_mb: float = cost("memory of such a connection, not shared", "MB")
    build_transactions: float = cost("transactions of a build with next to no log", "")
    build_ms: float = cost("PostgreSQL for such a build, enqueueing included", "ms")
    build_wal_kb: float = cost("WAL of such a build", "kB")
    build_cold_wal_kb: float = cost("the same right after a checkpoint, 100,000 stored", "kB")
    build_updates: float = cost("row versions that such a build replaces", "")
    build_dead: float = cost("those that only vacuum removes", "")
    build_stored_kb: float = cost("rows and indexes of such a build", "kB")
    resource_ms: float = cost("PostgreSQL for a resource with three timings", "ms")
    resource_wal_kb: float = cost("WAL of a resource with three timings", "kB")
    resource_stored_kb: float = cost("a resource with three timings, stored", "kB")
    batch_ms: float = cost("PostgreSQL for a batch of log lines", "ms")
    batch_wal_kb: float = cost("WAL of a batch of log lines", "kB")
    line_ms: float = cost("PostgreSQL for each 1,000 lines in it", "ms")
    line_wal_kb: float = cost("WAL of each 1,000 lines in it", "kB")
    line_stored_kb: float = cost("1,000 lines of 80 characters, stored", "kB")
    prune_ms: float = cost("pruning 1,000 lines takes", "ms")
    prune_wal_kb: float = cost("WAL of deleting 1,000 lines", "kB")
    state_ms: float = cost("PostgreSQL for a checkpoint, for each MB of the state", "ms")
    state_wal_kb: float = cost("WAL of a checkpoint, for each MB of the state", "kB")
    state_stored_kb: float = cost("1 MB of state, stored", "kB")
    state_dead: float = cost("row versions that it leaves to vacuum, for each MB", "")
    renewal_ms: float = cost("PostgreSQL for renewing 8 leases", "ms")
    renewal_wal_kb: float = cost("WAL of renewing 8 leases", "kB")
    renewal_dead: float = cost("row versions that it leaves to vacuum", "")
    look_ms: float = cost("PostgreSQL for a look at a build and its log, 1,000 workers", "ms")
    claims: float = cost("claims by 8 claimers, 10,000 waiting", "1/s")
    vacuum_rows: float = cost("replaced job rows that an autovacuum worker removes", "1/s")
    vacuum_lines: float = cost("deleted log lines that it removes", "1/s")
    redis_connections: float = cost("connections to Redis of an idle worker", "")
    redis_commands: float = cost("Redis commands of an idle worker", "1/min")
    redis_client_kb: float = cost("memory of a connection to Redis", "kB")
    redis_build_commands: float = cost("Redis commands of a build", "")
    redis_build_ms: float = cost("Redis for a build", "ms")


def read_costs(results: Sequence[Mapping[str, object]]) -> Costs:
    """Return the costs in the output of ``bench.run --output json``.

    Raises:
        ValueError: a cost is missing; the message names it.
    """
    found = {row["what"]: row["ours"] for row in results if row["bench"] == "scale"}
    missing = [what for what, _ in described().values() if what not in found]
    if missing:
        raise ValueError(f"not measured: {'; '.join(missing)}: run the bench `scale` again")
    return Costs(**{name: float(str(found[what])) for name, (what, _) in described().items()})


def described() -> dict[str, tuple[str, str]]:
    """Return the description and the unit of each cost, by the name of its field."""
    return {f.name: (f.metadata["what"], f.metadata["unit"]) for f in fields(Costs)}
