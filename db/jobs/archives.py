"""Stored archives: each content once, and a cache of those that a worker reads repeatedly."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import OrderedDict
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.schema.tables import File

TAR = "application/x-tar"
LIMIT_BYTES = 32 * 1024 * 1024


def store_file(
    session: Session, *, data: bytes, created_by: uuid.UUID, mimetype: str = TAR
) -> uuid.UUID:
    """Store an archive and return its id. The same content of one creator is stored once."""
    digest = hashlib.sha256(data).hexdigest()
    return session.execute(
        insert(File)
        .values(id=uuid.uuid4(), hash=digest, created_by=created_by, mimetype=mimetype, data=data)
        # A no-op update, so that RETURNING returns an existing row, too.
        .on_conflict_do_update(
            index_elements=[File.hash, File.created_by], set_={"mimetype": File.mimetype}
        )
        .returning(File.id)
    ).scalar_one()


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
        data = read_file(session, file_id)
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


def read_file(session: Session, file_id: uuid.UUID) -> bytes:
    """Return the content of a file that exists."""
    # By a cursor of the driver, in binary: as text a large archive takes five times its size.
    cursor: Any = session.connection().connection.cursor(binary=True)
    with cursor:
        row = cursor.execute("SELECT data FROM files WHERE id = %s", (file_id,)).fetchone()
    assert row is not None, "jobs refer to files that exist"
    return bytes(row[0])
