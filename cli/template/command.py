"""The group ``provisionerd template``, and its lists."""

from __future__ import annotations

import click

from api.reads.templates import TemplateList
from cli.lazy import AliasGroup
from cli.listing import Kind, list_command
from cli.table import WIDE, Column, Columns, age
from cli.template.files import diff, pull
from cli.template.push import push
from cli.template.versions import activate, archive, delete, edit, show, unarchive, versions
from db.reads.templates import TemplateListing

COLUMNS: Columns[TemplateListing] = {
    "NAME": lambda row: row.name,
    "ORGANIZATION": Column(lambda row: row.organization_name, 2),
    "VERSION": lambda row: row.active_version_name,
    "ENGINE": Column(lambda row: row.provisioner, 3),
    "WORKSPACES": Column(lambda row: row.workspaces, 1),
    "PUSHED": lambda row: age(row.updated_at),
    "PUSHED AT": Column(lambda row: row.updated_at, WIDE),
    "ID": Column(lambda row: row.id, WIDE),
}
KIND = Kind(plural="templates", columns=COLUMNS, name=lambda row: row.name)


@click.group(cls=AliasGroup)
def template() -> None:
    """Push, list and change templates and their versions."""


template.add_command(
    list_command(
        KIND,
        TemplateList,
        description=r"""List the templates.

        \b
        Example:
            provisionerd template list
        """,
    )
)
for command in (push, versions, show, activate, archive, unarchive, edit, diff, pull, delete):
    template.add_command(command)
