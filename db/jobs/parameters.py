"""The parameters and presets of a version as they are stored."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.jobs.declarations import ParameterOption, TemplateParameter

# Both are expressions for a statement that has a `version`. A version without an import has no
# stored declarations: the expression is NULL.
PARAMETERS = """
    CASE WHEN EXISTS (
        SELECT FROM template_version_terraform_values AS imported
        WHERE imported.template_version_id = version.id
    ) THEN (
        SELECT coalesce(json_agg(declared ORDER BY declared.display_order, declared.name), '[]')
        FROM template_version_parameters AS declared
        WHERE declared.template_version_id = version.id
    ) END
"""
PRESETS = """
    (SELECT coalesce(json_agg(json_build_object(
                'id', preset.id,
                'name', preset.name,
                'values', (
                    SELECT coalesce(json_object_agg(chosen.name, chosen.value), '{}')
                    FROM template_version_preset_parameters AS chosen
                    WHERE chosen.template_version_preset_id = preset.id))
            ORDER BY preset.name), '[]')
     FROM template_version_presets AS preset
     WHERE preset.template_version_id = version.id)
"""


@dataclass(frozen=True, kw_only=True)
class StoredPreset:
    """A preset of a version."""

    id: uuid.UUID
    name: str
    values: Mapping[str, str]


def parameters_of(rows: Sequence[Mapping[str, Any]] | None) -> list[TemplateParameter] | None:
    """Return the result of ``PARAMETERS`` typed; None for a version without an import."""
    return None if rows is None else [_parameter(row) for row in rows]


def presets_of(rows: Iterable[Mapping[str, Any]]) -> list[StoredPreset]:
    """Return the result of ``PRESETS`` typed."""
    return [
        StoredPreset(id=uuid.UUID(row["id"]), name=row["name"], values=row["values"])
        for row in rows
    ]


def _parameter(row: Mapping[str, Any]) -> TemplateParameter:
    return TemplateParameter(
        name=row["name"],
        required=row["required"],
        description=row["description"],
        default=None if row["required"] else row["default_value"],
        display_name=row["display_name"],
        type=row["type"],
        form_type=row["form_type"],
        mutable=row["mutable"],
        icon=row["icon"],
        options=tuple(_option(option) for option in row["options"] or ()),
        validation_regex=row["validation_regex"],
        validation_error=row["validation_error"],
        validation_min=row["validation_min"],
        validation_max=row["validation_max"],
        validation_monotonic=row["validation_monotonic"],
        order=row["display_order"],
        ephemeral=row["ephemeral"],
        sensitive=row["sensitive"],
        variable_type=row["variable_type"],
    )


def _option(option: Mapping[str, str]) -> ParameterOption:
    # Empty texts are not stored.
    return ParameterOption(**{"name": "", "value": "", **option})
