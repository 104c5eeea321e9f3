"""A fault that is about to strike builds which are held in a stage."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.harness.chaos.gates import PENDING, STAGES
from tests.harness.chaos.judge import Judge
from tests.harness.chaos.site import Site
from tests.harness.chaos.tenants import Space, Tenants
from tests.harness.worker import Worker


@dataclass(kw_only=True)
class Strike:
    """The builds that are held, and everything that a fault may harm."""

    site: Site
    tenants: Tenants
    judge: Judge
    random: random.Random
    stage: str
    jobs: dict[uuid.UUID, Space]  #: the builds that are held
    hit: dict[uuid.UUID, Space] = field(default_factory=dict)  #: those that the fault reaches
    at: float = 0.0  #: when it struck, in seconds since 1970
    problems: list[str] = field(default_factory=list)
    in_flight: int = 0
    unheld: str = ""  #: why nothing was struck: where the builds were that could not be held

    def __post_init__(self) -> None:
        self.hit = dict(self.jobs)

    def now(self) -> None:
        """Note that the fault strikes at this moment."""
        self.at = time.time()

    def victim(self) -> Worker:
        """Choose the worker that holds most of the builds; only its builds are hit."""
        names = self._workers_of_jobs()
        name = max(names, key=lambda name: names[name]) if names else ""
        if self.stage != PENDING:
            self.narrow(job for job in self.jobs if self.worker_of(job) == name)
        worker = self.site.workers.get(name)
        return worker or self.random.choice(list(self.site.workers.values()))

    def narrow(self, jobs: Iterable[uuid.UUID]) -> None:
        """Only these of the builds are hit."""
        kept = set(jobs)
        self.hit = {job: space for job, space in self.jobs.items() if job in kept}

    def last(self, *seconds: float) -> None:
        """Let the fault last: one of these times, by chance."""
        time.sleep(self.random.choice(seconds))

    def excuse(self) -> None:
        """Excuse machines that a Terraform which was killed just now had no time to write of."""
        self.in_flight += self.judge.excuse([space.id for space in self.hit.values()])

    def _workers_of_jobs(self) -> Counter[str]:
        if self.stage == PENDING:
            # The workers that stand before a claim.
            return Counter(self.site.gates.holders(PENDING))
        return Counter(name for job in self.jobs if (name := self.worker_of(job)))

    def worker_of(self, job: uuid.UUID) -> str | None:
        """The name of the worker that has claimed the job."""
        name: str | None = self.site.cluster.row(job)["worker"]
        return name


FEW, MANY = 3, 5
"""How many builds are held: many where only those of one worker are hit."""

Action = Callable[[Strike], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done to builds that are held. They are let go inside of the block of ``action``."""

    name: str
    action: Action
    stages: tuple[str, ...] = STAGES
    builds: int = FEW  #: how many are held
    needs: str | None = None  #: see ``Site.missing``
