"""The sizes of a worker's connection pools; under load each may open twice as many."""

from __future__ import annotations


def build_connections(slots: int) -> int:
    """Return the size of the pool for ``slots`` builds and the lease keeper."""
    return slots + 2


def chore_connections(slots: int) -> int:
    """Return the size of the pool for the other work of a worker with ``slots`` slots."""
    return slots + 4
