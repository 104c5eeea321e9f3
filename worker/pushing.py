"""Pushing a template: storing a version, and enqueueing its import by a worker."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.catalog.templates import Push, push_template
from db.catalog.versions import EnqueuedImport
from worker.broker.ringer import Ring
from worker.enqueue import ring_after_commit


def enqueue_import(
    session: Session, push: Push, *, redis_url: str | None = None, ring: Ring | None = None
) -> EnqueuedImport:
    """Store a version of a template and enqueue its import in the caller's transaction.

    The version can be built from, and becomes active, when the import has succeeded.

    Args: as of ``enqueue_build``.

    Raises:
        InvalidError: the name, a tag or a value is not allowed.
        ConflictError: the template is run by another engine, or has a version of that name.
    """
    pushed = push_template(session, push)
    ring_after_commit(session, pushed.queue, redis_url=redis_url, ring=ring)
    return pushed
