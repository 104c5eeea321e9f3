"""Check that a build has every value that its template requires, and map them to Terraform.

The two sentinels that the failure classifier knows are written only here: ``missing parameter``
and ``required template variables``.

All values are strings, as with ``terraform apply -var``; Terraform converts them to the declared
type. The organization of the template's author sets its *variables*, and they are stored with the
template. The user of a workspace chooses its *parameters*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from db.jobs.declarations import Template, TemplateParameter, TemplateVariable


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

    The name of a plain variable counts as known: see ``values_for``.

    Raises:
        UnknownParameterError: it names the unknown parameters and those that exist.
    """
    parameters = dict.fromkeys(parameter.name for parameter in template.parameters)
    known = parameters | dict.fromkeys(variable.name for variable in template.variables)
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
        values: the result of ``values_for``, so that a variable set by a parameter counts.

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

    A declared variable gets its stored value. Without one, it gets the value of a parameter of
    the same name, so ``--param size=2`` sets ``variable "size" {}``. A stored value takes
    precedence over a value that the workspace's user chose. A declared parameter sets
    ``parameter_<name>``. Stored values of variables that the template no longer declares are left
    out.
    """
    declared = {variable.name for variable in template.variables}
    given = {**parameter_values, **variable_values}
    return {
        **{name: value for name, value in given.items() if name in declared},
        **_values_of_parameters(template, parameter_values),
    }


def _values_of_parameters(
    template: Template, parameter_values: Mapping[str, str]
) -> dict[str, str]:
    return {
        f"parameter_{parameter.name}": parameter_values[parameter.name]
        for parameter in template.parameters
        if parameter.name in parameter_values
    }
