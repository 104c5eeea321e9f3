"""The parameters and presets of template versions, and the values of builds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.jobs.declarations import TemplateParameter
from db.jobs.parameters import PARAMETERS, PRESETS, StoredPreset, parameters_of, presets_of

# Uses: pk_template_version_terraform_values, pk_template_version_parameters.
_PARAMETERS = text(f"""
    SELECT {PARAMETERS}
    FROM (SELECT CAST(:id AS uuid) AS id) AS version
""")  # noqa: S608 - made of constants

# Uses: uq_template_version_presets_template_version_id_name.
_PRESETS = text(f"""
    SELECT {PRESETS}
    FROM (SELECT CAST(:id AS uuid) AS id) AS version
""")  # noqa: S608 - made of constants

# Uses: pk_workspace_build_parameters.
_VALUES = text("""
    SELECT name, value
    FROM workspace_build_parameters
    WHERE workspace_build_id = :build_id
    ORDER BY name
""")


@dataclass(frozen=True, kw_only=True)
class ParameterValue:
    """The value of a parameter in a build."""

    name: str
    value: str


def is_imported(session: Session, template_version_id: uuid.UUID) -> bool:
    """Return whether a version's declarations are stored, because a worker has imported it."""
    rows = session.execute(_PARAMETERS, {"id": template_version_id}).scalar_one()
    return rows is not None


def list_parameters(session: Session, template_version_id: uuid.UUID) -> list[TemplateParameter]:
    """Return the parameters of a version in the order of its form; none without an import."""
    rows = session.execute(_PARAMETERS, {"id": template_version_id}).scalar_one()
    return parameters_of(rows) or []


def list_presets(session: Session, template_version_id: uuid.UUID) -> list[StoredPreset]:
    """Return the presets of a version, by name."""
    return presets_of(session.execute(_PRESETS, {"id": template_version_id}).scalar_one())


def list_values(session: Session, build_id: uuid.UUID) -> list[ParameterValue]:
    """Return the values of a build's parameters, by name."""
    rows = session.execute(_VALUES, {"build_id": build_id})
    return [ParameterValue(name=row.name, value=row.value) for row in rows]
