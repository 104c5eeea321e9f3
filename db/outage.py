"""Going on while PostgreSQL is away: which errors mean that, and trying until it is back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

Answer = TypeVar("Answer")

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 2.0
PASSING_CLASSES: Mapping[str, str] = {
    "08": "the connection broke; PgBouncer says of itself everything with 08P01",
    "40": "the transaction was rolled back: a deadlock, or a conflict with another one",
    "53": "the server lacks a resource: disk, memory, connections",
    "57": "the server was stopped, is starting, or ended the session or the statement",
    "58": "the server's system failed: an I/O error",
}
"""Classes of SQLSTATE that may pass by themselves. Source: PostgreSQL, appendix A."""

PASSING_CODES: Mapping[str, str] = {
    "25006": "the server is a standby, as in a failover",
    "25P03": "the session was ended because its transaction did nothing for too long",
    "25P04": "the session was ended because its transaction took too long",
    "55P03": "a lock could not be had in time",
}
"""Single codes of classes that do not pass as a whole."""

LASTING_CODES: Mapping[str, str] = {
    "57P04": "the database was dropped",
}
"""Codes that do not pass although their class does."""

POOLER_WORDS = re.compile(
    r"query_wait_timeout|server conn(ection)? crashed|server login (has been )?fail"
    r"|cannot connect to server|no more connections allowed|max clients reached"
    r"|all servers are unavailable|pooler error|bouncer config error|pgbouncer is shutting down",
    re.IGNORECASE,
)
"""What poolers say of themselves, whatever their SQLSTATE. Sources: issues and logs of PgBouncer,
PgCat and Supavisor."""


def is_outage(error: BaseException) -> bool:
    """Return whether the same statement may well succeed later."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    answer = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(answer, psycopg.Error):
        return False
    if answer.sqlstate is None:
        # The server never answered: refused, cut, timed out.
        return isinstance(answer, psycopg.OperationalError)
    return _may_pass(answer.sqlstate) or POOLER_WORDS.search(str(answer)) is not None


def _may_pass(sqlstate: str) -> bool:
    if sqlstate in LASTING_CODES:
        return False
    return sqlstate[:2] in PASSING_CLASSES or sqlstate in PASSING_CODES


def retry_outage(
    action: Callable[[], Answer],
    *,
    may_go_on: Callable[[], bool],
    passes: Callable[[BaseException], bool] = is_outage,
    on_outage: Callable[[BaseException], None] = lambda _error: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Run ``action`` until it does not fail for an outage, and return its answer.

    After a lost answer to a COMMIT the action runs again although it took effect, so it has to
    be one that may be repeated, or that finds out by itself, as ``db.jobs.mover`` does.

    Args:
        may_go_on: asked after each outage; once it says no, the outage is raised.
        passes: which errors are tried again.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except Exception as error:
            if not passes(error) or not may_go_on():
                raise
            on_outage(error)
        sleep(pause_s)
        pause_s = min(pause_s * 2, LAST_PAUSE_S)
