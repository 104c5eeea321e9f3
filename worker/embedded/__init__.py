"""A real PostgreSQL and a real Redis in the data directory (see ``servers``)."""

from __future__ import annotations

from worker.embedded.directory import EmbeddedError
from worker.embedded.servers import Embedded, start_embedded

__all__ = ["Embedded", "EmbeddedError", "start_embedded"]
