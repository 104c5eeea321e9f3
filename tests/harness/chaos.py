"""Chaos: random faults while real builds run, then every invariant is checked.

The schedule follows from the seed; what the machine makes of it does not. Each round enqueues
builds, picks a fault and a stage, waits for a build in that stage and strikes. At the end
everything is healed, and rows, ledger, disk and process list are compared.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.engine import open_database
from db.errors import RequestError
from db.schema.enums import JobStatus, Transition
from db.schema.tables import User
from tests.harness.cluster import Cluster, running_cluster
from tests.harness.databases import tcp_url_of
from tests.harness.ledger import install_ledger, machines_of
from tests.harness.proxy import Proxy
from tests.harness.waiting import NeverHappenedError, wait_until
from tests.harness.worker import Worker
from worker.embedded import Embedded

WORKERS = ("one", "two", "three")
OWNERS = 3
SPACES_PER_OWNER = 3
ALLOWANCE = 10
STAGES = ("pending", "set_up", "init", "plan", "commit_quota", "apply")
AIM_S = 2.5
TEMPLATES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("machine", {}),
    ("machine", {}),
    ("slow", {"create_seconds": 2}),
)


@dataclass(kw_only=True)
class Strike:
    """A fault that was done, and the builds that it hit."""

    fault: str
    stage: str
    at: float
    hit: dict[uuid.UUID, int]  #: attempts of the jobs when it was done
    recovered: dict[uuid.UUID, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class Space:
    """A workspace, and what may be done with it."""

    id: uuid.UUID
    owner: User
    name: str
    is_frozen: bool = False  #: its worker is paused: a person would not build it again just now


@dataclass(kw_only=True)
class Verdict:
    """What the checks found."""

    problems: list[str] = field(default_factory=list)
    in_flight: int = 0
    builds: Mapping[str, int] = field(default_factory=dict)


class Chaos:
    """One run. ``play`` it, then ``judge`` it."""

    def __init__(self, cluster: Cluster, proxy: Proxy, seed: int) -> None:
        self.cluster, self.proxy = cluster, proxy
        self.random = random.Random(seed)
        self.strikes: list[Strike] = []
        self.jobs: dict[uuid.UUID, Space] = {}
        self.in_flight: set[str] = set()
        self.paused: list[tuple[float, Worker, list[Space]]] = []
        self.problems: list[str] = []
        self.workers: dict[str, Worker] = {}
        self.owners = [
            cluster.factory.user(organization=cluster.organization) for _ in range(OWNERS)
        ]
        self.spaces = [
            self._new_space(owner) for owner in self.owners for _ in range(SPACES_PER_OWNER)
        ]
        self.faults: dict[str, Callable[[Strike], None]] = {
            "cancel": self._cancel,
            "kill worker": self._kill_worker,
            "kill worker and Terraform": self._kill_both,
            "kill Terraform": self._kill_terraform,
            "pause worker": self._pause_worker,
            "SIGTERM": self._drain,
            "SIGTERM twice": self._drain_twice,
            "Redis killed": self._kill_redis,
            "Redis flushed": self._flush_redis,
            "Redis paused": self._pause_redis,
            "PostgreSQL cut": self._cut_postgres,
            "PostgreSQL away": self._refuse_postgres,
            "PostgreSQL frozen": self._freeze_postgres,
            "COMMIT answer lost": self._lose_answer,
        }

    def play(self, rounds: int, tell: Callable[[int], None]) -> None:
        """Do ``rounds`` rounds."""
        self._keep_workers()
        for worker in self.workers.values():
            wait_until(worker.is_ready, f"{worker.name} to become ready")
        for number in range(rounds):
            self._resume(now=False)
            self._keep_workers()
            self._enqueue_some()
            self._strike()
            self._check_budgets()
            tell(number + 1)

    def judge(self) -> Verdict:
        """Heal everything, wait for the ends, delete all workspaces, and check."""
        self._heal()
        self._wait_for_ends()
        self._check_machines("after the last round")
        for space in self.spaces:
            self._enqueue(space, Transition.DELETE)
        self._wait_for_ends()
        self._check_deleted()
        self.problems += [f"left behind: {self.cluster.remains()}"] if self._remains() else []
        self._check_rows()
        self._check_aside()
        return Verdict(
            problems=self.problems,
            in_flight=len(self.in_flight),
            builds=self._count_builds(),
        )

    # What is done to builds.

    def _new_space(self, owner: User) -> Space:
        template, variables = self.random.choice(TEMPLATES)
        made = self.cluster.workspace(template, owner=owner, **variables)
        with self.cluster.database.begin() as session:
            name = session.execute(
                text("SELECT name FROM workspaces WHERE id = :id"), {"id": made}
            ).scalar_one()
        return Space(id=made, owner=owner, name=name)

    def _enqueue_some(self) -> None:
        for space in self.random.sample(self.spaces, 2):
            chance = self.random.random()
            if space.is_frozen:
                continue
            if chance < 0.15:
                if self._enqueue(space, Transition.DELETE):
                    self.spaces.append(self._new_space(space.owner))
            else:
                self._enqueue(space, Transition.START if chance < 0.65 else Transition.STOP)

    def _enqueue(self, space: Space, transition: Transition) -> bool:
        begun = time.monotonic()
        try:
            job_id = self.cluster.enqueue(space.id, transition)
        except RequestError:  # a build is active, or it was deleted
            return False
        if (took := time.monotonic() - begun) > 10:
            self.problems.append(f"an enqueue took {took:.1f} seconds")
        self.jobs[job_id] = space
        return True

    def _strike(self) -> None:
        fault = self.random.choice(sorted(self.faults))
        stage = self.random.choice(STAGES)
        found = self._aim(stage)
        strike = Strike(
            fault=fault, stage=stage if found else "none", at=time.monotonic(), hit=dict(found)
        )
        self.faults[fault](strike)
        self.strikes.append(strike)
        self._watch()

    def _aim(self, stage: str) -> Mapping[uuid.UUID, int]:
        """Wait for a build in the stage; return it, and those beside it."""
        with suppress(NeverHappenedError):
            wait_until(lambda: self._in_stage(stage), f"a build in {stage}", within_s=AIM_S)
        return self._in_stage(stage)

    def _in_stage(self, stage: str) -> Mapping[uuid.UUID, int]:
        self._watch()
        with self.cluster.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT id, attempt
                    FROM provisioner_jobs
                    WHERE completed_at IS NULL AND workspace_id IS NOT NULL
                      AND coalesce(stage, 'pending') = :stage
                """),
                {"stage": stage},
            )
            return {row.id: row.attempt for row in rows}

    def _watch(self) -> None:
        """Note which builds that were hit run again, or have ended."""
        waiting = {
            job for strike in self.strikes for job in strike.hit if job not in strike.recovered
        }
        if not waiting:
            return
        with self.cluster.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT id, attempt, completed_at IS NOT NULL AS ended
                    FROM provisioner_jobs WHERE id = ANY(:ids)
                """),
                {"ids": list(waiting)},
            ).all()
        now = time.monotonic()
        for strike in self.strikes:
            for row in rows:
                is_back = row.ended or row.attempt > strike.hit.get(row.id, row.attempt)
                if row.id in strike.hit and is_back:
                    strike.recovered.setdefault(row.id, now - strike.at)

    # Faults.

    def _victim(self, strike: Strike) -> Worker | None:
        """The worker of one of the builds that were hit, or any; the others are not hit."""
        for job in sorted(strike.hit, key=str):
            name = self.cluster.row(job)["worker"]
            worker = self.workers.get(name or "")
            if worker is not None and not worker.has_ended():
                strike.hit = {
                    job: attempt
                    for job, attempt in strike.hit.items()
                    if self.cluster.row(job)["worker"] == name
                }
                return worker
        strike.hit, strike.stage = {}, "none"
        paused = {id(worker) for _, worker, _ in self.paused}
        living = [w for w in self.workers.values() if not w.has_ended() and id(w) not in paused]
        return self.random.choice(living) if living else None

    def _cancel(self, strike: Strike) -> None:
        strike.hit = dict(list(strike.hit.items())[:1])
        for job in strike.hit:
            self.cluster.cancel(job)

    def _kill_worker(self, strike: Strike) -> None:
        if worker := self._victim(strike):
            worker.kill()

    def _kill_both(self, strike: Strike) -> None:
        if worker := self._victim(strike):
            spaces = self._built_by(worker)
            worker.kill(with_terraform=True)
            self._note_in_flight(spaces)

    def _kill_terraform(self, strike: Strike) -> None:
        worker = self._victim(strike)
        for process in worker.terraforms() if worker else []:
            assert worker is not None
            spaces = self._built_by(worker)
            with suppress(Exception):
                process.kill()
            self._note_in_flight(spaces)

    def _pause_worker(self, strike: Strike) -> None:
        if worker := self._victim(strike):
            spaces = self._built_by(worker)
            for space in spaces:
                space.is_frozen = True
            worker.send(signal.SIGSTOP)
            # Shorter and longer than the lease.
            self.paused.append((time.monotonic() + self.random.choice((1.5, 9.0)), worker, spaces))

    def _drain(self, strike: Strike) -> None:
        if worker := self._victim(strike):
            worker.send(signal.SIGTERM)

    def _drain_twice(self, strike: Strike) -> None:
        if worker := self._victim(strike):
            worker.send(signal.SIGTERM)
            time.sleep(0.3)
            if not worker.has_ended():
                worker.send(signal.SIGTERM)

    def _kill_redis(self, _strike: Strike) -> None:
        self.cluster.redis.kill()
        self._enqueue_some()
        time.sleep(self.random.uniform(0, 2))
        self.cluster.redis.start()

    def _flush_redis(self, _strike: Strike) -> None:
        self.cluster.redis.ask("FLUSHALL")

    def _pause_redis(self, _strike: Strike) -> None:
        self.cluster.redis.send(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 4))
        self.cluster.redis.send(signal.SIGCONT)

    def _cut_postgres(self, _strike: Strike) -> None:
        for _ in range(3):
            self.proxy.cut()
            time.sleep(0.2)

    def _refuse_postgres(self, _strike: Strike) -> None:
        self.proxy.refuse()
        time.sleep(self.random.choice((0.5, 2.0, 6.0)))
        self.proxy.heal()

    def _freeze_postgres(self, _strike: Strike) -> None:
        self.proxy.freeze()
        time.sleep(self.random.choice((0.5, 2.0, 6.0)))
        self.proxy.heal()

    def _lose_answer(self, _strike: Strike) -> None:
        self.proxy.lose_answer(self.random.choice((b"UPDATE provisioner_jobs", b"quota_budget =")))
        time.sleep(1.5)
        self.proxy.heal()

    # Keeping it going.

    def _keep_workers(self) -> None:
        for name in WORKERS:
            worker = self.workers.get(name)
            if worker is None or worker.has_ended():
                self.workers[name] = self.cluster.start_worker(
                    name, wait=False, concurrency=2, drain_seconds=4, interrupt_grace_seconds=8
                )

    def _resume(self, *, now: bool) -> None:
        for entry in list(self.paused):
            until, worker, spaces = entry
            if now or time.monotonic() > until:
                if not worker.has_ended():
                    worker.send(signal.SIGCONT)
                self.paused.remove(entry)
                for space in spaces:
                    space.is_frozen = False

    def _built_by(self, worker: Worker) -> list[Space]:
        with self.cluster.database.begin() as session:
            ids = session.scalars(
                text("""
                    SELECT job.workspace_id
                    FROM provisioner_jobs AS job
                    JOIN provisioner_daemons AS worker ON worker.id = job.worker_id
                    WHERE worker.name = :name AND job.completed_at IS NULL
                """),
                {"name": worker.name},
            ).all()
        return [space for space in self.spaces if space.id in ids]

    def _note_in_flight(self, spaces: list[Space]) -> None:
        """Machines that exist, and of which a killed Terraform had no time to write."""
        names = {key for space in spaces for key in (str(space.id), space.name)}
        written = self.cluster.known_machines()
        for directory in self.cluster.directories():
            for path in (directory / "template").glob("*.tfstate"):
                with suppress(OSError, ValueError):
                    written |= machines_of(path.read_bytes())
        made = self.cluster.machines_by_workspace()
        self.in_flight |= {id_ for id_, name in made.items() if name in names} - written

    def _heal(self) -> None:
        self.proxy.heal()
        if self.cluster.redis.process is None:
            self.cluster.redis.start()
        self._resume(now=True)
        self._keep_workers()

    def _wait_for_ends(self) -> None:
        def ended() -> bool:
            self._keep_workers()
            self._watch()
            with self.cluster.database.begin() as session:
                query = "SELECT count(*) FROM provisioner_jobs WHERE completed_at IS NULL"
                return not session.scalar(text(query))

        try:
            wait_until(ended, "the ends of all builds", within_s=180)
            self.cluster.settle(within_s=90)
        except NeverHappenedError as error:
            self.problems.append(f"{error}: {self.cluster.remains()}")

    # What must hold.

    def _check_budgets(self) -> None:
        """Nobody is over budget, but by builds that may pass since they cost less than before.

        While a workspace is being stopped it counts nothing, so others may take what it had; what
        it costs when stopped then comes on top (docs/quota.md).
        """
        latest = text("""
            SELECT workspace.name, build.build_number, build.transition::text, build.daily_cost,
                   build.quota_credits_consumed AS consumed, build.quota_budget AS budget
            FROM workspaces AS workspace
            CROSS JOIN LATERAL (
                SELECT * FROM workspace_builds
                WHERE workspace_id = workspace.id ORDER BY build_number DESC LIMIT 1
            ) AS build
            WHERE workspace.owner_id = :owner_id AND NOT workspace.deleted
        """)
        for owner in self.owners:
            with self.cluster.database.begin() as session:
                builds = session.execute(latest, {"owner_id": owner.id}).all()
            counted = [
                build for build in builds if build.consumed is None or build.consumed <= ALLOWANCE
            ]
            if sum(build.daily_cost for build in counted) > ALLOWANCE:
                self.problems.append(
                    f"over budget: more than {ALLOWANCE} credits are in use:"
                    f" {[tuple(build) for build in builds]}"
                )

    def _check_machines(self, when: str) -> None:
        made, known = self.cluster.machines(), self.cluster.known_machines()
        self.in_flight &= made
        if orphans := made - known - self.in_flight:
            self.problems.append(f"{when} {len(orphans)} machines stand in no state: {orphans}")
        by_workspace = self.cluster.machines_by_workspace()
        counts: dict[str, int] = defaultdict(int)
        for machine in made - self.in_flight:
            counts[by_workspace[machine]] += 1
        for name, count in counts.items():
            if count > 5:
                self.problems.append(f"{when} workspace {name} has {count} machines")

    def _check_deleted(self) -> None:
        if left := self.cluster.machines() - self.in_flight:
            self.problems.append(f"after all deletes {len(left)} machines are left: {left}")

    def _check_rows(self) -> None:
        with self.cluster.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT id, job_status::text AS status, error, failure_reason, attempt,
                           started_at IS NOT NULL AS was_claimed
                    FROM provisioner_jobs
                    WHERE workspace_id IS NOT NULL
                """)
            ).all()
        for row in rows:
            if row.status == JobStatus.FAILED and not (row.error and row.failure_reason):
                self.problems.append(f"job {row.id} failed without a reason")
            if row.failure_reason == "internal":
                self.problems.append(f"job {row.id} failed by a fault of ours: {row.error}")

    def _check_aside(self) -> None:
        for path in self.cluster.directory.glob("*/orphaned-states/*"):
            job_id = uuid.UUID(path.stem)
            faults = [f"{s.fault} in {s.stage}" for s in self.strikes if job_id in s.hit]
            self.problems.append(f"the state of job {job_id} was put aside after {faults}")

    def _remains(self) -> bool:
        return bool(self.cluster.remains())

    def _count_builds(self) -> Mapping[str, int]:
        with self.cluster.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT job_status::text || coalesce(', ' || failure_reason, '') AS status,
                           count(*) AS count
                    FROM provisioner_jobs
                    WHERE workspace_id IS NOT NULL
                    GROUP BY 1 ORDER BY 1
                """)
            )
            return {status: count for status, count in rows}  # noqa: C416 - rows are no pairs


@contextmanager
def prepared(seed: int, embedded: Embedded, database_name: str) -> Iterator[Chaos]:
    """A run on a database of its own; every process ends with the block."""
    directory = Path(tempfile.mkdtemp(prefix="pd-"))
    database = open_database(tcp_url_of(embedded, database_name), pool_size=10)
    assert embedded.postgres_port is not None
    try:
        cli_config = install_ledger(directory / "mirror")
        with (
            Proxy(target=("127.0.0.1", embedded.postgres_port)) as proxy,
            running_cluster(
                directory,
                database=database,
                database_url=tcp_url_of(embedded, database_name, port=proxy.port),
                cli_config=cli_config,
                allowance=ALLOWANCE,
            ) as cluster,
        ):
            yield Chaos(cluster, proxy, seed)
    finally:
        database.dispose()
        if "KEEP" not in os.environ:
            shutil.rmtree(directory, ignore_errors=True)
