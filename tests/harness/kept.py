"""Connections of an engine that go from one test to the next, as if they were new."""

from __future__ import annotations

from contextlib import ExitStack, closing

import sqlalchemy
from psycopg import Connection
from psycopg.pq import ExecStatus

from db.engine import Database

MOST = 5
# DISCARD ALL, except that it keeps prepared statements, plans and what is known of the tables.
RESET = b"""
    SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; CLOSE ALL; DISCARD TEMP;
    DISCARD SEQUENCES; SELECT pg_advisory_unlock_all()
"""


def keep_connections(database: Database) -> set[int]:
    """Reset the open connections of a pool, and return the process IDs of their sessions.

    If one is in use or broken, or if they are many, none is kept.
    """
    pool = database.engine.pool
    assert isinstance(pool, sqlalchemy.QueuePool)
    if pool.checkedout() == 0 and pool.checkedin() <= MOST:
        with ExitStack() as stack:
            # Each is taken before one is returned, so that all of them are different.
            taken = [
                stack.enter_context(closing(pool.connect())).driver_connection
                for _ in range(pool.checkedin())
            ]
            connections = [found for found in taken if isinstance(found, Connection)]
            if all(map(_is_reset, connections)):
                return {found.info.backend_pid for found in connections}
    database.dispose()
    return set()


def _is_reset(connection: Connection) -> bool:
    is_open = not connection.closed
    return is_open and connection.pgconn.exec_(RESET).status == ExecStatus.TUPLES_OK
