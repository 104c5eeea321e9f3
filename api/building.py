"""Enqueueing builds for a caller: the rules are those of every other door."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.answers import Validation
from api.errors import ApiError, refused
from api.gate import Visit
from api.models.requests import BuildValues, CreateBuild, GivenValue
from db.catalog.builds import EnqueuedBuild
from db.catalog.templates import get_version as find_version
from db.catalog.templates import get_version_to_update_to
from db.errors import (
    ActiveVersionRequiredError,
    InvalidError,
    NotFoundError,
    ParameterValidationError,
)
from db.reads.contract import WorkspaceBuild
from db.reads.daemons import find_matched
from db.reads.parameters import check_ephemeral
from db.reads.shapes import TemplateVersion
from db.reads.versions import get_version
from db.schema.enums import BuildReason, JobStatus, Transition
from worker.enqueue import enqueue_build

NOT_IMPORTED = "The provided template version is {}. Wait for it to complete importing!"
NOT_USABLE = (
    'The provided template version "{}" has failed to import: "{}".'
    " You cannot build workspaces with it!"
)


def enqueue(
    visit: Visit,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    template_version_id: uuid.UUID | None,
    values: BuildValues,
    reason: BuildReason = BuildReason.INITIATOR,
) -> EnqueuedBuild:
    """Enqueue a build, with the caller as its initiator.

    Raises:
        ApiError: a value is not allowed.
        BuildActiveError: the workspace has an unfinished build.
        ConflictError: the template version cannot be built from.
    """
    ephemeral = _named(values.ephemeral_parameter_values)
    with refusals():
        build = enqueue_build(
            visit.session,
            workspace_id=workspace_id,
            transition=transition,
            initiator_id=visit.caller.user_id,
            template_version_id=template_version_id,
            parameters={**_named(values.rich_parameter_values), **ephemeral},
            preset=values.template_version_preset_id or values.preset or None,
            reason=reason,
            redis_url=visit.site.redis_url,
        )
        check_ephemeral(visit.session, build.build_id, ephemeral)
        return build


def _named(given: Sequence[GivenValue]) -> dict[str, str]:
    return {one.name: one.value for one in given}


def with_matched(visit: Visit, build: WorkspaceBuild) -> WorkspaceBuild:
    """Add how many workers can run a build that waits: clients warn if there is none."""
    if build.job.status is not JobStatus.PENDING:
        return build
    matched = find_matched(visit.session, build.job.id)
    return build.model_copy(update={"matched_provisioners": matched})


@contextmanager
def refusals() -> Iterator[None]:
    """Answer values that are not allowed with the reason for each.

    Raises:
        ApiError: a value is not allowed, or the template requires its active version.
    """
    try:
        yield
    except ParameterValidationError as error:
        raise _refusal(error) from error
    except InvalidError as error:
        raise refused("Validation failed.", str(error)) from error
    except ActiveVersionRequiredError as error:
        # With this status `coder start` tries again with the active version.
        raise ApiError(403, str(error)) from error


def chosen_version(visit: Visit, template_id: uuid.UUID, body: CreateBuild) -> uuid.UUID | None:
    """Return the version that is asked for; None means that of the workspace's builds.

    Raises:
        ApiError: it cannot be built from.
        NotFoundError: the template has no version of that name.
    """
    if body.update:
        return get_version_to_update_to(visit.session, template_id)
    if body.template_version_name:
        return find_version(visit.session, template_id=template_id, name=body.template_version_name)
    if body.template_version_id is None:
        return None
    try:
        return usable_version(visit, body.template_version_id, template_id=template_id).id
    except NotFoundError as error:
        raise refused("template version does not exist") from error


def usable_version(
    visit: Visit, version_id: uuid.UUID, *, template_id: uuid.UUID
) -> TemplateVersion:
    """Return a version of the template that can be built from.

    Raises:
        ApiError: it cannot, in the words and with the status of Coder.
    """
    version = get_version(visit.session, version_id)
    if version.template_id != template_id:
        raise refused("template version doesn't match template")
    status = version.job.status
    if status in {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.CANCELING}:
        raise ApiError(406, NOT_IMPORTED.format(status))
    if status is not JobStatus.SUCCEEDED:
        raise refused(NOT_USABLE.format(version.name, version.job.error or ""))
    return version


def _refusal(error: ParameterValidationError) -> ApiError:
    details = "; ".join(found.detail for found in error.validations)
    validations = [
        Validation(field=found.field, detail=found.detail, is_missing=found.is_missing or None)
        for found in error.validations
    ]
    return ApiError(400, error.message, details, validations)
