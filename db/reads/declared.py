"""What a template version declares, as the HTTP API shows it."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import Field
from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.contract import ContractModel
from db.reads.shapes import NameValue

REDACTED = "*redacted*"


class ParameterOption(ContractModel):
    """A value that a parameter may have."""

    name: str
    description: str
    value: str
    icon: str


class TemplateVersionParameter(ContractModel):
    """A parameter of a template version."""

    name: str
    display_name: str
    description: str
    description_plaintext: str
    type: str
    form_type: str
    mutable: bool
    default_value: str
    icon: str
    options: list[ParameterOption]
    validation_error: str | None = None
    validation_regex: str | None = None
    validation_min: int | None = None
    validation_max: int | None = None
    validation_monotonic: str | None = None
    required: bool = Field(description="it has no default")
    ephemeral: bool


class TemplateVersionVariable(ContractModel):
    """A variable of a template version, without the values of sensitive ones."""

    name: str
    description: str
    type: str
    value: str
    default_value: str
    required: bool
    sensitive: bool


class Preset(ContractModel):
    """A named set of values. Coder writes these names with capitals."""

    ID: uuid.UUID
    Name: str
    Parameters: list[dict[str, str]]
    Default: bool
    DesiredPrebuildInstances: int | None = None
    Description: str
    Icon: str


_PARAMETERS = sql("""
    SELECT name, display_name, description, type, form_type, mutable, default_value, icon, options,
           validation_error, validation_regex, validation_min, validation_max,
           validation_monotonic, required, ephemeral
    FROM template_version_parameters
    WHERE template_version_id = :id
    ORDER BY display_order, name
""")
_VARIABLES = sql("""
    SELECT name, description, type, coalesce(value, '') AS value, default_value, required, sensitive
    FROM template_version_variables
    WHERE template_version_id = :id
    ORDER BY position, name
""")


def find_parameters(session: Session, version_id: uuid.UUID) -> list[TemplateVersionParameter]:
    """Return the parameters of a version in the order of its form."""
    return [_parameter(row) for row in session.execute(_PARAMETERS, {"id": version_id})]


def find_variables(session: Session, version_id: uuid.UUID) -> list[TemplateVersionVariable]:
    """Return the variables of a version; values of sensitive ones are left out."""
    return [_variable(row) for row in session.execute(_VARIABLES, {"id": version_id})]


def find_presets(session: Session, version_id: uuid.UUID) -> list[Preset]:
    """Return the presets of a version by name."""
    rows = session.execute(
        sql("""
            SELECT preset.id, preset.name, preset.is_default, preset.description, preset.icon,
                   preset.desired_instances,
                   (SELECT coalesce(json_agg(json_build_object('Name', chosen.name,
                                                               'Value', chosen.value)
                                             ORDER BY chosen.name), '[]')
                    FROM template_version_preset_parameters AS chosen
                    WHERE chosen.template_version_preset_id = preset.id) AS parameters
            FROM template_version_presets AS preset
            WHERE preset.template_version_id = :id
            ORDER BY preset.name
        """),
        {"id": version_id},
    )
    return [
        Preset(
            ID=row.id,
            Name=row.name,
            Parameters=row.parameters,
            Default=row.is_default,
            DesiredPrebuildInstances=row.desired_instances or None,
            Description=row.description,
            Icon=row.icon,
        )
        for row in rows
    ]


def values_of(values: dict[str, str]) -> list[NameValue]:
    """Return values by name as a list."""
    return [NameValue(name=name, value=value) for name, value in values.items()]


def _parameter(row: Row[Any]) -> TemplateVersionParameter:
    fields: dict[str, Any] = row._asdict()
    for name in ("validation_error", "validation_regex", "validation_monotonic"):
        fields[name] = fields[name] or None
    fields["options"] = [
        {"name": "", "description": "", "value": "", "icon": "", **option} for option in row.options
    ]
    return TemplateVersionParameter(description_plaintext=row.description, **fields)


def _variable(row: Row[Any]) -> TemplateVersionVariable:
    fields: dict[str, Any] = row._asdict()
    if row.sensitive:
        fields["value"] = fields["default_value"] = REDACTED
    return TemplateVersionVariable(**fields)
