"""The JSON answers of tools. Refusals and failures are answers too, marked by their keys."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import structlog

from chattool.context import OwnerContext
from chattool.errors import AuthorizationError, WorkspaceBuildError
from chattool.figures import look_up_figures
from db.errors import ParameterValidationError, RequestError
from db.outage import is_outage
from db.reads.contract import WorkspaceResource
from db.schema.enums import job_is_insufficient_quota_error_code
from provisioner.engines.port import EngineError
from provisioner.host.members import ArchiveError

log = structlog.get_logger("chattool")

Answer = dict[str, Any]
Params = ParamSpec("Params")

QUOTA_TITLE = "Workspace quota reached"
NEXT_STEPS = (
    "Delete a workspace you no longer need to free quota.",
    "Ask an administrator to raise your group quota allowance.",
)
REFUSALS = (RequestError, AuthorizationError, ArchiveError, EngineError)
"""Errors whose message is one sentence for the caller."""


def answered(tool: Callable[Params, Answer]) -> Callable[Params, Answer]:
    """Return errors that concern the caller as JSON answers; a bug is still raised."""

    @functools.wraps(tool)
    def call(*args: Params.args, **kwargs: Params.kwargs) -> Answer:
        try:
            return tool(*args, **kwargs)
        except ParameterValidationError as error:
            return refused_values(error)
        except REFUSALS as error:
            return {"error": str(error)}
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("tool.outage", tool=tool.__name__, error=str(error))
            return {"error": "the database is busy or away; call this tool again in a moment"}

    return call


def build_failure(
    context: OwnerContext,
    error: WorkspaceBuildError,
    *,
    prefix: str,
    action: str,
    build_id: uuid.UUID,
) -> Answer:
    """Return the answer for a build that did not succeed.

    Args:
        prefix: names the build; put before the error's text.
        action: the action that failed, such as "created".
    """
    failure = WorkspaceBuildError(f"{prefix}{error.message}", error.code)
    if job_is_insufficient_quota_error_code(failure.code):
        return _quota_refusal(context, failure, action=action, build_id=build_id)
    return {"error": failure.message, "build_id": str(build_id)}


def refused_values(error: ParameterValidationError) -> Answer:
    """Return the answer for values of parameters that were refused; nothing was enqueued."""
    return {
        "error": error.message,
        "detail": error.validations[0].detail,
        "validations": [
            {"field": found.field, "detail": found.detail} for found in error.validations
        ],
    }


def describe_resources(resources: Sequence[WorkspaceResource]) -> list[Answer]:
    """Return resources without values that are marked sensitive."""
    return [_describe(resource) for resource in resources]


def _quota_refusal(
    context: OwnerContext, error: WorkspaceBuildError, *, action: str, build_id: uuid.UUID
) -> Answer:
    answer: Answer = {
        "error_code": str(error.code),
        "error": error.message,
        "title": QUOTA_TITLE,
        # The message repeats the steps: some agents pass on only the message.
        "message": " ".join(
            (
                f"The workspace could not be {action} because your workspace quota is full.",
                *NEXT_STEPS,
            )
        ),
        "next_steps": list(NEXT_STEPS),
        "build_id": str(build_id),
    }
    figures = look_up_figures(context, build_id)
    return answer if figures is None else {**answer, "quota": figures.model_dump(mode="json")}


def _describe(resource: WorkspaceResource) -> Answer:
    shown = {item.key: item.value for item in resource.metadata or () if not item.sensitive}
    facts: Answer = {
        "type": resource.type,
        "name": resource.name,
        "daily_cost": resource.daily_cost,
    }
    return {**facts, "metadata": shown} if shown else facts
