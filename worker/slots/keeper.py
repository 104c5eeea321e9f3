"""Renews the leases of this process's builds, and passes cancel requests to the builds.

One statement renews all leases and returns which builds were canceled. A build is stopped before
another worker may take it over, if its lease is gone or could not be renewed for the fence time.
Each build checks the fence time itself (see ``Interrupt.extend``), since a renewal may hang.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from db.engine import Database
from db.jobs.leases import renew_leases
from db.outage import is_outage
from db.streak import Streak
from provisioner.host.interrupt import Interrupt, InterruptReason
from worker.metrics.series import Metrics

log = structlog.get_logger("worker")


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """Times as in the settings of the same names; ``worker.settings`` checks their relations."""

    lease: timedelta
    renew: timedelta
    fence: timedelta
    fence_grace: timedelta


@dataclass(kw_only=True)
class _Held:
    interrupt: Interrupt
    is_lost: bool = False


class LeaseKeeper:
    """Renews leases from a separate thread until ``stop``."""

    def __init__(self, database: Database, times: LeaseTimes, *, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._failing = Streak()
        self._times = times
        self._held: dict[uuid.UUID, _Held] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. The leases of builds that still run will expire."""
        self._stopping.set()
        self._thread.join(timeout=5)

    @contextmanager
    def keep(
        self, token: uuid.UUID, interrupt: Interrupt, *, asked_at: float | None = None
    ) -> Iterator[None]:
        """Renew the lease while the block runs; a cancel or a loss is passed to ``interrupt``.

        Args:
            asked_at: when the lease was requested, by ``time.monotonic``; now if None.
        """
        self._extend(interrupt, time.monotonic() if asked_at is None else asked_at)
        with self._lock:
            self._held[token] = _Held(interrupt=interrupt)
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(token, None)

    @property
    def running(self) -> int:
        """The number of builds that run in this process."""
        return len(self._held)

    def interrupt_all(self, reason: InterruptReason) -> None:
        """Interrupt every build of this process."""
        for held in self._snapshot().values():
            held.interrupt.request(reason)

    def renew_once(self) -> None:
        """Renew all leases now, and pass on cancels and losses.

        A failure is counted and logged. If renewals keep failing, the fence stops the builds.
        """
        held = self._snapshot()
        if not held:
            return
        try:
            self._renew(held, time.monotonic())
        except Exception as error:  # noqa: BLE001 - the thread must survive this
            self._metrics.renewal_failures.inc()
            if self._failing.fail():
                self._log(error, builds=len(held))
            return
        if failures := self._failing.end():
            log.info("lease.recovered", builds=len(held), failures=failures)

    def _log(self, error: Exception, *, builds: int) -> None:
        if is_outage(error):
            log.warning("lease.renew_failed", builds=builds, error=str(error))
        else:
            log.error("lease.renew_failed", builds=builds, exc_info=error)

    def _renew(self, held: dict[uuid.UUID, _Held], asked_at: float) -> None:
        with self._database.begin() as session:
            renewed = renew_leases(session, tokens=list(held), lease=self._times.lease)
        by_token = {lease.token: lease for lease in renewed}
        for token, build in held.items():
            lease = by_token.get(token)
            if lease is None:
                self._give_up(token, build)
                continue
            self._extend(build.interrupt, asked_at)
            if lease.cancel_requested:
                build.interrupt.request(InterruptReason.CANCEL)

    def _extend(self, interrupt: Interrupt, asked_at: float) -> None:
        interrupt.extend(
            asked_at + self._times.fence.total_seconds(), grace=self._times.fence_grace
        )

    def _give_up(self, token: uuid.UUID, build: _Held) -> None:
        if token in self._held and not build.is_lost:
            build.is_lost = True
            # No warning: a build deletes its lease with its last write, shortly before it ends
            # here. Its ending shows whether this one was lost (see ``Dispatcher``).
            log.debug("lease.missing", lease_token=str(token))
            build.interrupt.request(InterruptReason.LEASE_LOST, grace=self._times.fence_grace)

    def _snapshot(self) -> dict[uuid.UUID, _Held]:
        with self._lock:
            return dict(self._held)

    def _run(self) -> None:
        while not self._stopping.wait(self._times.renew.total_seconds()):
            self.renew_once()
