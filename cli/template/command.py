"""The group ``provisionerd template``."""

from __future__ import annotations

import click

from cli.lazy import LazyGroup

COMMANDS = {
    "list": "cli.template.listing:list_",
    "push": "cli.template.push:push",
    "versions": "cli.template.versions:versions",
    "show": "cli.template.versions:show",
    "activate": "cli.template.versions:activate",
    "archive": "cli.template.versions:archive",
    "unarchive": "cli.template.versions:unarchive",
    "edit": "cli.template.versions:edit",
    "diff": "cli.template.files:diff",
    "pull": "cli.template.files:pull",
    "delete": "cli.template.versions:delete",
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def template() -> None:
    """Push, list and change templates and their versions."""
