"""The tool that creates the workspace of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sqlalchemy.orm import Session

from chattool.answers import Answer, answered, build_failure, describe_resources
from chattool.authorization import AuthorizedOwner
from chattool.binding import read_binding, wait_for_active_build
from chattool.context import ToolContext
from chattool.errors import WorkspaceBuildError
from chattool.naming import choose_name
from chattool.parameters import ChosenValues, choose_values
from db.catalog import workspaces
from db.catalog.chats import (
    bind_chat,
    lock_chat,
    open_chat,
)
from db.catalog.versions import get_usable_version
from db.errors import (
    ConflictError,
    InvalidError,
    LimitReachedError,
    NotFoundError,
    OwnerInactiveError,
)
from db.reads.builds import get_build
from db.reads.chats import BoundWorkspace, find_bound_workspace
from db.reads.templates import find_template, list_template_names
from db.schema.enums import Transition
from db.schema.tables import Template, User, Workspace
from db.texts import check_storable


@answered
def create_workspace(
    context: ToolContext,
    *,
    template_id: str,
    name: str | None = None,
    parameters: Mapping[str, str] | None = None,
    preset_id: str | None = None,
    preset: str | None = None,
) -> Answer:
    """Create a workspace for the chat and wait for its first build; once per chat.

    If the chat's workspace runs, is stopped or is being built, that workspace is returned, even
    if another process created it. If it was deleted, or its last build failed or was canceled, a
    new one is created. An import of the template that is under way is waited for.

    Args:
        template_id: the template's ID, or its name in the chat's organization.
        name: the workspace's name; derived from the template's name if not given or not allowed.
        parameters: values by the template's parameter names.
        preset_id: the id of a preset of the template, whose values take precedence.
        preset: the name of a preset, in place of its id.

    Returns:
        ``created`` says whether the workspace is new; ``error`` marks a failure, and
        ``error_code`` marks a refusal by quota (see ``docs/chat-tools.md``).
    """
    with context.database.begin() as session:
        if not check_storable("id of a template", template_id).strip():
            raise InvalidError(f"template_id is required; {_choice(session, context)}")
        values = choose_values(parameters, preset_id=preset_id, preset=preset)
        open_chat(session, context.chat)
    has_waited = False
    while True:
        bound = read_binding(context)
        if bound is None or not _is_usable(bound):
            made = context.after_import(
                partial(_create, context, template_id.strip(), name, values)
            )
            if made:
                return _created(context, made)
        elif not bound.status.is_active:
            return _existing(context, bound, has_waited=has_waited)
        elif failure := wait_for_active_build(
            context, bound, prefix="existing workspace build failed: "
        ):
            return failure
        else:
            has_waited = True


def _is_usable(bound: BoundWorkspace) -> bool:
    """Return whether the chat keeps this workspace: it is being built, runs or is stopped."""
    if bound.status.is_active:
        return True
    return not bound.deleted and (bound.is_running or bound.is_stopped)


def _existing(context: ToolContext, bound: BoundWorkspace, *, has_waited: bool) -> Answer:
    if bound.is_stopped:
        return {
            "created": False,
            "workspace_name": bound.name,
            "status": "stopped",
            "message": "workspace is stopped; use start_workspace to start it",
        }
    with context.database.begin() as session:
        build = get_build(session, bound.build_id)
    message = "workspace build completed" if has_waited else "workspace is already running"
    return {
        "created": False,
        "workspace_name": bound.name,
        "status": "already_exists",
        "message": message,
        "build_id": str(build.id),
        "resources": describe_resources(build.resources),
    }


def _create(
    context: ToolContext, template_id: str, name: str | None, values: ChosenValues
) -> BoundWorkspace | None:
    """Create the workspace and enqueue its build; return None if another call was faster."""
    with context.database.begin() as session:
        # All calls for this chat wait here until the first one has bound its workspace.
        lock_chat(session, context.chat)
        bound = find_bound_workspace(session, context.chat)
        if bound is not None and _is_usable(bound):
            return None
        template = _find_template(session, context, template_id)
        version = get_usable_version(session, template)
        owner = context.authorize(session)
        workspace_name = choose_name(name, seed=template.name)
        workspace = _insert_workspace(
            session, owner, template, workspace_name, bound, chat_id=context.chat_id
        )
        build = context.enqueue(
            session,
            owner,
            workspace.id,
            Transition.START,
            values=values,
            template_version_id=version.id,
        )
        bind_chat(session, context.chat, workspace_id=workspace.id, build_id=build.build_id)
        return find_bound_workspace(session, context.chat)


def _find_template(session: Session, context: ToolContext, wanted: str) -> Template:
    template = find_template(session, wanted, organization_id=context.organization_id)
    if template is None:
        raise NotFoundError(f"there is no template {wanted!r}; {_choice(session, context)}")
    if template.organization_id != context.organization_id:
        raise ConflictError(
            "template belongs to a different organization than this chat;"
            f" {_choice(session, context)}"
        )
    return template


def _choice(session: Session, context: ToolContext) -> str:
    names = list_template_names(session, organization_id=context.organization_id)
    if not names:
        return "this organization has no template yet; ask an administrator to push one"
    return f"the templates of this chat's organization are: {', '.join(names)}"


def _insert_workspace(
    session: Session,
    owner: AuthorizedOwner,
    template: Template,
    name: str,
    bound: BoundWorkspace | None,
    *,
    chat_id: str,
) -> Workspace:
    try:
        return workspaces.create_workspace(
            session,
            owner=session.get_one(User, owner.id),
            template=template,
            name=name,
            chat_id=chat_id,
        )
    except (LimitReachedError, OwnerInactiveError):
        raise
    except ConflictError as error:
        is_own = bound is not None and bound.name.lower() == f"{owner.username}/{name}".lower()
        instead = "use start_workspace to build it again, or " if is_own else ""
        raise ConflictError(f"{error}; {instead}choose another name") from error


def _created(context: ToolContext, made: BoundWorkspace) -> Answer:
    try:
        build = context.wait_for(made.build_id)
    except WorkspaceBuildError as error:
        return build_failure(
            context,
            error,
            prefix="workspace build failed: ",
            action="created",
            build_id=made.build_id,
        )
    return {
        "created": True,
        "workspace_name": made.name,
        "build_id": str(build.id),
        "resources": describe_resources(build.resources),
    }
