"""What must hold after each round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from db.schema.enums import FailureReason, JobStatus
from tests.harness.chaos.site import ALLOWANCE, Site
from tests.harness.chaos.tenants import Tenants
from tests.harness.ledger import machines_of
from tests.harness.waiting import NeverHappenedError, wait_until

ENDS_WITHIN_S = 120
SETTLES_WITHIN_S = 60
LATEST = text("""
    SELECT workspace.name, build.build_number, build.transition::text, build.daily_cost,
           build.quota_credits_consumed AS consumed
    FROM workspaces AS workspace
    JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
    JOIN workspace_builds AS build ON build.id = latest.id
    WHERE workspace.owner_id = :owner_id AND NOT workspace.deleted
""")
TRACEBACK = "Traceback (most recent call last)"


@dataclass(kw_only=True)
class Judge:
    """Looks at rows, the ledger, the disks and the processes."""

    site: Site
    tenants: Tenants
    excused: set[str] = field(default_factory=set)  #: machines that no state could know of
    given_up: set[str] = field(default_factory=set)  #: machines of orphaned workspaces
    _seen: set[Path] = field(default_factory=set)
    _tracebacks: Counter[str] = field(default_factory=Counter)

    def judge(self, jobs: Collection[UUID]) -> Sequence[str]:
        """Wait for the ends of the jobs; return what does not hold."""
        return [
            *self._wait(jobs),
            *self._machines(),
            *self._budgets(),
            *self._failures(jobs),
            *self._put_aside(),
            *self._told(),
        ]

    def excuse(self, workspaces: Collection[UUID]) -> int:
        """Excuse machines of the workspaces which stand in no state yet; return their number.

        To be called when their Terraform was killed: it had no time to write of them.
        """
        known = self._known()
        for directory in self.site.cluster.directories():
            for path in (directory / "template").glob("*.tfstate"):
                known |= _machines_in(path)
        names = set(map(str, workspaces))
        made = self.site.cluster.machines_by_workspace()
        excused = {machine for machine, name in made.items() if name in names} - known
        self.excused |= excused
        return len(excused)

    def give_up(self, workspace: UUID) -> None:
        """Expect the machines of a workspace that was deleted as an orphan to stay."""
        made = self.site.cluster.machines_by_workspace()
        self.given_up |= {machine for machine, name in made.items() if name == str(workspace)}

    def judge_end(self) -> Iterator[str]:
        """After all workspaces were deleted: return what is left."""
        left = self.site.cluster.machines() - self.excused - self.given_up
        if left:
            yield f"orphaned: after all deletes {len(left)} machines are left: {sorted(left)}"

    def _wait(self, jobs: Collection[UUID]) -> Iterator[str]:
        def ended() -> bool:
            self.site.keep_workers()
            return not self._active(jobs)

        try:
            wait_until(ended, "the ends", within_s=ENDS_WITHIN_S, tick_s=0.05)
        except NeverHappenedError:
            for job_id in self._active(jobs):
                row = self.site.cluster.row(job_id)
                yield f"lost: job {job_id} is {row['status']} in {row['stage']}"
            return
        try:
            wait_until(
                lambda: not self.site.cluster.remains(),
                "nothing to be left",
                within_s=SETTLES_WITHIN_S,
                tick_s=0.1,
            )
        except NeverHappenedError:
            yield f"left behind: {self.site.cluster.remains()}"

    def _active(self, jobs: Collection[UUID]) -> Sequence[UUID]:
        query = text(
            "SELECT id FROM provisioner_jobs WHERE id = ANY(:ids) AND completed_at IS NULL"
        )
        with self.site.cluster.database.begin() as session:
            return session.scalars(query, {"ids": list(jobs)}).all()

    def _known(self) -> set[str]:
        return self.site.cluster.known_machines()

    def _machines(self) -> Iterator[str]:
        names, known = self.site.cluster.machine_names(), self._known()
        self.excused -= known
        expected = self.excused | self.given_up
        counted = Counter(name for machine, name in names.items() if machine not in expected)
        for name, count in counted.items():
            if count > 1:
                yield f"doubled: {count} machines have the name {name}"
        if orphans := set(names) - known - expected:
            yield f"orphaned: machines {sorted(orphans)} stand in no state"
            self.given_up |= orphans  # named once, by the round that made them

    def _budgets(self) -> Iterator[str]:
        """Nobody is over budget, but by builds that may pass since they cost less than before.

        While a workspace is being stopped it counts nothing, so others may take what it had; what
        it costs when stopped then comes on top (docs/quota.md).
        """
        for owner in self.tenants.owners:
            with self.site.cluster.database.begin() as session:
                builds = session.execute(LATEST, {"owner_id": owner.id}).all()
            counted = [
                build for build in builds if build.consumed is None or build.consumed <= ALLOWANCE
            ]
            if sum(build.daily_cost for build in counted) > ALLOWANCE:
                yield f"over budget: {[tuple(build) for build in builds]} of {ALLOWANCE}"

    def _failures(self, jobs: Collection[UUID]) -> Iterator[str]:
        for job_id in jobs:
            row = self.site.cluster.row(job_id)
            if row["status"] != JobStatus.FAILED:
                continue
            if not (row["error"] and row["failure_reason"]):
                yield f"silent: job {job_id} failed without a reason"
            if row["failure_reason"] == FailureReason.INTERNAL:
                yield f"a bug: job {job_id} failed with {row['error']}"

    def _put_aside(self) -> Iterator[str]:
        for path in self.site.cluster.directory.glob("*/orphaned-states/*"):
            if path not in self._seen:
                self._seen.add(path)
                yield f"put aside: the state {path.name}"

    def _told(self) -> Iterator[str]:
        """Look for tracebacks in what the workers have written since the last round."""
        for log in {worker.log for worker in self.site.workers.values()}:
            said = log.read_text(errors="replace")
            found = said.count(TRACEBACK)
            if found > self._tracebacks[log.name]:
                self._tracebacks[log.name] = found
                yield f"a traceback: {said[said.rindex(TRACEBACK) :][:1500]}"


def _machines_in(path: Path) -> set[str]:
    try:
        return machines_of(path.read_bytes())
    except (OSError, ValueError, KeyError):  # gone, or half written
        return set()
