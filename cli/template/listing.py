"""``provisionerd template list``."""

from __future__ import annotations

from api.reads.templates import TemplateList
from cli.listing import Kind, list_command
from cli.table import WIDE, Column, Columns, age
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
list_ = list_command(
    KIND,
    TemplateList,
    description=r"""List the templates.

    \b
    Example:
        provisionerd template list
    """,
)
