"""Compute what 10, 100 and 1,000 workers need from the costs of one build and one worker.

    python -m bench.run --output json scale > build/scale.json
    python -m bench.growth build/scale.json docs/scale.md

The first command measures (see ``bench.benches.scale``). The second one writes the tables into the
page, or prints them if no page is named. Nothing is measured here: every figure is a product of
costs and a load.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.costs import Costs, described, read_costs

SIZES = (10, 100, 1_000)
DAY_S = 86_400
SCRAPES_PER_MIN = 4
BACKLOG = 10_000
BEGIN, END = "<!-- made by bench.growth -->", "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load of the workers. It is not measured: replace it by yours."""

    name: str
    slots: int = 8
    build_s: float = 90  #: from claim to end
    lines: int = 500  #: of log in a build
    batches: int = 45  #: writes of log in a build, four a second at most
    resources: int = 10
    state_mb: float = 0.1
    checkpoints: int = 10  #: of a build's state while it is applied
    looks_per_s: float = 0.5  #: at each running build: one watcher every two seconds
    day_share: float = 0.25  #: builds of a day by those of a day at the peak
    logs_days: float = 30
    jobs_days: float = 90
    states_days: float = 30
    renew_s: float = 3


USUAL = Load(name="usual")
HEAVY = Load(name="heavy", lines=2_000, batches=180, resources=100, state_mb=1, checkpoints=20)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a number of workers needs of the servers, at the peak, or for each day if it says so."""

    builds: float  #: per second
    running: int
    transactions: float  #: per second
    cores: Mapping[str, float]  #: of PostgreSQL, by purpose
    backlog_cores: float  #: additional cores while 10,000 jobs wait
    wal: Mapping[str, float]  #: MB/s, by purpose
    dead: float  #: row versions left to vacuum, per second
    vacuums: float  #: autovacuum workers that this keeps busy
    connections: float
    connections_idle: float
    connections_gb: float  #: of memory, all slots in use
    freezes_day: float  #: how often 200 M transactions have written
    lines_day: float
    prune_hours: float  #: of each day, by the one worker that prunes
    logs_gb: float
    jobs_gb: float
    states_gb: float
    wal_gb_day: float
    redis_connections: float
    redis_commands: float  #: per second
    redis_cores: float
    redis_mb: float


def need(costs: Costs, load: Load, workers: int) -> Need:
    """Return what ``workers`` need when all of their slots are in use."""
    running = workers * load.slots
    builds = running / load.build_s
    day = builds * load.day_share * DAY_S
    lines = day * load.lines
    wal = _wal(costs, load, workers)
    idle = workers / 60
    build_kb = costs.build_stored_kb + load.resources * costs.resource_stored_kb
    written = costs.build_transactions + load.batches + load.checkpoints
    commands = idle * costs.redis_commands + builds * costs.redis_build_commands
    rows, chunks = _dead(costs, load, workers)
    return Need(
        builds=builds,
        running=running,
        transactions=idle * (costs.idle_transactions + SCRAPES_PER_MIN)
        + builds * written
        + workers / load.renew_s
        + running * load.looks_per_s,
        cores=_cores(costs, load, workers),
        backlog_cores=idle * costs.idle_backlog_ms * BACKLOG / 1000 / 1000,
        wal=wal,
        dead=rows + chunks,
        vacuums=rows / costs.vacuum_rows + chunks / costs.vacuum_lines,
        connections=workers * costs.busy_connections,
        connections_idle=workers * costs.idle_connections,
        connections_gb=workers * costs.busy_connections * costs.connection_mb / 1000,
        freezes_day=(day * written + workers * DAY_S * load.day_share / load.renew_s) / 200e6,
        lines_day=lines,
        prune_hours=lines / 1000 * costs.prune_ms / 1000 / 3600,
        logs_gb=load.logs_days * lines / 1000 * costs.line_stored_kb / 1e6,
        jobs_gb=day * load.jobs_days * build_kb / 1e6,
        states_gb=day * load.states_days * load.state_mb * costs.state_stored_kb / 1e6,
        wal_gb_day=_wal_of_a_day(costs, load, wal, lines),
        redis_connections=workers * costs.redis_connections,
        redis_commands=commands,
        redis_cores=commands * costs.redis_build_ms / costs.redis_build_commands / 1000,
        redis_mb=workers * costs.redis_connections * costs.redis_client_kb / 1000,
    )


def _cores(costs: Costs, load: Load, workers: int) -> dict[str, float]:
    running = workers * load.slots
    builds = running / load.build_s
    # A scrape of each worker counts all workers: hence the square.
    idle_ms = costs.idle_ms + costs.idle_growth_ms * workers / 1000
    spent_ms = {
        "chores of workers": workers / 60 * idle_ms,
        "leases": workers / load.renew_s * costs.renewal_ms,
        "builds": builds * (costs.build_ms + load.resources * costs.resource_ms),
        "logs": builds * (load.batches * costs.batch_ms + load.lines / 1000 * costs.line_ms),
        "states": builds * load.checkpoints * load.state_mb * costs.state_ms,
        "watchers": running * load.looks_per_s * costs.look_ms,
    }
    return {part: spent / 1000 for part, spent in spent_ms.items()}


def _wal(costs: Costs, load: Load, workers: int) -> dict[str, float]:
    builds = workers * load.slots / load.build_s
    chores_kb = workers / 60 * costs.idle_wal_kb + workers / load.renew_s * costs.renewal_wal_kb
    logs_kb = load.batches * costs.batch_wal_kb + load.lines / 1000 * costs.line_wal_kb
    spent_kb = {
        "chores and leases": chores_kb,
        # The worst case: ids are random, so in a large table each build touches other pages, and
        # the first change of a page after a checkpoint writes the whole page.
        "builds": builds * (costs.build_cold_wal_kb + load.resources * costs.resource_wal_kb),
        "logs": builds * logs_kb,
        "states": builds * load.checkpoints * load.state_mb * costs.state_wal_kb,
    }
    return {part: spent / 1000 for part, spent in spent_kb.items()}


def _wal_of_a_day(costs: Costs, load: Load, wal: Mapping[str, float], lines: float) -> float:
    """Return GB: the WAL of the builds, and that of deleting as many lines as they wrote."""
    written = sum(wal.values()) * load.day_share * DAY_S / 1000
    return written + lines / 1000 * costs.prune_wal_kb / 1e6


def _dead(costs: Costs, load: Load, workers: int) -> tuple[float, float]:
    """Return what is left to vacuum per second: rows, and small items such as log lines."""
    builds = workers * load.slots / load.build_s
    rows = builds * costs.build_dead + workers / load.renew_s * costs.renewal_dead
    # States are stored in chunks. Lines are deleted as fast as they were written, by the day.
    chunks = builds * load.checkpoints * load.state_mb * costs.state_dead
    return rows, chunks + builds * load.day_share * load.lines


Show = Callable[[Need], float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the table. Above ``limit`` one ordinary server is not enough."""

    what: str
    unit: str
    show: Show
    limit: float = float("inf")


