"""Plays rounds: hold builds, strike them, let them go, wait for their ends, judge."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from db.schema.enums import Stage
from tests.harness.chaos.faults import FAULTS
from tests.harness.chaos.gates import PENDING
from tests.harness.chaos.judge import Judge
from tests.harness.chaos.report import END, Report, Round
from tests.harness.chaos.schedule import Cell, Schedule
from tests.harness.chaos.site import NETWORKS, Site, running_site
from tests.harness.chaos.strike import Fault, Strike
from tests.harness.chaos.tenants import Space, Tenants
from tests.harness.waiting import NeverHappenedError, wait_until

HELD_WITHIN_S = 30
UNHELD_MOST = 5
"""Of a run: from the next one on, a round whose builds could not be held is a problem."""


class Chaos:
    """One run. ``play`` rounds, then ``finish``; ``report`` says what came of it."""

    def __init__(
        self,
        site: Site,
        seed: int,
        *,
        hits: Counter[Cell] | None = None,
        only: Collection[Cell] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            hits: builds that earlier runs have hit.
            only: the cells to play; all when None.
        """
        self.site, self.seed = site, seed
        self.random = random.Random(seed)
        self.tenants = Tenants(site=site, random=self.random)
        self.judge = Judge(site=site, tenants=self.tenants)
        self.report = Report(left_out=_left_out(site))
        cells = [cell for cell in _all_cells(self.report.left_out) if not only or cell in only]
        self.schedule = Schedule(cells=cells, random=self.random, hits=Counter(hits or {}))

    def play(self) -> Round:
        """Play one round."""
        fault_name, stage = self.schedule.next()
        begun = time.monotonic()
        jobs, strike = self._strike(FAULTS[fault_name], stage)
        problems = [*strike.problems, *self.judge.judge(jobs)]
        if strike.unheld and len(self.report.unheld) >= UNHELD_MOST:
            problems.append(f"not held: {strike.unheld}")
        self.tenants.note_ends(jobs)
        played = Round(
            seed=self.seed,
            number=len(self.report.rounds) + 1,
            fault=fault_name,
            stage=stage,
            hits=len(strike.hit),
            recovered=self._recovered(strike),
            problems=tuple(problems),
            in_flight=strike.in_flight,
            unheld=strike.unheld,
        )
        self._note(played, begun)
        return played

    def finish(self) -> None:
        """Delete all workspaces, and see what is left."""
        begun = time.monotonic()
        self.site.wait_for_workers()
        problems = [*self.judge.judge(self.tenants.delete_all()), *self.judge.judge_end()]
        number = len(self.report.rounds) + 1
        last = Round(
            seed=self.seed, number=number, fault="none", stage=END, hits=0, recovered=(),
            problems=tuple(problems),
        )  # fmt: skip
        self._note(last, begun)
        self.report.builds = self._count_builds()

    def _note(self, played: Round, begun: float) -> None:
        self.report.rounds.append(played)
        self.report.seconds += time.monotonic() - begun
        if played.stage != END:
            self.schedule.note(played.cell, hits=played.hits)

    def _strike(self, fault: Fault, stage: str) -> tuple[Mapping[uuid.UUID, Space], Strike]:
        """Return the builds of the round, and what was done to those that were held."""
        self.site.wait_for_workers()
        self.site.gates.close(stage)
        self.site.forget_inits()
        jobs = self.tenants.enqueue(fault.builds)
        try:
            unheld = self._hold(jobs, stage)
            strike = Strike(
                site=self.site,
                tenants=self.tenants,
                judge=self.judge,
                random=self.random,
                stage=stage,
                jobs={job: jobs[job] for job in jobs if not unheld and self._is_active(job)},
                unheld=unheld,
            )
            strike.now()
            if not unheld:
                with fault.action(strike):
                    self.site.gates.open(stage)
                self.site.forget_connections()
        finally:
            self.site.gates.open(stage)
        return jobs, strike

    def _hold(self, jobs: Mapping[uuid.UUID, Space], stage: str) -> str:
        """Wait until each build is held in the stage, or has ended; else say where they are."""

        def are_held() -> bool:
            held = self.site.gates.held(stage)
            if stage == PENDING:
                return held > 0
            if stage == Stage.INIT.value:
                # Of several inits of one version, a host runs one; the other builds wait for it.
                held = held and self._in_stage(jobs, stage)
            return held + self._ended(jobs) >= len(jobs)

        try:
            wait_until(are_held, "them to be held", within_s=HELD_WITHIN_S, tick_s=0.03)
        except NeverHappenedError as error:
            rows = [self.site.cluster.row(job) for job in jobs]
            places = [f"{row['id']} {row['status']} in {row['stage']}" for row in rows]
            return f"{error}: {places}, at the gates {self.site.gates.holders(stage)}"
        return ""

    def _ended(self, jobs: Mapping[uuid.UUID, Space]) -> int:
        return sum(not self._is_active(job) for job in jobs)

    def _is_active(self, job: uuid.UUID) -> bool:
        return self.site.cluster.status(job).is_active

    def _in_stage(self, jobs: Mapping[uuid.UUID, Space], stage: str) -> int:
        rows = [self.site.cluster.row(job) for job in jobs]
        return sum(row["stage"] == stage and row["completed_at"] is None for row in rows)

    def _recovered(self, strike: Strike) -> tuple[float, ...]:
        rows = [self.site.cluster.row(job) for job in strike.hit]
        ends = [row["completed_at"].timestamp() for row in rows if row["completed_at"]]
        return tuple(round(max(0.0, end - strike.at), 2) for end in ends)

    def _count_builds(self) -> Counter[str]:
        query = text("""
            SELECT job_status::text || coalesce(', ' || failure_reason, '') AS status,
                   count(*) AS count
            FROM provisioner_jobs
            WHERE workspace_id IS NOT NULL
            GROUP BY 1
        """)
        with self.site.cluster.database.begin() as session:
            return Counter({row.status: row[1] for row in session.execute(query)})


@contextmanager
def prepared(
    seed: int,
    cli_config: Path,
    *,
    hits: Counter[Cell] | None = None,
    only: Collection[Cell] | None = None,
) -> Iterator[Chaos]:
    """A run on servers of its own; every process ends with the block."""
    with running_site(cli_config) as site:
        yield Chaos(site, seed, hits=hits, only=only)


def play_rounds(chaos: Chaos, rounds: int, tell: Callable[[Round], None]) -> Report:
    """Play rounds to the end; return the report."""
    for _ in range(rounds):
        tell(chaos.play())
    chaos.finish()
    return chaos.report


def _left_out(site: Site) -> dict[str, str]:
    needs = {name: fault.needs for name, fault in FAULTS.items()} | {"networks of hosts": NETWORKS}
    return {name: f"{need} is not at hand" for name, need in needs.items() if need in site.missing}


def _all_cells(left_out: Collection[str]) -> list[Cell]:
    return [
        (name, stage)
        for name, fault in FAULTS.items()
        if name not in left_out
        for stage in fault.stages
    ]
