"""The values of a template's variables at its import, and placeholders for a user's values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from db.jobs.declarations import PARAMETER_PREFIX, Template, TemplateVariable
from db.jobs.variables import VariableValue
from provisioner.template.literals import as_stored

PLACEHOLDERS: Mapping[str, str] = {
    "string": "",
    "number": "0",
    "bool": "false",
    "list": "[]",
    "set": "[]",
    "tuple": "[]",
    "map": "{}",
    "object": "{}",
}
"""The value of a required parameter at an import, by the first word of its variable's type."""


class UnknownVariableError(Exception):
    """Values were given for variables that the template does not declare."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"the template declares no variable {name!r}; it declares {', '.join(known) or 'none'}"
        )


def fill_variables(
    variables: Iterable[TemplateVariable], given: Mapping[str, str], inherited: Mapping[str, str]
) -> list[VariableValue]:
    """Return the variables of a version with their values, in the order of the template.

    Args:
        given: values that were given with the push.
        inherited: values of the version before, for variables without a given one.

    Raises:
        UnknownVariableError: a value was given for a variable that is not declared.
        TemplateError: a value can never be right.
    """
    declared = {variable.name: variable for variable in variables}
    if unknown := sorted(given.keys() - declared.keys()):
        raise UnknownVariableError(unknown[0], declared)
    values = as_stored(declared.values(), {**inherited, **given})
    return [_filled(variable, values.get(name)) for name, variable in declared.items()]


def placeholders_for(template: Template) -> dict[str, str]:
    """Return a value for each variable that declares a required parameter.

    Terraform plans nothing without a value, and only the user of a workspace knows the real one.
    """
    return {
        f"{PARAMETER_PREFIX}{parameter.name}": PLACEHOLDERS.get(
            parameter.variable_type.partition("(")[0], ""
        )
        for parameter in template.parameters
        if parameter.required and parameter.variable_type is not None
    }


def _placeholder(kind: str) -> str:
    return PLACEHOLDERS.get(kind.partition("(")[0].strip(), "")


def _filled(variable: TemplateVariable, value: str | None) -> VariableValue:
    return VariableValue(
        name=variable.name,
        value=value,
        type=variable.type,
        description=variable.description,
        default_value=_as_text(variable.default),
        required=variable.required,
        sensitive=variable.sensitive,
        ephemeral=variable.ephemeral,
    )


def _as_text(default: object | None) -> str:
    if default is None:
        return ""
    return default if isinstance(default, str) else json.dumps(default)