LINES: Sequence[Line] = (
    Line(what="builds at once", unit="", show=lambda n: n.running),
    Line(what="builds, and claims", unit="1/s", show=lambda n: n.builds, limit=1_000),
    Line(what="transactions", unit="1/s", show=lambda n: n.transactions, limit=20_000),
    Line(what="connections, all slots in use", unit="", show=lambda n: n.connections, limit=500),
    Line(what="connections, idle", unit="", show=lambda n: n.connections_idle, limit=500),
    Line(what="memory of connections", unit="GB", show=lambda n: n.connections_gb, limit=16),
    Line(what="PostgreSQL", unit="cores", show=lambda n: sum(n.cores.values()), limit=8),
    Line(
        what=f"PostgreSQL, more while {BACKLOG:,} jobs wait",
        unit="cores",
        show=lambda n: n.backlog_cores,
        limit=4,
    ),
    Line(what="WAL", unit="MB/s", show=lambda n: sum(n.wal.values()), limit=50),
    Line(what="WAL of a day", unit="GB", show=lambda n: n.wal_gb_day, limit=1_000),
    Line(what="log lines of a day", unit="M", show=lambda n: n.lines_day / 1e6),
    Line(what="logs, 30 days", unit="GB", show=lambda n: n.logs_gb, limit=500),
    Line(what="builds, 90 days", unit="GB", show=lambda n: n.jobs_gb, limit=500),
    Line(what="states, 30 days", unit="GB", show=lambda n: n.states_gb, limit=500),
    Line(what="pruning, hours of each day", unit="h", show=lambda n: n.prune_hours, limit=12),
    Line(what="left to vacuum", unit="1/s", show=lambda n: n.dead),
    Line(what="autovacuum workers busy", unit="", show=lambda n: n.vacuums, limit=2),
    Line(
        what="forced vacuums a day (200 M transactions)",
        unit="",
        show=lambda n: n.freezes_day,
        limit=2,
    ),
    Line(what="Redis connections", unit="", show=lambda n: n.redis_connections, limit=8_000),
    Line(what="Redis commands", unit="1/s", show=lambda n: n.redis_commands, limit=30_000),
    Line(what="Redis", unit="cores", show=lambda n: n.redis_cores, limit=0.5),
    Line(what="Redis, memory of connections", unit="MB", show=lambda n: n.redis_mb),
)


