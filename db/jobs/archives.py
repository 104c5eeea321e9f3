"""A cache of template archives, which the builds of a worker read repeatedly."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict

from sqlalchemy.orm import Session

from db.engine import sql

LIMIT_BYTES = 32 * 1024 * 1024


class ArchiveCache:
    """Keeps the most recently used archives. They never go stale, because a file never changes."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._archives: OrderedDict[uuid.UUID, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: Session, file_id: uuid.UUID) -> bytes:
        """Return the content of the file."""
        with self._lock:
            if (known := self._archives.get(file_id)) is not None:
                self._archives.move_to_end(file_id)
                return known
        data = bytes(
            session.execute(
                sql("SELECT data FROM files WHERE id = :id"), {"id": file_id}
            ).scalar_one()
        )
        self._keep(file_id, data)
        return data

    def _keep(self, file_id: uuid.UUID, data: bytes) -> None:
        with self._lock:
            if file_id not in self._archives and len(data) <= self._limit_bytes:
                self._archives[file_id] = data
                self._bytes += len(data)
            while self._bytes > self._limit_bytes:
                _, dropped = self._archives.popitem(last=False)
                self._bytes -= len(dropped)
