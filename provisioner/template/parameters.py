"""Check that a build has every value that its template requires, and map them to Terraform.

The two sentinels that the failure classifier knows are written only here: ``missing parameter``
and ``required template variables``.

All values are texts; those of lists, maps and objects are JSON. The organization of the template's
author sets its *variables*, and they are stored with the template. The user of a workspace chooses
its *parameters*, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from db.jobs.declarations import (
    PARAMETER_PREFIX,
    Template,
    TemplateParameter,
    TemplateVariable,
)


class MissingParameterError(Exception):
    """Parameters without a default have no value.

    Attributes:
        names: the parameters, in the template's order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        options = " ".join(f"--param {name}=VALUE" for name in self.names)
        have, them = ("has", "one") if len(self.names) == 1 else ("have", "them")
        super().__init__(
            f"missing parameter: {_quoted(self.names)} {have} no value and no default; "
            f"choose {them} with {options}"
        )


class RequiredVariablesError(Exception):
    """Template variables without a default have no value.

    Attributes:
        names: the variables, in the template's order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            f"required template variables need values: {', '.join(self.names)}; "
            "give them with --variable NAME=VALUE when the template is pushed"
        )


class UnknownParameterError(Exception):
    """Values were chosen for parameters that the template does not have.

    Attributes:
        names: the unknown parameters.
    """

    def __init__(self, names: Iterable[str], known: Iterable[str]) -> None:
        self.names = tuple(names)
        choice = _quoted(known) or "none"
        noun = "parameter" if len(self.names) == 1 else "parameters"
        super().__init__(f"the template has no {noun} {_quoted(self.names)}; it has {choice}")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def check_known(template: Template, parameter_values: Mapping[str, str]) -> None:
    """Refuse values for parameters that the template does not declare.

    Raises:
        UnknownParameterError: it names the unknown parameters and those that exist.
    """
    known = dict.fromkeys(parameter.name for parameter in template.parameters)
    unknown = [name for name in parameter_values if name not in known]
    if unknown:
        raise UnknownParameterError(unknown, known)


def check_parameters(template: Template, values: Mapping[str, str]) -> None:
    """Check that every required parameter has a value; an empty string is one.

    Raises:
        MissingParameterError: its message contains ``missing parameter``.
    """
    if missing := _missing(template.parameters, values):
        raise MissingParameterError(missing)


def check_variables(template: Template, values: Mapping[str, str]) -> None:
    """Check that every required template variable has a value; an empty string is one.

    Args:
        template: the declarations.
        values: the result of ``values_for``.

    Raises:
        RequiredVariablesError: its message contains ``required template variables``.
    """
    if missing := _missing(template.variables, values):
        raise RequiredVariablesError(missing)


def _missing(
    declared: Iterable[TemplateParameter | TemplateVariable], values: Mapping[str, str]
) -> list[str]:
    return [found.name for found in declared if found.required and found.name not in values]


def values_for(
    template: Template,
    variable_values: Mapping[str, str],
    parameter_values: Mapping[str, str],
) -> dict[str, str]:
    """Return the values of Terraform variables for one build.

    A declared variable has its stored value. A parameter that a variable declares sets that
    variable, ``parameter_<name>``; one that has its default is left to Terraform, which knows
    whether the default is null. Stored values of variables that the template no longer declares
    are left out.
    """
    declared = {variable.name for variable in template.variables}
    return {
        **{name: value for name, value in variable_values.items() if name in declared},
        **{
            f"{PARAMETER_PREFIX}{parameter.name}": parameter_values[parameter.name]
            for parameter in template.parameters
            if _sets_variable(parameter, parameter_values.get(parameter.name))
        },
    }


def _sets_variable(parameter: TemplateParameter, value: str | None) -> bool:
    if parameter.variable_type is None or value is None:
        return False
    return parameter.required or value != (parameter.default or "")
