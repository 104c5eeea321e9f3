"""Agents' tools for a chat's workspace; answers distinguish a full quota from other failures."""

from __future__ import annotations

from chattool.authorization import (
    AuthorizedOwner,
    OwnerAuthorization,
    StoredAuthorization,
)
from chattool.context import ToolContext
from chattool.create import create_workspace
from chattool.errors import AuthorizationError, BuildTimeoutError, WorkspaceBuildError
from chattool.settings import ToolSettings, tool_settings
from chattool.start import start_workspace
from chattool.tool import Tool, as_function_tool, as_input_schema_tool
from chattool.tools import TOOLS
from chattool.waiting import wait_for_build

__all__ = [
    "TOOLS",
    "AuthorizationError",
    "AuthorizedOwner",
    "BuildTimeoutError",
    "OwnerAuthorization",
    "StoredAuthorization",
    "Tool",
    "ToolContext",
    "ToolSettings",
    "WorkspaceBuildError",
    "as_function_tool",
    "as_input_schema_tool",
    "create_workspace",
    "start_workspace",
    "tool_settings",
    "wait_for_build",
]