def report(costs: Costs, loads: Sequence[Load] = (USUAL, HEAVY)) -> Iterator[str]:
    """Yield the lines of Markdown that ``docs/scale.md`` shows."""
    yield from ("| cost | figure |", "| --- | ---: |")
    for name, (what, unit) in described().items():
        yield f"| {what} | {with_unit(getattr(costs, name), unit)} |"
    for load in loads:
        needs = [need(costs, load, size) for size in SIZES]
        yield from ("", f"Load *{load.name}*:", "")
        yield f"| needed by | {' | '.join(f'{size:,} workers' for size in SIZES)} |"
        yield "| --- |" + " ---: |" * len(SIZES)
        for line in LINES:
            yield _row(line, needs)
        yield from _parts("PostgreSQL, cores for", [n.cores for n in needs])
        yield from _parts("WAL, MB/s of", [n.wal for n in needs])


def figure(value: float) -> str:
    """Return a figure for people: two significant digits, with thousands separators."""
    if value >= 10:
        return f"{round(value, 2 - len(str(int(value)))):,.0f}"
    return f"{value:.2g}" if value >= 0.01 or value == 0 else "< 0.01"


def with_unit(value: float, unit: str) -> str:
    """Return a figure with its unit, such as ``50/min`` for the unit ``1/min``."""
    return figure(value) + (unit[1:] if unit.startswith("1/") else f" {unit}" if unit else "")


def seen(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the other results of the bench ``scale``."""
    costs = {what for what, _ in described().values()}
    yield from ("", "Seen in addition to the costs:", "", "| | |", "| --- | ---: |")
    for row in results:
        if row["bench"] == "scale" and row["what"] not in costs:
            yield f"| {row['what']} | {with_unit(row['ours'], row['unit'])} |"


def _row(line: Line, needs: Sequence[Need]) -> str:
    shown = []
    for entry in needs:
        value = line.show(entry)
        shown.append(f"**{figure(value)}**" if value > line.limit else figure(value))
    unit = f", {line.unit}" if line.unit else ""
    return f"| {line.what}{unit} | {' | '.join(shown)} |"


def _parts(title: str, parts: Sequence[Mapping[str, float]]) -> Iterator[str]:
    for name in parts[0]:
        yield f"| {title} {name} | {' | '.join(figure(part[name]) for part in parts)} |"


def put_between(page: str, tables: str) -> str:
    """Return the page with ``tables`` between the two marks, instead of its old tables.

    Raises:
        ValueError: the page lacks a mark.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must have the lines {BEGIN} and {END}")
    return f"{head}{begin}\n\n{tables}\n\n{end}{tail}"


@click.command()
@click.argument("measured", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("page", required=False, type=click.Path(path_type=Path, exists=True))
def main(measured: Path, page: Path | None) -> None:
    """Compute the tables from the file MEASURED; write them into PAGE, or print them."""
    try:
        results = json.loads(measured.read_text())
        tables = "\n".join((*report(read_costs(results)), *seen(results)))
        if page is not None:
            page.write_text(put_between(page.read_text(), tables))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if page is None:
        click.echo(tables)


if __name__ == "__main__":
    main()
