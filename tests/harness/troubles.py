"""What can befall PostgreSQL and a pooler for a while: each as a block in which it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import psycopg
import pytest

from tests.harness.held import Held
from tests.harness.pgbouncer import DATABASE, PgBouncer
from tests.harness.postgres_server import ROLE, PostgresServer

CHUNK = b"\0" * 65536
END_SESSIONS = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"


@contextmanager
def pooler_restarts(held: Held) -> Iterator[None]:
    """PgBouncer dies and is started again."""
    bouncer = _pooler(held)
    bouncer.kill()
    yield
    bouncer.start()


@contextmanager
def pooler_pauses(held: Held) -> Iterator[None]:
    """Whoever asks PgBouncer for a connection waits. In session mode, all are cut before."""
    bouncer = _pooler(held)
    bouncer.ask(f"{'PAUSE' if bouncer.mode == 'transaction' else 'KILL'} {DATABASE}")
    yield
    bouncer.ask(f"RESUME {DATABASE}")


@contextmanager
def pooler_is_suspended(held: Held) -> Iterator[None]:
    """PgBouncer reads from nobody and takes no connection, as before an online restart."""
    with _pooler(held).console() as run:
        run("SUSPEND")
        yield
        run("RESUME")


@contextmanager
def pooler_lets_nobody_wait(held: Held) -> Iterator[None]:
    """Whoever waits for a connection longer than a second is sent away: query_wait_timeout."""
    bouncer = _pooler(held)
    bouncer.set({"query_wait_timeout": 1})
    with pooler_pauses(held):
        yield
    bouncer.set({"query_wait_timeout": 60})


@contextmanager
def pooler_cuts_idle_clients(held: Held) -> Iterator[None]:
    """PgBouncer cuts connections that were not used for a second: client_idle_timeout."""
    bouncer = _pooler(held)
    bouncer.set({"client_idle_timeout": 1})
    yield
    bouncer.set({"client_idle_timeout": 0})


@contextmanager
def postgresql_restarts(held: Held) -> Iterator[None]:
    """PostgreSQL is stopped, and started again."""
    held.server.stop()
    yield
    held.server.start()


@contextmanager
def postgresql_crashes(held: Held) -> Iterator[None]:
    """PostgreSQL dies, and recovers when it is started again."""
    held.server.stop(mode="immediate")
    yield
    held.server.start()


@contextmanager
def sessions_may_not_idle(held: Held) -> Iterator[None]:
    """PostgreSQL ends sessions that were not used for 50 ms: idle_session_timeout."""
    held.server.configure(idle_session_timeout="50ms")
    yield
    held.server.configure(idle_session_timeout=None)


@contextmanager
def no_connection_is_left(held: Held) -> Iterator[None]:
    """Others have taken all of max_connections, when the workers need new ones."""
    with ExitStack() as taken:
        # Once more after the workers' own were ended: PgBouncer takes some of them back.
        for _round in range(3):
            _take_all(held.server, taken)
            held.server.execute(END_SESSIONS)
        _take_all(held.server, taken)
        yield


@contextmanager
def disk_is_full(held: Held) -> Iterator[None]:
    """The disk of PostgreSQL's data is full; it may go down by that."""
    if held.disk is None or held.disk not in held.server.data.parents:
        pytest.skip("PostgreSQL's data is on no disk of its own: no file system could be mounted")
    filling = held.disk / "filling"
    with suppress(OSError), filling.open("wb", buffering=0) as file:
        while file.write(CHUNK):
            pass
    yield
    filling.unlink()
    if not held.server.is_running():
        held.server.start()


@contextmanager
def standby_takes_over(held: Held) -> Iterator[None]:
    """The primary is lost; its standby is promoted, and the pooler is pointed at it."""
    (port,) = set(held.ports) - {held.server.port}
    standby = held.server.standby(port=port)
    held.server.stop(mode="immediate")
    yield
    held.promote(standby)


Trouble = Callable[[Held], AbstractContextManager[None]]

OF_POSTGRESQL: tuple[Trouble, ...] = (
    postgresql_restarts,
    postgresql_crashes,
    sessions_may_not_idle,
    no_connection_is_left,
    disk_is_full,
    standby_takes_over,
)
OF_THE_POOLER: tuple[Trouble, ...] = (
    pooler_restarts,
    pooler_pauses,
    pooler_is_suspended,
    pooler_lets_nobody_wait,
    pooler_cuts_idle_clients,
)
TROUBLES: Mapping[str, tuple[Trouble, ...]] = {
    "transaction": (*OF_THE_POOLER, *OF_POSTGRESQL),
    "session": (*OF_THE_POOLER, *OF_POSTGRESQL),
    "direct": OF_POSTGRESQL,
}
"""By the way from the workers to PostgreSQL."""


def strike(held: Held, trouble: Trouble, *, seconds: float) -> None:
    """Hold a build in each stage, let trouble last for so long, and the builds run into it."""
    held.hold_builds()
    with trouble(held):
        held.let_go()
        time.sleep(seconds)  # the time itself is the trouble: there is nothing to wait for
    held.cluster.database.dispose()  # the trouble may have cut the tests' own connections, too


def _pooler(held: Held) -> PgBouncer:
    assert held.bouncer is not None
    return held.bouncer


def _take_all(server: PostgresServer, taken: ExitStack) -> None:
    with suppress(psycopg.OperationalError):
        while True:
            taken.enter_context(server.connect(user=ROLE))
