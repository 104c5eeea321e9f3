"""Stores the log of a running build; failures are counted and logged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import structlog

from db.engine import Database
from db.errors import LeaseLostError
from db.jobs.leases import Lease
from db.jobs.logs import LogRow, append_logs
from db.outage import is_outage, retry_outage
from db.schema.enums import Stage
from db.streak import Streak
from provisioner.build.events import BuildEvents
from provisioner.host.interrupt import Interrupt

log = structlog.get_logger("provisioner")


class LogStore:
    """Stores batches of one job's lines, through outages, as long as its lease may be held."""

    def __init__(
        self, database: Database, lease: Lease, *, interrupt: Interrupt, events: BuildEvents
    ) -> None:
        self._database = database
        self._lease = lease
        self._interrupt = interrupt
        self._events = events
        self._failing = Streak()

    def __call__(self, rows: Sequence[LogRow], overflowed: bool, stage: Stage) -> None:
        """Store a batch; it may wait for the database.

        Raises:
            LeaseLostError: the lease is lost, or an outage lasts longer than it.
            Exception: PostgreSQL refuses these lines for good; this was logged.
        """
        tries = itertools.count()

        def store() -> None:
            self._try(rows, overflowed, stage, is_repeated=next(tries) > 0)

        try:
            retry_outage(store, may_go_on=self._interrupt.may_write)
        except Exception as error:
            if is_outage(error):
                raise LeaseLostError(self._lease.job_id) from error
            raise

    def _try(
        self, rows: Sequence[LogRow], overflowed: bool, stage: Stage, *, is_repeated: bool
    ) -> None:
        try:
            with self._database.begin() as session:
                append_logs(
                    session,
                    self._lease,
                    rows=rows,
                    overflowed=overflowed,
                    stage=stage,
                    is_repeated=is_repeated,
                )
        except LeaseLostError:
            raise
        except Exception as error:
            self._events.log_write_failed()
            if self._failing.fail():
                self._log(error, lines=len(rows))
            raise
        if failures := self._failing.end():
            log.info("logs.recovered", job_id=str(self._lease.job_id), failures=failures)

    def _log(self, error: Exception, *, lines: int) -> None:
        facts = {"job_id": str(self._lease.job_id), "lines": lines}
        if is_outage(error):
            log.warning("logs.store_failed", error=str(error), **facts)
        else:
            log.error("logs.store_failed", exc_info=error, **facts)
