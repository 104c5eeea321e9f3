"""The tool that starts a chat's workspace."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial

from chattool.answers import Answer, answered, build_failure, describe_resources, refused_values
from chattool.binding import read_binding, wait_for_active_build
from chattool.context import ToolContext
from chattool.errors import WorkspaceBuildError
from chattool.parameters import ChosenValues, choose_values
from db.catalog.chats import note_build
from db.errors import BuildActiveError, NotFoundError, ParameterValidationError
from db.reads.builds import get_build
from db.reads.chats import BoundWorkspace
from db.schema.enums import Transition


@answered
def start_workspace(
    context: ToolContext,
    *,
    parameters: Mapping[str, str] | None = None,
    preset_id: str | None = None,
    preset: str | None = None,
) -> Answer:
    """Start the chat's workspace and wait for the build.

    No build is enqueued if the workspace already runs or is being started.

    Args:
        parameters: values to change; the others keep their values from the last build.
        preset_id: the id of a preset of the template, whose values take precedence.
        preset: the name of a preset, in place of its id.

    Returns:
        ``started``; ``error`` marks a failure, and ``error_code`` marks a refusal by quota (see
        ``docs/chat-tools.md``).
    """
    values = choose_values(parameters, preset_id=preset_id, preset=preset)
    while True:
        bound = _usable(read_binding(context))
        if bound.is_running:
            return _running(context, bound)
        if bound.status.is_active:
            if failure := wait_for_active_build(
                context, bound, prefix="waiting for in-progress build: "
            ):
                return failure
        else:
            try:
                build_id = context.after_import(partial(_start, context, bound, values))
            except ParameterValidationError as error:
                return {**refused_values(error), "template_id": str(bound.template_id)}
            if build_id:
                return _started(context, bound, build_id)


def _usable(bound: BoundWorkspace | None) -> BoundWorkspace:
    if bound is None:
        raise NotFoundError("chat has no workspace; use create_workspace first")
    if bound.deleted:
        raise NotFoundError("workspace was deleted; use create_workspace to make a new one")
    return bound


def _running(context: ToolContext, bound: BoundWorkspace) -> Answer:
    with context.database.begin() as session:
        build = get_build(session, bound.build_id)
    return {
        "started": True,
        "workspace_name": bound.name,
        "no_build": True,
        "resources": describe_resources(build.resources),
    }


def _start(context: ToolContext, bound: BoundWorkspace, values: ChosenValues) -> uuid.UUID | None:
    """Enqueue the build and return its ID; None if another call was faster."""
    try:
        with context.database.begin() as session:
            owner = context.authorize(session)
            build = context.enqueue(session, owner, bound.id, Transition.START, values=values)
            if build.build_number != bound.build_number + 1:
                # Another build ran since the status was read, and may have started it.
                session.rollback()
                return None
            note_build(session, context.chat, workspace_id=bound.id, build_id=build.build_id)
    except BuildActiveError:
        return None
    return build.build_id


def _started(context: ToolContext, bound: BoundWorkspace, build_id: uuid.UUID) -> Answer:
    try:
        build = context.wait_for(build_id)
    except WorkspaceBuildError as error:
        return build_failure(
            context,
            error,
            prefix="workspace start build failed: ",
            action="started",
            build_id=build_id,
        )
    return {
        "started": True,
        "workspace_name": bound.name,
        "build_id": str(build.id),
        "resources": describe_resources(build.resources),
    }
