"""``provisionerd workspace show``: a workspace, the values of its last build, its resources."""

from __future__ import annotations

from dataclasses import asdict

import click

from api.reads.workspaces import WorkspaceShown
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document, print_facts, print_rows
from cli.reference import workspace_argument
from cli.source import read
from cli.table import Columns
from db.reads.workspaces import ShownParameter, ShownResource, ShownWorkspace

_KEPT = {
    (False, True): "may change",
    (False, False): "must stay",
    (True, True): "its default",
    (True, False): "its default",
}
PARAMETERS: Columns[ShownParameter] = {
    "PARAMETER": lambda row: row.name,
    "VALUE": lambda row: row.value,
    "TYPE": lambda row: row.type,
    "NEXT BUILD": lambda row: _KEPT[row.ephemeral, row.mutable],
}
RESOURCES: Columns[ShownResource] = {
    "RESOURCE": lambda row: f"{row.type}.{row.name}",
    "DAILY COST": lambda row: row.daily_cost,
    "AGENTS": lambda row: ", ".join(row.agents),
    "APPS": lambda row: ", ".join(row.apps),
}


@click.command()
@workspace_argument
@output_option
def show(name: str, owner: str, output: str) -> None:
    r"""Show the workspace NAME, its parameters and its resources.

    The parameters and the resources are those of its last build.

    \b
    Example:
        provisionerd workspace show alice/box
    """
    found = read(WorkspaceShown(user=owner, name=name))
    if output in DOCUMENTS:
        print_document(asdict(found), output)
        return
    print_facts(_facts(found))
    if found.parameters:
        click.echo()
        print_rows(found.parameters, PARAMETERS, output=output, kind="parameters")
    if found.resources:
        click.echo()
        print_rows(found.resources, RESOURCES, output=output, kind="resources")


def _facts(found: ShownWorkspace) -> dict[str, object]:
    newer = found.active_version_name if found.is_outdated else None
    return {
        "Name": found.name,
        "Owner": found.owner_name,
        "Template": found.template_name,
        "Version": found.version_name,
        "Update available": newer,
        "Preset": found.preset_name,
        "Status": found.status or "not built",
        "Daily cost": found.daily_cost,
        "Job": found.job_id,
    }
