"""The parameters of a version as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.jobs.declarations import ParameterOption, TemplateParameter

# An expression for a statement that has a `version`. A version without an import has no
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


def parameters_of(rows: Sequence[Mapping[str, Any]] | None) -> list[TemplateParameter] | None:
    """Return the result of ``PARAMETERS`` typed; None for a version without an import."""
    return None if rows is None else [_parameter(row) for row in rows]


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
