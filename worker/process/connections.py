"""How many connections to PostgreSQL the pools of a worker keep; under load it may be twice."""

from __future__ import annotations


def build_connections(slots: int) -> int:
    """Return the size of the pool of ``slots`` builds: with room for the lease keeper."""
    return slots + 2


def chore_connections(slots: int) -> int:
    """Return the size of the pool for all else that a worker of ``slots`` builds does."""
    return slots + 4
