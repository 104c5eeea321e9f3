"""What becomes of Redis, PostgreSQL and the pooler before it."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from db.schema.enums import Stage
from tests.harness.chaos.gates import FINISH
from tests.harness.chaos.site import DISKS, POOLER
from tests.harness.chaos.strike import Fault, Strike
from tests.harness.proxy import Proxy
from tests.harness.waiting import NeverHappenedError, wait_until
from worker.embedded.directory import free_port

MOVE, CHARGE = b"UPDATE provisioner_jobs", b"quota_budget ="
"""Statements of transactions whose answers are lost."""
CHARGED = (Stage.APPLY.value, FINISH)


@contextmanager
def kill_redis(strike: Strike) -> Iterator[None]:
    """Redis dies and comes back empty."""
    strike.site.cluster.redis.kill()
    yield
    strike.last(0.1, 1, 2)
    strike.site.cluster.redis.start()


@contextmanager
def flush_redis(strike: Strike) -> Iterator[None]:
    """Redis forgets everything."""
    strike.site.cluster.redis.ask("FLUSHALL")
    yield


@contextmanager
def pause_redis(strike: Strike) -> Iterator[None]:
    """Redis answers nobody for a while."""
    strike.site.cluster.redis.send(signal.SIGSTOP)
    yield
    strike.last(0.5, 2, 4)
    strike.site.cluster.redis.send(signal.SIGCONT)


@contextmanager
def cut_connections(strike: Strike) -> Iterator[None]:
    """All connections to PostgreSQL are reset, three times."""
    for number in range(3):
        for proxy in strike.site.networks():
            proxy.cut()
        if number == 0:
            yield
        time.sleep(0.2)


@contextmanager
def refuse_connections(strike: Strike) -> Iterator[None]:
    """PostgreSQL takes no connections; 6 seconds are longer than the fence."""
    with _broken_networks(strike, Proxy.refuse):
        yield


@contextmanager
def freeze_connections(strike: Strike) -> Iterator[None]:
    """PostgreSQL does not answer, and does not say so."""
    with _broken_networks(strike, Proxy.freeze):
        yield


@contextmanager
def _broken_networks(strike: Strike, harm: Callable[[Proxy], None]) -> Iterator[None]:
    for proxy in strike.site.networks():
        harm(proxy)
    yield
    strike.last(0.5, 2, 6)
    for proxy in strike.site.networks():
        proxy.heal()


@contextmanager
def lose_answer(strike: Strike) -> Iterator[None]:
    """The answer to a COMMIT is lost."""
    proxy = strike.site.host_of(strike.victim()).postgres
    before = proxy.lost_answers
    is_charged = strike.stage in CHARGED
    proxy.lose_answer(MOVE if is_charged else strike.random.choice((MOVE, CHARGE)))
    yield
    with suppress(NeverHappenedError):
        wait_until(lambda: proxy.lost_answers > before, "a lost answer", within_s=4)
    if proxy.lost_answers == before:
        strike.narrow(())
    proxy.heal()


@contextmanager
def restart_pooler(strike: Strike) -> Iterator[None]:
    """PgBouncer dies and is started again."""
    bouncer = strike.site.bouncer
    assert bouncer is not None
    bouncer.kill()
    yield
    strike.last(0.1, 1, 3)
    bouncer.start()


@contextmanager
def crash_postgres(strike: Strike) -> Iterator[None]:
    """PostgreSQL dies, and recovers when it is started again."""
    strike.site.server.stop(mode="immediate")
    yield
    strike.last(0.1, 1, 3)
    strike.site.server.start()


@contextmanager
def fail_over(strike: Strike) -> Iterator[None]:
    """The primary is lost; its standby is promoted, and the pooler is pointed at it."""
    primary = strike.site.server
    standby = primary.standby(port=free_port())
    strike.now()
    primary.stop(mode="immediate")
    yield
    strike.last(0.1, 1)
    standby.promote()
    strike.site.point_at(standby)
    shutil.rmtree(primary.data, ignore_errors=True)


@contextmanager
def fill_disk(strike: Strike) -> Iterator[None]:
    """The disk of PostgreSQL's data is full; it may go down by that."""
    disk, server = strike.site.disk, strike.site.server
    assert disk is not None
    with disk.filled():
        yield
        strike.last(1, 3)
    if not server.is_running():
        server.start()


OF_SERVERS = (
    Fault(name="Redis killed", action=kill_redis),
    Fault(name="Redis flushed", action=flush_redis),
    Fault(name="Redis paused", action=pause_redis),
    Fault(name="PostgreSQL cut", action=cut_connections),
    Fault(name="PostgreSQL away", action=refuse_connections),
    Fault(name="PostgreSQL frozen", action=freeze_connections),
    Fault(name="COMMIT answer lost", action=lose_answer, builds=1),
    Fault(name="PgBouncer restarted", action=restart_pooler, needs=POOLER),
    Fault(name="PostgreSQL crashed", action=crash_postgres),
    Fault(name="PostgreSQL failed over", action=fail_over),
    Fault(name="PostgreSQL's disk full", action=fill_disk, needs=DISKS),
)
