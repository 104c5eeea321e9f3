"""The arguments of Terraform's commands, and the file of variables that they name."""

from __future__ import annotations

from db.schema.enums import Transition
from provisioner.engines.port import BuildContext, EngineError
from provisioner.engines.terraform import files as workdir
from provisioner.host.process import reason_of

QUIET = ("-no-color", "-input=false")


def plan_arguments(context: BuildContext) -> list[str]:
    """Return the arguments of the plan, after writing the file of variables that they name.

    Raises:
        EngineError: the file cannot be written.
    """
    arguments = ["plan", *QUIET, "-json", "-refresh=true", f"-out={workdir.PLAN_FILE}"]
    is_delete = context.transition is Transition.DELETE
    if context.variables or is_delete:
        _write_variables(context, is_delete=is_delete)
        arguments.append(f"-var-file={workdir.VARIABLES_FILE}")
    return [*arguments, "-destroy"] if is_delete else arguments


def apply_arguments(context: BuildContext) -> list[str]:
    """Return the arguments of the apply of the plan in the same directory."""
    arguments = ["apply", "-no-color", "-auto-approve", "-input=false", "-json"]
    if (context.directory / workdir.EPHEMERAL_FILE).exists():
        arguments.append(f"-var-file={workdir.EPHEMERAL_FILE}")
    return [*arguments, workdir.PLAN_FILE]


def _write_variables(context: BuildContext, *, is_delete: bool) -> None:
    try:
        workdir.write_variables(
            context.directory, context.template, context.variables, is_delete=is_delete
        )
    except OSError as error:
        raise unwritable("plan", error) from error


def unwritable(command: str, error: OSError) -> EngineError:
    """Return the error of a command that could not write into the work directory."""
    reason = reason_of(error)
    return EngineError(f"terraform {command}: cannot write into the work directory: {reason}")
