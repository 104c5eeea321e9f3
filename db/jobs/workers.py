"""Rows of workers: written at the start, at each heartbeat, and at a clean shutdown."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import NotFoundError
from db.jobs.tags import normalize_tags, served_queues
from db.schema.enums import ProvisionerType

REGISTER = sql("""
    INSERT INTO provisioner_daemons
        (id, name, tags, queues, organizations, provisioners,
         concurrency, version, hostname, last_seen_at)
    VALUES
        (:id, :name, CAST(:tags AS jsonb), :queues, CAST(:organizations AS uuid[]),
         CAST(:provisioners AS provisioner_type[]),
         :concurrency, :version, :hostname, now())
    ON CONFLICT (lower(name), lower(coalesce(tags ->> 'owner', ''))) DO UPDATE
    SET tags = excluded.tags,
        queues = excluded.queues,
        organizations = excluded.organizations,
        provisioners = excluded.provisioners,
        concurrency = excluded.concurrency,
        version = excluded.version,
        hostname = excluded.hostname,
        last_seen_at = now(),
        stopped_at = NULL,
        draining = false,
        drain_requested_at = NULL
    RETURNING id
""")


def register_worker(
    session: Session,
    *,
    name: str,
    tags: Mapping[str, str],
    provisioners: Sequence[ProvisionerType],
    concurrency: int,
    version: str,
    hostname: str,
    organizations: Sequence[str] = (),
) -> uuid.UUID:
    """Write the row of a starting worker and return its id. A restart under the same name keeps it.

    Args:
        organizations: names of the organizations whose jobs it runs; none means all.

    Raises:
        InvalidError: the tags are not allowed.
        NotFoundError: there is no such organization.
    """
    normal = normalize_tags(tags)
    bound_to = _organization_ids(session, organizations)
    worker_id = session.execute(
        REGISTER,
        {
            "id": uuid.uuid4(),
            "name": name,
            "tags": json.dumps(normal),
            "queues": served_queues(normal),
            "organizations": bound_to,
            "provisioners": [p.value for p in provisioners],
            "concurrency": concurrency,
            "version": version,
            "hostname": hostname,
        },
    ).scalar_one()
    return uuid.UUID(str(worker_id))


def _organization_ids(session: Session, names: Sequence[str]) -> list[uuid.UUID]:
    rows = session.execute(
        sql("SELECT lower(name) AS name, id FROM organizations WHERE lower(name) = ANY(:names)"),
        {"names": [name.lower() for name in names]},
    )
    ids: dict[str, uuid.UUID] = {row.name: row.id for row in rows}
    for name in names:
        if name.lower() not in ids:
            raise NotFoundError(f"there is no organization {name!r}")
    return list(ids.values())


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


def is_drained(session: Session, *, worker_id: uuid.UUID) -> bool:
    """Return whether somebody has drained the worker from afar."""
    found = session.scalars(
        sql("SELECT drain_requested_at IS NOT NULL FROM provisioner_daemons WHERE id = :id"),
        {"id": worker_id},
    )
    return bool(found.one_or_none())


def sign_off_worker(session: Session, *, worker_id: uuid.UUID) -> None:
    """Record a clean shutdown, so that the worker counts as offline at once."""
    session.execute(
        sql("UPDATE provisioner_daemons SET stopped_at = now() WHERE id = :id"), {"id": worker_id}
    )
