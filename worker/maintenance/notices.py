"""Rings for builds that were enqueued by SQL: their callers know no broker.

PostgreSQL tells who listens the name of the queue. One worker at a time listens, the one that holds
an advisory lock; another takes its turn when that one ends. Without a listener, the sweeper finds
the builds a few seconds later.
"""

from __future__ import annotations

import re
import threading
from typing import Any

import psycopg
import structlog

from db.engine import Database, sql
from db.jobs.notices import QUEUES
from db.reads.listener import PROBE, connect_apart, listen_and_probe
from worker.broker.ringer import Ring

log = structlog.get_logger("worker")

TURN_S = 10.0  #: how often a worker asks whether somebody listens
WAIT_S = 1.0  #: how long a wait for notices lasts, and so the end of a listener
LOCK = "hashtextextended('provisionerd listens for queues of ' || current_schema(), 0)"
# Anybody who can connect to the database can send a notice.
_QUEUE = re.compile(r"builds(-[0-9a-f]{16})?")


class QueueListener:
    """The part of a worker in listening for queues.

    Args:
        ring: rings a queue once.
    """

    def __init__(self, database: Database, *, ring: Ring) -> None:
        self._database = database
        self._ring = ring
        self._closing = threading.Event()
        self.is_listening = False

    def listen(self) -> None:
        """Listen until ``close`` if nobody else does; else return at once.

        Raises:
            psycopg.Error, SQLAlchemyError: the database cannot be reached.
        """
        if self._closing.is_set() or self._is_taken():
            return
        with connect_apart(self._database) as connection:
            # Behind some poolers notices do not arrive, and a lock would stay with the pooler.
            if not listen_and_probe(self._database, connection, (QUEUES,)):
                return
            taken = connection.execute(f"SELECT pg_try_advisory_lock({LOCK})").fetchone()
            if taken != (True,):
                return
            self.is_listening = True
            try:
                self._pass_on(connection)
            finally:
                self.is_listening = False

    def close(self) -> None:
        """End ``listen`` within ``WAIT_S``."""
        self._closing.set()

    def _is_taken(self) -> bool:
        with self._database.begin() as session:
            return bool(
                session.execute(
                    sql(f"""
                        SELECT EXISTS (
                            SELECT
                            FROM pg_locks
                            WHERE locktype = 'advisory' AND objsubid = 1
                              AND database = (
                                  SELECT oid FROM pg_database WHERE datname = current_database())
                              AND (classid::bigint << 32) | objid::bigint = {LOCK})
                    """)  # noqa: S608 - a constant
                ).scalar_one()
            )

    def _pass_on(self, connection: psycopg.Connection[Any]) -> None:
        log.info("queues.listening")
        while not self._closing.is_set():
            for notice in connection.notifies(timeout=WAIT_S):
                if _QUEUE.fullmatch(notice.payload):
                    self._ring(notice.payload)
                elif not notice.payload.startswith(PROBE):
                    log.warning("queues.unknown", queue=notice.payload[:100])
            if connection.closed:
                return
            connection.execute("SELECT 1")  # raises if the server is gone
