"""Rows of workers: written at the start, at each heartbeat, and at a clean shutdown."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.tags import normalize_tags, served_queues
from db.schema.enums import ProvisionerType


def register_worker(
    session: Session,
    *,
    name: str,
    tags: Mapping[str, str],
    provisioners: Sequence[ProvisionerType],
    concurrency: int,
    version: str,
    hostname: str,
) -> uuid.UUID:
    """Write the row of a starting worker and return its id. A restart under the same name keeps it.

    Raises:
        InvalidError: the tags are not allowed.
    """
    normal = normalize_tags(tags)
    worker_id = session.execute(
        sql("""
            INSERT INTO provisioner_daemons
                (id, name, tags, queues, provisioners,
                 concurrency, version, hostname, last_seen_at)
            VALUES
                (:id, :name, CAST(:tags AS jsonb), :queues,
                 CAST(:provisioners AS provisioner_type[]),
                 :concurrency, :version, :hostname, now())
            ON CONFLICT (lower(name), lower(coalesce(tags ->> 'owner', ''))) DO UPDATE
            SET tags = excluded.tags,
                queues = excluded.queues,
                provisioners = excluded.provisioners,
                concurrency = excluded.concurrency,
                version = excluded.version,
                hostname = excluded.hostname,
                last_seen_at = now(),
                stopped_at = NULL,
                draining = false
            RETURNING id
        """),
        {
            "id": uuid.uuid4(),
            "name": name,
            "tags": json.dumps(normal),
            "queues": served_queues(normal),
            "provisioners": [p.value for p in provisioners],
            "concurrency": concurrency,
            "version": version,
            "hostname": hostname,
        },
    ).scalar_one()
    return uuid.UUID(str(worker_id))


def touch_worker(session: Session, *, worker_id: uuid.UUID, draining: bool = False) -> None:
    """Record a heartbeat of the worker."""
    session.execute(
        sql("""
            UPDATE provisioner_daemons
            SET last_seen_at = now(), draining = :draining
            WHERE id = :id
        """),
        {"id": worker_id, "draining": draining},
    )


def sign_off_worker(session: Session, *, worker_id: uuid.UUID) -> None:
    """Record a clean shutdown, so that the worker counts as offline at once."""
    session.execute(
        sql("UPDATE provisioner_daemons SET stopped_at = now() WHERE id = :id"), {"id": worker_id}
    )
