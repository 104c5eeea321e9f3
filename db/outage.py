"""Going on while PostgreSQL is away: which errors mean that, and trying until it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

Answer = TypeVar("Answer")

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 2.0
# Errors of a server that is there but cannot take the statement now.
PASSING = (
    psycopg.errors.AdminShutdown,
    psycopg.errors.CannotConnectNow,
    psycopg.errors.CrashShutdown,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.SerializationFailure,
    psycopg.errors.TooManyConnections,
)


def is_outage(error: BaseException) -> bool:
    """Return whether the same statement may well succeed later."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    answer = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(answer, PASSING):
        return True
    # Without an SQLSTATE the server never answered: refused, cut, timed out.
    return isinstance(answer, psycopg.OperationalError) and answer.sqlstate is None


def retry_outage(
    action: Callable[[], Answer],
    *,
    may_go_on: Callable[[], bool],
    on_outage: Callable[[BaseException], None] = lambda _error: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Run ``action`` until it does not fail for an outage, and return its answer.

    After a lost answer to a COMMIT the action runs again although it took effect, so it has to
    be one that may be repeated, as all of ``db.jobs.transitions`` are.

    Args:
        may_go_on: asked after each outage; once it says no, the outage is raised.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except Exception as error:
            if not is_outage(error) or not may_go_on():
                raise
            on_outage(error)
        sleep(pause_s)
        pause_s = min(pause_s * 2, LAST_PAUSE_S)
