"""Run one claimed job to its end, and record how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.errors import LeaseLostError
from db.faults import fault_point
from db.jobs.archives import ArchiveCache
from db.jobs.leases import renew_leases
from db.jobs.logs import LogRow
from db.jobs.mover import Mover
from db.jobs.transitions import ClaimedJob, enter_stage
from db.outage import is_outage, retry_outage
from db.schema.enums import FailureReason, LogLevel, ProvisionerType, Stage
from db.streak import Streak
from provisioner.build.attempt import Attempt, BuildSettings, Step
from provisioner.build.endings import (
    BuildInterruptedError,
    Ending,
    Lost,
    Requeued,
    Succeeded,
    ending_of,
)
from provisioner.build.events import BuildEvents, NoEvents
from provisioner.build.failures import FailedJob
from provisioner.build.logbuffer import LogBuffer
from provisioner.build.logstore import LogStore
from provisioner.build.recipes import recipe_of
from provisioner.build.record import last_line, with_only_state, write_ending
from provisioner.build.tracing import AttemptTrace, NoTrace, Tracer
from provisioner.engines.port import Engine, EngineError
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.oversized import keep_oversized_state
from provisioner.host.workdir import name_work_directory
from provisioner.redaction.redaction import CLEAN

log = structlog.get_logger("provisioner")

CLEANING_UP = "Cleaning Up"
"""The log stage of the end of every job."""


class Runner:
    """Runs builds. Any number of threads may share one runner."""

    def __init__(
        self,
        *,
        mover: Mover,
        engines: Mapping[ProvisionerType, Engine],
        settings: BuildSettings,
        events: BuildEvents | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._mover = mover
        self._database = mover.database
        self._engines = engines
        self._settings = settings
        self._events = events or NoEvents()
        self._tracer = tracer or NoTrace()
        self._archives = ArchiveCache()

    def run(self, job: ClaimedJob, interrupt: Interrupt) -> Ending:
        """Run the job's steps and record how it ended; a failed build is an ending, not an error.

        Args:
            interrupt: stops the build; ``LEASE_LOST`` also stops every write.
        """
        with self._tracer.attempt(job) as trace:
            return self._run(job, interrupt, trace)

    def _run(self, job: ClaimedJob, interrupt: Interrupt, trace: AttemptTrace) -> Ending:
        store = LogStore(self._database, job.lease, interrupt=interrupt, events=self._events)
        logs = LogBuffer(store, stored_bytes=job.logs_length)
        build = self._build(job, interrupt, logs, trace)
        if job.claim > 1:
            build.log_line(LogLevel.INFO, _claim_line(job, self._settings.max_attempts))
        ending: Ending = Lost()
        cleaned = CLEAN.set(build.clean)
        try:
            ending = self._walk(build)
            with trace.step(Stage.COMPLETE):
                ending = self._finish(build, ending)
        except BaseException:
            # It is unknown what the row says now: recovery and the reaper find out.
            ending = Lost()
            logs.close()
            raise
        finally:
            _leave(build, ending)
            CLEAN.reset(cleaned)
        return ending

    def _build(
        self, job: ClaimedJob, interrupt: Interrupt, logs: LogBuffer, trace: AttemptTrace
    ) -> Attempt:
        return Attempt(
            job=job,
            database=self._database,
            engine=self._engines[job.provisioner],
            settings=self._settings,
            events=self._events,
            interrupt=interrupt,
            logs=logs,
            trace=trace,
            archives=self._archives,
            directory=name_work_directory(self._settings.work_root, job.lease, claim=job.claim),
        )

    def _walk(self, build: Attempt) -> Ending:
        try:
            for step in recipe_of(build).steps:
                self._take_step(build, step)
        except Exception as error:
            # Every error is an ending: see ending_of for which.
            build.leaves_state = isinstance(error, EngineError) and error.leaves_state
            if is_outage(error) and not build.interrupt.may_write():
                return Lost()
            ending = ending_of(
                error, stage=build.stage, result=build.result, reason=build.interrupt.reason
            )
            if _is_bug(ending):
                log.exception("build.broke", job_id=str(build.job.id))
            if isinstance(ending, FailedJob):
                # It may quote a template, a provider or a cloud.
                return replace(ending, error=build.clean(ending.error))
            return ending
        return Succeeded(result=build.result)

    def _take_step(self, build: Attempt, step: Step) -> None:
        stage = step.stage
        build.logs.enter_stage(step.heading_of(build), stage)
        # The row must say that side effects may follow before they do. The other stages are
        # stored with the log and by the quota commit.
        if stage.has_side_effects and build.interrupt.reason in {None, InterruptReason.LEASE_LOST}:
            self._enter(build, stage)
        if build.interrupt.is_set():
            raise BuildInterruptedError
        build.stage = stage
        started = time.monotonic()
        try:
            with build.trace.step(stage):
                fault_point(f"{stage}.begin")
                step.run(build)
                fault_point(f"{stage}.end")
        finally:
            self._events.stage_finished(stage, time.monotonic() - started)

    def _enter(self, build: Attempt, stage: Stage) -> None:
        """Enter a stage with side effects under a lease that has just been renewed.

        Nothing runs meanwhile, so this outlasts an outage that is longer than the fence. The
        database decides whether the lease is lost.

        Raises:
            LeaseLostError: another attempt holds the job.
        """
        interrupt, settings = build.interrupt, self._settings

        def enter() -> bool:
            fence_at = time.monotonic() + settings.fence.total_seconds()
            with self._database.begin() as session:
                if not renew_leases(session, tokens=[build.lease.token], lease=settings.lease):
                    raise LeaseLostError(build.job.id)
                is_canceled = enter_stage(session, build.lease, stage=stage)
            if interrupt.confirm(fence_at):
                build.logs.go_on()
            return is_canceled

        is_canceled = retry_outage(enter, may_go_on=interrupt.may_record)
        while not interrupt.may_write() and interrupt.may_record():
            # The answer took longer than the fence, so it says nothing about the lease any more.
            is_canceled = retry_outage(enter, may_go_on=interrupt.may_record)
        if is_canceled:
            interrupt.request(InterruptReason.CANCEL)

    def _finish(self, build: Attempt, ending: Ending) -> Ending:
        """Store the ending with the rest of the log; return the ending that was stored."""
        logs = build.logs
        logs.enter_stage(CLEANING_UP)
        fault_point("finish.begin")
        level, line = last_line(ending, recipe_of(build).noun)
        logs.write(level, line)
        rest = _rest_of(logs, ending)
        stored = logs.stored_lines
        try:
            ending = self._record_while_held(build, ending, rest)
            stored += len(rest)
        except LeaseLostError:
            return Lost()
        except Exception as error:
            if not is_outage(error):
                raise
            return Lost()
        finally:
            self._events.logs_finished(stored=stored, dropped=logs.dropped_lines)
        return ending

    def _record_while_held(self, build: Attempt, ending: Ending, lines: Sequence[LogRow]) -> Ending:
        """Store the ending; repeat it after an outage.

        The result of an apply that has ended is repeated until it is stored or another worker has
        taken the job, any other ending while the lease is held.

        If PostgreSQL refuses the result of a build with side effects for good, the ending is
        stored with only the state, which must not be lost.
        """
        delays = Streak()
        is_of_apply = build.stage.has_side_effects and not isinstance(ending, Lost)
        interrupt = build.interrupt

        def log_first(error: BaseException) -> None:
            if delays.fail():
                log.warning("build.result_delayed", job_id=str(build.job.id), error=str(error))

        def record(ending: Ending, lines: Sequence[LogRow]) -> Ending:
            return retry_outage(
                lambda: self._record(build, ending, lines),
                may_go_on=interrupt.may_record if is_of_apply else interrupt.may_write,
                on_outage=log_first,
            )

        try:
            return record(ending, lines)
        except SQLAlchemyError as error:
            if is_outage(error) or not build.stage.has_side_effects:
                raise
            log.exception("build.result_refused", job_id=str(build.job.id))
            return record(with_only_state(ending), ())

    def _record(self, build: Attempt, ending: Ending, lines: Sequence[LogRow]) -> Ending:
        recorded = self._mover.run(lambda session: write_ending(session, build, ending, lines))
        fault_point("finish.committed")
        return recorded


def _is_bug(ending: Ending) -> bool:
    return isinstance(ending, FailedJob) and ending.reason is FailureReason.INTERNAL


def _rest_of(logs: LogBuffer, ending: Ending) -> Sequence[LogRow]:
    """Return the lines to store together with the ending."""
    if isinstance(ending, Requeued | Lost):
        logs.close()  # the job does not finish here, so its last lines are stored now
        return ()
    return logs.take_rest()


def _leave(build: Attempt, ending: Ending) -> None:
    """Remove the work directory, or release it as it is if it may hold the newest state."""
    if build.leaves_state or (isinstance(ending, Lost) and build.stage.has_side_effects):
        build.directory.release()  # provisioner.host.recovery finds it
    else:
        if build.stage.has_side_effects:
            keep_oversized_state(build.directory)
        build.directory.remove()


def _claim_line(job: ClaimedJob, max_attempts: int) -> str:
    line = f"Attempt {job.attempt} of {max_attempts}."
    if job.drains:
        line += f" Workers that shut down put the build back {job.drains}x; these do not count."
    return line
