"""The group ``provisionerd template``, and its lists."""

from __future__ import annotations

import click

from cli.listing import list_command
from cli.printing import Columns
from cli.template.files import diff, pull
from cli.template.push import push
from cli.template.versions import activate, archive, delete, edit, show, unarchive, versions
from db.reads.templates import TemplateListing, list_templates

COLUMNS: Columns[TemplateListing] = {
    "NAME": lambda row: row.name,
    "ORGANIZATION": lambda row: row.organization_name,
    "VERSION": lambda row: row.active_version_name,
    "ENGINE": lambda row: row.provisioner,
    "WORKSPACES": lambda row: row.workspaces,
    "PUSHED": lambda row: row.updated_at,
}


@click.group()
def template() -> None:
    """Push, list and change templates and their versions."""


template.add_command(
    list_command(
        "templates",
        list_templates,
        COLUMNS,
        description=r"""List the templates.

        \b
        Example:
            provisionerd template list
        """,
    )
)
for command in (push, versions, show, activate, archive, unarchive, edit, diff, pull, delete):
    template.add_command(command)
