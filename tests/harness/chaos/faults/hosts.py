"""What becomes of a whole host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.chaos.gates import PENDING
from tests.harness.chaos.hosts import Host
from tests.harness.chaos.site import DISKS
from tests.harness.chaos.strike import MANY, Fault, Strike


@contextmanager
def lose_host(strike: Strike) -> Iterator[None]:
    """The host is gone for good, with all of its workers and its work directories."""
    strike.site.lose(_host(strike))
    strike.excuse()
    yield


@contextmanager
def cut_off(strike: Strike) -> Iterator[None]:
    """Nothing reaches the host, shorter or longer than a lease; its processes go on."""
    host = _host(strike)
    host.cut_off()
    yield
    strike.last(2, 9)
    host.rejoin()


@contextmanager
def fill_disk(strike: Strike) -> Iterator[None]:
    """The disk with the work directories is full."""
    disk = _host(strike).disk
    assert disk is not None
    with disk.filled():
        yield
        strike.last(1, 4)


def _host(strike: Strike) -> Host:
    """Choose the host of the worker that holds most; the builds of all its workers are hit."""
    host = strike.site.host_of(strike.victim())
    if strike.stage != PENDING:
        names = {worker.name for worker in strike.site.on_host(host)}
        strike.narrow(job for job in strike.jobs if strike.worker_of(job) in names)
    return host


OF_HOSTS = (
    Fault(name="host lost", action=lose_host, builds=MANY),
    Fault(name="host cut off", action=cut_off, builds=MANY),
    Fault(name="work directory's disk full", action=fill_disk, builds=MANY, needs=DISKS),
)
