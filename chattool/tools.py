"""The tools that agents call: those of a chat's workspace, and those of its owner."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from chattool.create import create_workspace
from chattool.owned.tools import OWNER_TOOLS
from chattool.start import start_workspace
from chattool.tool import Arguments, ParameterValue, Tool


class CreateWorkspaceArguments(Arguments):
    """The arguments of ``create_workspace``."""

    template_id: str = Field(
        description="The template to create the workspace from: its ID (a UUID) or its name."
    )
    name: str | None = Field(
        None,
        description="A name for the workspace: letters, digits and single hyphens, at most 32"
        " characters. If left out, a name is generated.",
    )
    parameters: dict[str, ParameterValue] | None = Field(
        None,
        description="Values of the template's parameters, by name. A list is written as JSON.",
    )
    preset_id: str | None = Field(
        None,
        description="The ID (a UUID) of a preset of the template. Its values take precedence over"
        " those in parameters.",
    )
    preset: str | None = Field(None, description="The name of a preset, in place of its ID.")


class StartWorkspaceArguments(Arguments):
    """The arguments of ``start_workspace``."""

    parameters: dict[str, ParameterValue] | None = Field(
        None,
        description="New values of the template's parameters, by name. The others do not change.",
    )
    preset_id: str | None = Field(
        None,
        description="The ID (a UUID) of a preset of the template. Its values take precedence over"
        " those in parameters.",
    )
    preset: str | None = Field(None, description="The name of a preset, in place of its ID.")


CHAT_TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="create_workspace",
            description=(
                "Create a workspace (a development machine) for this chat and wait until it is"
                " built, which can take several minutes. Use this only when the work needs a"
                " workspace, such as running commands or changing files, or when the user"
                " explicitly asks for one. Do not use this as a default first step. A chat has"
                " one workspace: if it already has one, that one is returned and nothing is"
                " created. If the answer has an error_code of INSUFFICIENT_QUOTA, tell the user"
                " what its message says and do not try again until the user has freed quota. If it"
                " has validations, correct the named parameters and try again."
            ),
            arguments=CreateWorkspaceArguments,
            run=create_workspace,
        ),
        Tool(
            name="start_workspace",
            description=(
                "Start this chat's workspace if it is stopped or its last build failed, and"
                " wait until it runs, which can take several minutes. It does nothing if the"
                " workspace already runs. Use create_workspace first if the chat has no"
                " workspace. If the answer has an error_code of INSUFFICIENT_QUOTA, tell the"
                " user what its message says and do not try again until the user has freed quota."
                " If it has validations, correct the named parameters and try again."
            ),
            arguments=StartWorkspaceArguments,
            run=start_workspace,
        ),
    )
}


TOOLS: Mapping[str, Tool] = {**CHAT_TOOLS, **OWNER_TOOLS, **CHAT_TOOLS}
"""Those of a chat: its create_workspace and start_workspace take the place of the owner's."""
