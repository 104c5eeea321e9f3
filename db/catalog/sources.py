"""What a new build is made from, as the functions in PostgreSQL give it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from db.engine import sql
from db.errors import NotFoundError, SealedError
from db.schema.enums import Transition
from db.schema.place import schema_of_functions
from db.sealing.places import Place, parameter_of, variable_of
from db.sealing.values import open_texts, seal_text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Source = dict[str, Any]
"""What ``build_source`` returns: the build before, the version and what it declares."""
Request = Mapping[str, Any]
"""What a caller asks for, as JSON: ``enqueue_build``'s arguments by name."""


@dataclass(frozen=True, kw_only=True)
class PlannedWorkspace:
    """A workspace for a dry run; it need not exist."""

    id: uuid.UUID | None
    owner_id: uuid.UUID
    organization_id: uuid.UUID
    template_id: uuid.UUID
    name: str


def call(session: Session, function: str, *arguments: object) -> Any:
    """Return the result of one of our functions in PostgreSQL; mappings are passed as JSON.

    Within ``refusing``.
    """
    named = {f"a{position}": _passed(value) for position, value in enumerate(arguments)}
    casts = ", ".join(_placeholder(f"a{at}", value) for at, value in enumerate(arguments))
    statement = sql(f"SELECT {schema_of_functions()}.{function}({casts})")
    return session.execute(statement, named).scalar_one()


def _passed(value: object) -> object:
    return json.dumps(value, default=str) if isinstance(value, Mapping) else value


def _placeholder(name: str, value: object) -> str:
    return f"CAST(:{name} AS jsonb)" if isinstance(value, Mapping) else f":{name}"


def open_source(
    session: Session, source: Source, *, owner: uuid.UUID, transition: Transition
) -> Source:
    """Return the source with the values opened that are sealed.

    Without their key, a stop and a delete take them as they are stored.

    Args:
        owner: the workspace that the values belong to, or its owner if there is none yet.

    Raises:
        SealedError: a value that a start needs is sealed, and does not open.
    """
    values = _opened(session, source["previous_values"], partial(parameter_of, owner), transition)
    variables = source["variables"] if source["tag_expressions"] else {}
    place_of = partial(variable_of, uuid.UUID(source["version_id"]))
    return {
        **source,
        "previous_values": values,
        "variables": _opened(session, variables, place_of, transition),
    }


def _opened(
    session: Session,
    stored: Mapping[str, str],
    place_of: Callable[[str], Place],
    transition: Transition,
) -> Mapping[str, str]:
    try:
        return open_texts(session, stored, place_of)
    except SealedError:
        if transition is Transition.START:
            raise
        return stored


def sealed_values(
    session: Session,
    source: Source,
    values: Mapping[str, str],
    place_of: Callable[[str], Place],
    *,
    row: uuid.UUID,
) -> dict[str, str]:
    """Return what to store for the values of a build: the secrets among them are sealed.

    Args:
        place_of: returns the place of the value of that name.
        row: the build or the job that gets them.
    """
    secret = {found["name"] for found in source["declared"] or () if found["sensitive"]}
    return {
        name: seal_text(session, value, place_of(name), row=row) if name in secret else value
        for name, value in values.items()
    }


def lock_workspace(session: Session, workspace_id: uuid.UUID) -> Row[Any]:
    """Return the workspace's row, locked until the end of the transaction.

    Raises:
        NotFoundError: there is no such workspace, or it was deleted.
    """
    workspace = session.execute(
        sql("""
            SELECT id, owner_id, organization_id, template_id, name, deleted
            FROM workspaces
            WHERE id = :id
            FOR UPDATE
        """),
        {"id": workspace_id},
    ).one_or_none()
    if workspace is None:
        raise NotFoundError(f"there is no workspace {workspace_id}")
    if workspace.deleted:
        raise NotFoundError(f"workspace {workspace.name!r} was deleted")
    return workspace
