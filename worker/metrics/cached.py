"""A query that scrapes of metrics share, and that they wait for only a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.engine import Database
from db.streak import Streak

log = structlog.get_logger("worker")

CACHE_S = 2.0
"""Scrapes within this time share one query."""

PATIENCE_S = 2.0
"""How long a scrape waits for the database before it shows the last good reading."""

Reading = TypeVar("Reading")


class Cached(Generic[Reading]):
    """The result of a query, for ``CACHE_S`` seconds, or until the database is back."""

    def __init__(
        self, database: Database, read: Callable[[Session], Reading], first: Reading
    ) -> None:
        self._database = database
        self._read = read
        self._reading = first
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking: threading.Thread | None = None
        self._lock = threading.Lock()
        self._failing = Streak()

    def get(self) -> Reading:
        """Return the reading; after ``PATIENCE_S``, the last good one, as the database may hang."""
        with self._lock:
            asking = self._ask()
            left_s = self._asked_at + PATIENCE_S - time.monotonic()
        if asking is not None:
            asking.join(max(0.0, left_s))
        return self._reading

    def _ask(self) -> threading.Thread | None:
        """Return the thread that reads now; None if the last reading is still fresh."""
        if self._asking is not None and self._asking.is_alive():
            return self._asking
        now = time.monotonic()
        if now - self._read_at <= CACHE_S:
            return None
        self._asked_at = now
        self._asking = threading.Thread(target=self._refresh, name="metrics-sql", daemon=True)
        self._asking.start()
        return self._asking

    def _refresh(self) -> None:
        try:
            with self._database.begin() as session:
                self._reading = self._read(session)
        except SQLAlchemyError as error:
            if self._failing.fail():
                log.warning("metrics.unread", error=str(error))
        else:
            if failures := self._failing.end():
                log.info("metrics.recovered", failures=failures)
        self._read_at = time.monotonic()
