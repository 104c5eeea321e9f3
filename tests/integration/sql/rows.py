"""Declared parameters as rows, as the functions in PostgreSQL get them."""

from __future__ import annotations

from db.jobs.declarations import TemplateParameter


def row_of(parameter: TemplateParameter) -> dict[str, object]:
    """Return the row of a parameter."""
    return {
        **vars(parameter),
        "default_value": parameter.default or "",
        "options": [{"value": option.value} for option in parameter.options],
    }
