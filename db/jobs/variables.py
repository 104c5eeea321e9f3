"""The variables of a template version: they are stored with sealed values, and opened."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.rows import as_stored, insert_rows
from db.schema.tables import TemplateVersionVariable
from db.sealing.places import variable_of
from db.sealing.values import open_text, seal_text
from db.texts import storable


@dataclass(frozen=True, kw_only=True)
class VariableValue:
    """A variable that a template version declares, and its value, if it has one."""

    name: str
    value: str | None
    type: str = "string"
    description: str = ""
    default_value: str = ""  #: as text; JSON unless it is a string
    required: bool = True
    sensitive: bool = False
    ephemeral: bool = False


def replace_variables(
    session: Session, version_id: uuid.UUID, variables: Sequence[VariableValue]
) -> None:
    """Store the variables of a version in place of those that its push gave."""
    session.execute(
        sql("DELETE FROM template_version_variables WHERE template_version_id = :id"),
        {"id": version_id},
    )
    insert_rows(
        session,
        TemplateVersionVariable,
        [
            {
                "template_version_id": version_id,
                "position": position,
                **as_stored(asdict(_sealed(session, version_id, variable))),
            }
            for position, variable in enumerate(variables)
        ],
    )


def _sealed(session: Session, version_id: uuid.UUID, variable: VariableValue) -> VariableValue:
    if variable.value is None or not variable.sensitive:
        return variable
    place = variable_of(version_id, storable(variable.name))
    value = seal_text(session, storable(variable.value), place, row=version_id)
    return replace(variable, value=value)


def open_variables(
    session: Session, version_id: uuid.UUID, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the rows of a version's variables with the values that were sealed.

    Raises:
        SealedError: one does not open.
    """
    return [_opened(session, version_id, row) for row in rows]


def _opened(session: Session, version_id: uuid.UUID, row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["value"] is None:
        return row
    return {**row, "value": open_text(session, row["value"], variable_of(version_id, row["name"]))}
