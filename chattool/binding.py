"""The workspace of a chat: reads its status, and waits for its active build."""

from __future__ import annotations

from collections.abc import Mapping

from chattool.answers import Answer, build_failure
from chattool.context import ToolContext
from chattool.errors import BuildTimeoutError, WorkspaceBuildError
from db.catalog.chats import note_build
from db.reads.chats import BoundWorkspace, find_bound_workspace
from db.schema.enums import JobStatus, Transition

ACTIONS: Mapping[Transition, str] = {
    Transition.START: "started",
    Transition.STOP: "stopped",
    Transition.DELETE: "deleted",
}


def read_binding(context: ToolContext) -> BoundWorkspace | None:
    """Return the chat's workspace with its current status, even if deleted; None if it has none."""
    with context.database.begin() as session:
        return find_bound_workspace(session, context.chat)


def wait_for_active_build(
    context: ToolContext, bound: BoundWorkspace, *, prefix: str
) -> Answer | None:
    """Wait for the active build of the chat's workspace.

    Return None if the caller should read the status again and go on: the build succeeded, or it
    was already being canceled and has ended. No new build is accepted while a cancel is in
    progress, so the tool must wait for it, but its result is not a failure of this chat.
    """
    _note(context, bound)
    try:
        context.wait_for(bound.build_id)
    except WorkspaceBuildError as error:
        was_canceling = bound.status is JobStatus.CANCELING
        if was_canceling and not isinstance(error, BuildTimeoutError):
            return None
        return build_failure(
            context,
            error,
            prefix=prefix,
            action=ACTIONS[bound.transition],
            build_id=bound.build_id,
        )
    return None


def _note(context: ToolContext, bound: BoundWorkspace) -> None:
    with context.database.begin() as session:
        note_build(session, context.chat, workspace_id=bound.id, build_id=bound.build_id)
