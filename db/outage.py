"""Outages of PostgreSQL: which errors are one, and retrying until it is over."""

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
TEMPORARY_CLASSES: Mapping[str, str] = {
    "08": "the connection broke; PgBouncer reports all of its own errors as 08P01",
    "40": "the transaction was rolled back: a deadlock, or a conflict with another one",
    "53": "the server lacks a resource: disk, memory, connections",
    "57": "the server was stopped, is starting, or ended the session or the statement",
    "58": "the server's system failed: an I/O error",
}
"""Classes of SQLSTATE whose errors are usually temporary. Source: PostgreSQL, appendix A."""

TEMPORARY_CODES: Mapping[str, str] = {
    "25006": "the server is a standby, as in a failover",
    "25P03": "the session was ended because its transaction was idle for too long",
    "25P04": "the session was ended because its transaction took too long",
    "26000": "a pooler chose a server connection that lacks the prepared statement",
    "42P05": "a pooler chose a server connection that has another client's prepared statement",
    "55P03": "the lock timeout passed",
}
"""Codes of temporary errors in other classes. After the two of prepared statements, psycopg rolls
back and prepares again."""

PERMANENT_CODES: Mapping[str, str] = {
    "57P04": "the database was dropped",
}
"""Codes of permanent errors in the classes above."""

POOLER_TEXTS = re.compile(
    r"query_wait_timeout|server conn(ection)? crashed|server login (has been )?fail"
    r"|cannot connect to server|no more connections allowed|max clients reached"
    r"|all servers are unavailable|pooler error|bouncer config error|pgbouncer is shutting down",
    re.IGNORECASE,
)
"""Texts of the poolers' own errors, which may have any SQLSTATE. Sources: issues and logs of
PgBouncer, PgCat and Supavisor."""


def is_outage(error: BaseException) -> bool:
    """Return whether the error is temporary, so that the same statement may succeed later."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_temporary(error.orig)
    return _is_temporary(error)


def _is_temporary(error: BaseException | None) -> bool:
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        # The server did not answer: the connection was refused or cut, or timed out.
        return isinstance(error, psycopg.OperationalError)
    return _is_temporary_code(error.sqlstate) or POOLER_TEXTS.search(str(error)) is not None


def _is_temporary_code(sqlstate: str) -> bool:
    if sqlstate in PERMANENT_CODES:
        return False
    return sqlstate[:2] in TEMPORARY_CLASSES or sqlstate in TEMPORARY_CODES


def retry_outage(
    action: Callable[[], Answer],
    *,
    may_go_on: Callable[[], bool],
    on_outage: Callable[[BaseException], None] = lambda _error: None,
    sleep: Callable[[float], None] = time.sleep,
    is_temporary: Callable[[BaseException], bool] = is_outage,
) -> Answer:
    """Run ``action``, again after each outage, until it succeeds; return its result.

    If the answer to a COMMIT is lost, the action runs again although it took effect. So it must be
    safe to repeat, or check whether it took effect, as ``db.jobs.mover`` does.

    Args:
        may_go_on: asked after each outage; if it returns False, the error is raised.
        on_outage: called with each error before the next attempt.
        is_temporary: says whether an error is an outage.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except Exception as error:
            if not is_temporary(error) or not may_go_on():
                raise
            on_outage(error)
        sleep(pause_s)
        pause_s = min(pause_s * 2, LAST_PAUSE_S)
