"""Whether a build has every value that its template asks for, and how Terraform gets them.

The two sentinels that the failure classifier knows are written here and nowhere else:
``missing parameter`` and ``required template variables``.

All values are strings, as with ``terraform apply -var``; Terraform converts them to the declared
type. A template's *variables* are given by its author's organization and stored with the
template, its *parameters* are chosen by the user of one workspace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.engines.port import Template


class MissingParameterError(Exception):
    """Parameters without a default have no value.

    Attributes:
        names: the parameters, in the template's order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        listed = ", ".join(f'"{name}"' for name in self.names)
        options = " ".join(f"--param {name}=VALUE" for name in self.names)
        one = len(self.names) == 1
        super().__init__(
            f"missing parameter: {listed} {'has' if one else 'have'} no value and no default; "
            f"choose {'one' if one else 'them'} with {options}"
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
        listed = ", ".join(f'"{name}"' for name in self.names)
        choice = ", ".join(f'"{name}"' for name in known)
        has = f"it has {choice}" if choice else "it has none"
        noun = "parameter" if len(self.names) == 1 else "parameters"
        super().__init__(f"the template has no {noun} {listed}; {has}")


def check_known(template: Template, parameter_values: Mapping[str, str]) -> None:
    """Refuse values for parameters that the template does not declare.

    The name of a plain variable counts as known: see ``values_for``.

    Raises:
        UnknownParameterError: names the unknown ones and those that could be meant.
    """
    known = dict.fromkeys(
        [
            *(parameter.name for parameter in template.parameters),
            *(variable.name for variable in template.variables),
        ]
    )
    unknown = [name for name in parameter_values if name not in known]
    if unknown:
        raise UnknownParameterError(unknown, known)


def check_parameters(template: Template, values: Mapping[str, str]) -> None:
    """Check that every required parameter has a value; an empty string is one.

    Raises:
        MissingParameterError: its message contains ``missing parameter``.
    """
    missing = [
        parameter.name
        for parameter in template.parameters
        if parameter.required and parameter.name not in values
    ]
    if missing:
        raise MissingParameterError(missing)


def check_variables(template: Template, values: Mapping[str, str]) -> None:
    """Check that every required template variable has a value; an empty string is one.

    Args:
        template: what is declared.
        values: as ``values_for`` gives them, so that a variable set by a parameter counts.

    Raises:
        RequiredVariablesError: its message contains ``required template variables``.
    """
    missing = [
        variable.name
        for variable in template.variables
        if variable.required and variable.name not in values
    ]
    if missing:
        raise RequiredVariablesError(missing)


def values_for(
    template: Template,
    variable_values: Mapping[str, str],
    parameter_values: Mapping[str, str],
) -> dict[str, str]:
    """Return the values of Terraform variables for one build.

    A declared variable has its stored value; without one, the value of a parameter of the same
    name (so ``--param size=2`` serves ``variable "size" {}``). What is stored stands above what
    a workspace's user chooses. A declared parameter gives ``parameter_<name>``. Stored values of
    variables that the template no longer declares are left out.
    """
    declared = {variable.name for variable in template.variables}
    given = {**parameter_values, **variable_values}
    values = {name: value for name, value in given.items() if name in declared}
    for parameter in template.parameters:
        if parameter.name in parameter_values:
            values[f"parameter_{parameter.name}"] = parameter_values[parameter.name]
    return values
