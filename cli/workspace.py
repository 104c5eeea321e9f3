"""The group ``provisionerd workspace``."""

from __future__ import annotations

import click

from cli.lazy import LazyGroup

COMMANDS = {
    "create": "cli.builds:create",
    "start": "cli.builds:start",
    "stop": "cli.builds:stop",
    "delete": "cli.builds:delete",
    "plan": "cli.planning:plan",
    "schedule": "cli.scheduling:schedule",
    "extend": "cli.scheduling:extend",
    "rename": "cli.renaming:rename",
    "show": "cli.details:show",
    "list": "cli.workspacelisting:list_",
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def workspace() -> None:
    r"""Plan, create, start, stop, schedule, delete, show and list workspaces.

    \b
    The build's log is shown until the build ends. The exit status is:
        0    the build succeeded (with --detach: it was accepted)
        1    the build failed, was canceled, or could not be enqueued
        2    the command was used wrongly
        3    the owner's quota refused the build
        124  it has not ended within --timeout
    """
