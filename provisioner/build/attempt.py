"""One attempt to run a job: what all steps of all kinds of jobs share.

A kind of job is a ``Recipe``: named steps that the runner takes in order. Each step does one thing
with the engine or the database, and stores its result on the ``Attempt`` for the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from db.engine import Database
from db.jobs.archives import ArchiveCache
from db.jobs.builds import BuildInput
from db.jobs.imports import ImportInput, ImportResult
from db.jobs.leases import Lease
from db.jobs.results import BuildResult
from db.jobs.transitions import ClaimedJob
from db.schema.enums import LogLevel, LogSource, Stage, Transition
from db.streak import Streak
from provisioner.build.events import BuildEvents
from provisioner.build.logbuffer import LogBuffer
from provisioner.build.tracing import AttemptTrace
from provisioner.engines.port import BuildContext, Engine
from provisioner.host.interrupt import Interrupt
from provisioner.host.workdir import WorkDirectory
from provisioner.platform.platform import Platform
from provisioner.redaction.redaction import redaction_of


@dataclass(frozen=True, kw_only=True)
class BuildLimits:
    """How long each operation may take before its build fails."""

    init: timedelta = timedelta(minutes=10)
    plan: timedelta = timedelta(minutes=10)
    apply: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The settings that all builds of a worker share."""

    work_root: Path
    host_environment: Mapping[str, str]
    passed_names: tuple[str, ...] = ()
    terraform_cli_config_file: Path | None = None
    plugin_cache_dir: Path | None = None
    platform: Platform = field(default_factory=Platform)
    limits: BuildLimits = field(default_factory=BuildLimits)
    lease: timedelta = timedelta(seconds=20)  #: how long a renewed lease lasts
    fence: timedelta = timedelta(seconds=12)  #: how long a build may go on after a renewal
    state_reserve_bytes: int = 0  #: least room on disk that is reserved for a build's state
    max_attempts: int = 3  #: how often a job is tried whose worker is lost before apply


@dataclass(kw_only=True)
class Attempt:
    """One attempt to run a job, and the results of its steps so far."""

    job: ClaimedJob
    database: Database
    engine: Engine
    settings: BuildSettings
    events: BuildEvents
    interrupt: Interrupt
    logs: LogBuffer
    trace: AttemptTrace
    directory: WorkDirectory
    archives: ArchiveCache
    stage: Stage = Stage.SET_UP
    input: BuildInput | ImportInput | None = None
    context: BuildContext | None = None
    daily_cost: int = 0
    result: BuildResult = field(default_factory=BuildResult)
    leaves_state: bool = False  #: see ``EngineError``
    failed_checkpoints: Streak = field(default_factory=Streak)

    @property
    def lease(self) -> Lease:
        """The lease that every write on the job must name."""
        return self.job.lease

    @property
    def loaded(self) -> BuildInput:
        """The input of a workspace build, as its first step read it."""
        assert isinstance(self.input, BuildInput)
        return self.input

    @property
    def version(self) -> ImportInput:
        """The input of an import, as its first step read it."""
        assert isinstance(self.input, ImportInput)
        return self.input

    @property
    def found(self) -> ImportResult:
        """What an import has found so far."""
        assert self.result.imported is not None
        return self.result.imported

    @found.setter
    def found(self, found: ImportResult) -> None:
        self.result = replace(self.result, imported=found)

    @property
    def loaded_context(self) -> BuildContext:
        """What the operations of the engine share, as the first step made it."""
        assert self.context is not None
        return self.context

    def context_for(self, timeout: timedelta) -> BuildContext:
        """Return the context of one operation of the engine, with its time limit."""
        context = self.loaded_context
        environment = {**context.environment, **self.trace.environment()}
        return replace(context, timeout=timeout, environment=environment)

    def clean(self, text: str) -> str:
        """Return a text without the secrets of the job that are known so far."""
        known = self.context.sensitive if self.context is not None else frozenset()
        return redaction_of(known).apply(text)

    def log_line(self, level: LogLevel, output: str) -> None:
        """Write a line of the daemon itself into the log of the job."""
        self.logs.write(level, self.clean(output), source=LogSource.PROVISIONER_DAEMON)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a job."""

    stage: Stage
    heading: str | Mapping[Transition, str]  #: its log stage, for people
    run: Callable[[Attempt], None]

    def heading_of(self, attempt: Attempt) -> str:
        """Return the log stage of this step in an attempt."""
        if isinstance(self.heading, str):
            return self.heading
        return self.heading[attempt.loaded_context.transition]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the jobs of one type are run."""

    noun: str  #: what the job is called in its log
    steps: tuple[Step, ...]
