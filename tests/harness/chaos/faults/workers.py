"""What becomes of one worker, its launcher and its Terraform."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tests.harness.chaos.gates import TERRAFORM_STAGES
from tests.harness.chaos.site import COMPILER, RELEASE, SANDBOX, SANDBOX_AND_DISKS
from tests.harness.chaos.strike import MANY, Fault, Strike
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

HOUR_S = 3600
DRAINED_S = 60
LEASE_S = 6
"""See ``tests.harness.cluster.TIMES``."""


@contextmanager
def kill_worker(strike: Strike) -> Iterator[None]:
    """SIGKILL to the worker; its Terraform ends by itself."""
    strike.victim().kill()
    yield


@contextmanager
def kill_both(strike: Strike) -> Iterator[None]:
    """SIGKILL to the worker and everything below it, at one moment."""
    strike.victim().kill(with_terraform=True)
    strike.excuse()
    yield


@contextmanager
def kill_with_launcher(strike: Strike) -> Iterator[None]:
    """SIGKILL to the worker and its launcher, at one moment; Terraform ends by itself."""
    _kill_with_launcher(strike.victim())
    yield


@contextmanager
def kill_on_full_disk(strike: Strike) -> Iterator[None]:
    """The same, while the disk with the work directories is full."""
    victim = strike.victim()
    disk = strike.site.host_of(victim).disk
    assert disk is not None
    with disk.filled():
        _kill_with_launcher(victim)
        yield
        strike.last(1, 4)


def _kill_with_launcher(worker: Worker) -> None:
    launchers = worker.launchers()
    worker.send(signal.SIGSTOP)
    for process in launchers:
        process.suspend()
    for process in launchers:
        process.kill()
    worker.kill()


@contextmanager
def kill_terraform(strike: Strike) -> Iterator[None]:
    """SIGKILL to each Terraform of the worker."""
    for process in strike.victim().terraforms():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    strike.excuse()
    yield


@contextmanager
def kill_launcher(strike: Strike) -> Iterator[None]:
    """SIGKILL to the launcher; the worker lives."""
    for process in strike.victim().launchers():
        process.kill()
    yield


@contextmanager
def pause_launcher(strike: Strike) -> Iterator[None]:
    """SIGSTOP to the launcher, and SIGCONT later."""
    launchers = strike.victim().launchers()
    for process in launchers:
        process.suspend()
    yield
    strike.last(1, LEASE_S / 2, LEASE_S * 1.5)
    for process in launchers:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def pause_worker(strike: Strike) -> Iterator[None]:
    """SIGSTOP to the worker, shorter or longer than its lease."""
    worker = strike.victim()
    worker.send(signal.SIGSTOP)
    yield
    strike.last(LEASE_S / 4, LEASE_S * 1.5)
    worker.send(signal.SIGCONT)


@contextmanager
def drain(strike: Strike) -> Iterator[None]:
    """SIGTERM: the worker drains."""
    strike.victim().send(signal.SIGTERM)
    yield


@contextmanager
def drain_twice(strike: Strike) -> Iterator[None]:
    """A second SIGTERM: the worker does not wait."""
    worker = strike.victim()
    worker.send(signal.SIGTERM)
    time.sleep(0.3)
    if not worker.has_ended():
        worker.send(signal.SIGTERM)
    yield


@contextmanager
def clock_jumps(strike: Strike) -> Iterator[None]:
    """The clock of the worker jumps by an hour, forwards or backwards, and back later."""
    worker, clocks = strike.victim(), strike.site.clocks
    assert clocks is not None
    clocks.set(worker.name, strike.random.choice((HOUR_S, -HOUR_S)))
    yield
    strike.last(1, 3)
    clocks.set(worker.name, 0)


@contextmanager
def replace_by_released(strike: Strike) -> Iterator[None]:
    """SIGKILL; a worker of the last release recovers what is left, builds, and drains later."""
    victim = strike.victim()
    victim.kill()
    released = strike.site.start_released(strike.site.host_of(victim))
    yield
    strike.last(1, 3)
    released.send(signal.SIGTERM)
    wait_until(released.has_ended, "the end of the last release's worker", within_s=DRAINED_S)


OF_WORKERS = (
    Fault(name="worker killed", action=kill_worker, builds=MANY),
    Fault(name="worker and Terraform killed", action=kill_both, builds=MANY),
    Fault(
        name="worker and launcher killed",
        action=kill_with_launcher,
        builds=MANY,
        stages=TERRAFORM_STAGES,
        needs=SANDBOX,
    ),
    Fault(
        name="both killed, disk full",
        action=kill_on_full_disk,
        builds=MANY,
        stages=TERRAFORM_STAGES,
        needs=SANDBOX_AND_DISKS,
    ),
    Fault(name="Terraform killed", action=kill_terraform, builds=MANY, stages=TERRAFORM_STAGES),
    Fault(name="launcher killed", action=kill_launcher, builds=MANY, stages=TERRAFORM_STAGES),
    Fault(name="launcher paused", action=pause_launcher, builds=MANY, stages=TERRAFORM_STAGES),
    Fault(name="worker paused", action=pause_worker, builds=MANY),
    Fault(name="SIGTERM", action=drain, builds=MANY),
    Fault(name="SIGTERM twice", action=drain_twice, builds=MANY),
    Fault(name="last release takes over", action=replace_by_released, builds=MANY, needs=RELEASE),
    Fault(name="clock of a worker jumps", action=clock_jumps, builds=MANY, needs=COMPILER),
)
