"""``provisionerd state``: the Terraform states of workspaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click
from sqlalchemy.orm import Session

from cli.actor import as_option, find_actor
from cli.lazy import AliasGroup
from cli.listing import Listing, listing_options
from cli.opening import opened, transaction
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document, print_facts, print_rows
from cli.reference import default_owner
from cli.state.files import left_state, orphan_file, read_file, rename_adopted, write_file
from cli.state.label import build_option
from cli.state.listing import KIND, ORPHANS, StateRow, orphan_rows, stored_row
from cli.state.report import print_pushed
from cli.table import Columns
from db.catalog.people import get_user
from db.catalog.references import find_workspace
from db.catalog.states import PushedState, adopt_state, push_state
from db.errors import StateRefusedError
from db.jobs.statefiles import StateResource, parse_state_file
from db.reads.jobs import find_job_id
from db.reads.states import (
    StoredState,
    builds_of_jobs,
    get_state,
    list_states,
    state_label,
)
from db.schema.tables import Workspace
from provisioner.host.orphans import OrphanedState, find_orphaned_states, job_of, opened_orphan
from worker.settings import load_settings

RESOURCE_COLUMNS: Columns[StateResource] = {
    "MODULE": lambda row: row.module,
    "TYPE": lambda row: row.type,
    "NAME": lambda row: row.name,
    "INSTANCES": lambda row: row.instances,
}


owner_option = click.option(
    "--owner", metavar="USER", help="Owner of the workspace; needed with a plain name."
)


@click.group(cls=AliasGroup)
def state() -> None:
    r"""List, fetch and replace Terraform states of workspaces.

    WORKSPACE is a name together with --owner, OWNER/NAME, or an ID. It may be a
    deleted workspace while its builds are kept.

    A state holds the values of all resources, including passwords.
    """


@state.command("list")
@click.argument("workspace", required=False)
@owner_option
@listing_options(KIND)
def list_(workspace: str | None, owner: str | None, listing: Listing[StateRow]) -> None:
    r"""List the stored states of WORKSPACE, newest first.

    The next build starts from the state marked "current". Orphaned states of this
    host come first, without WORKSPACE those of all workspaces: `state adopt`
    stores one.

    \b
    Examples:
        provisionerd state list box --owner alice
        provisionerd state list
    """
    settings = load_settings()
    kind = KIND if workspace else ORPHANS
    with opened() as services:

        def read(limit: int) -> Sequence[StateRow]:
            orphans = list(find_orphaned_states(settings.work_root, keyring=settings.keyring))
            with services.database.begin() as session:
                wanted = _find(session, workspace, owner) if workspace else None
                return _rows(session, orphans, wanted, limit)

        replace(listing, kind=kind).print(read)


def _rows(
    session: Session, orphans: Sequence[OrphanedState], workspace: Workspace | None, limit: int
) -> list[StateRow]:
    builds = builds_of_jobs(session, [orphan.job_id for orphan in orphans])
    if workspace is None:
        return orphan_rows(orphans, builds)[:limit]
    stored = [stored_row(row) for row in list_states(session, workspace.id, limit=limit)]
    return [*orphan_rows(orphans, builds, workspace_id=workspace.id), *stored][:limit]


@state.command()
@click.argument("workspace")
@owner_option
@build_option
@output_option
def show(workspace: str, owner: str | None, label: tuple[int, int] | None, output: str) -> None:
    r"""Show a state of WORKSPACE without the values in it.

    This is its lineage, its serial and its resources.

    \b
    Example:
        provisionerd state show alice/box --build 3
    """
    with transaction() as session:
        stored = _get(session, _find(session, workspace, owner), label)
    file = parse_state_file(stored.data)
    facts = {
        "state": state_label(stored.build_number, stored.position),
        "lineage": stored.lineage,
        "serial": stored.serial,
        "terraform_version": file.terraform_version,
        "size": len(stored.data),
    }
    if output in DOCUMENTS:
        print_document({**facts, "resources": [asdict(found) for found in file.resources]}, output)
        return
    print_facts({name.replace("_", " "): value for name, value in facts.items()})
    click.echo()
    print_rows(file.resources, RESOURCE_COLUMNS, output=output, kind="resources in it")


@state.command()
@click.argument("workspace")
@owner_option
@build_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it to FILE, readable only by you; otherwise to standard output.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def pull(
    workspace: str,
    owner: str | None,
    label: tuple[int, int] | None,
    out: Path | None,
    force: bool,
) -> None:
    r"""Fetch a state of WORKSPACE, byte for byte.

    It is the newest one, unless --build names a build.

    \b
    Examples:
        provisionerd state pull alice/box --out box.tfstate
        provisionerd state pull alice/box --build 3 | jq .resources
    """
    if force and out is None:
        raise click.UsageError("--force works only with --out")
    with transaction() as session:
        stored = _get(session, _find(session, workspace, owner), label)
    if out is None:
        click.echo(stored.data, nl=False)
        return
    write_file(out, stored.data, force=force)
    click.echo(
        f"State {state_label(stored.build_number, stored.position)} was written to {out}:"
        f" lineage {stored.lineage}, serial {stored.serial}."
    )


@state.command()
@click.argument("workspace")
@click.argument("file")
@owner_option
@as_option
@click.option("--force", is_flag=True, help="Take another lineage, or a serial that is not higher.")
@output_option
def push(
    *,
    workspace: str,
    file: str,
    owner: str | None,
    as_user: str | None,
    force: bool,
    output: str,
) -> None:
    r"""Make FILE the state that the next build of WORKSPACE starts from.

    FILE is a state file, or - for standard input. It must have the lineage of the
    stored state and a higher serial. No build is started. The replaced state is
    kept: `state list` shows it. A push is refused while a build runs.

    \b
    Example:
        provisionerd state pull alice/box --out box.tfstate
        terraform state rm -state=box.tfstate terraform_data.gone
        provisionerd state push alice/box box.tfstate
    """
    data = read_file(file)
    with opened() as services, services.database.begin() as session:
        found = _find(session, workspace, owner)
        actor = find_actor(session, as_user)
        pushed = _refusable(
            lambda: push_state(session, workspace_id=found.id, data=data, actor=actor, force=force)
        )
    print_pushed(pushed, output=output)


@state.command()
@click.argument("source", metavar="FILE|DIR|JOB")
@click.option("--workspace", metavar="WORKSPACE", help="The workspace, if the job was pruned.")
@owner_option
@as_option
@click.option("--force", is_flag=True, help="Take another lineage, or a serial that is not higher.")
@output_option
def adopt(
    *,
    source: str,
    workspace: str | None,
    owner: str | None,
    as_user: str | None,
    force: bool,
    output: str,
) -> None:
    r"""Store an orphaned state of this host in its workspace.

    A worker orphans a state (log event state.orphaned) if a later build began
    without it. Give the file, or the job in its name. DIR is a work directory
    that recovery does not take (build.lease_forged). The checks are those of
    `state push`; the file or directory is then renamed to NAME.adopted.

    Compare the states first: this one lacks the resources of the later build.

    \b
    Examples:
        provisionerd state list
        provisionerd state adopt 3f1c --as alice
    """
    settings = load_settings()
    left = left_state(source, settings.work_root, settings.keyring)
    with opened() as services, services.database.begin() as session:
        found = _find(session, workspace, owner).id if workspace else None
        actor = find_actor(session, as_user)
        job_id = job_of(Path(left.job)) or find_job_id(session, left.job)
        pushed = _refusable(
            lambda: adopt_state(
                session, job_id=job_id, data=left.data, actor=actor, workspace_id=found, force=force
            )
        )
    print_pushed(pushed, output=output)
    rename_adopted(left.path)


@state.command()
@click.argument("source", metavar="FILE|JOB")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Write it to FILE, readable only by you.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def unseal(source: str, out: Path, force: bool) -> None:
    r"""Open an orphaned state of this host that was sealed.

    The encryption keys open it. Give the file, or the job in its name. A file that
    is not sealed is copied.

    \b
    Example:
        provisionerd state unseal 3f1c --out left.tfstate
    """
    settings = load_settings()
    path, job_id = orphan_file(source, settings.work_root)
    data = opened_orphan(read_file(str(path)), job_id, settings.keyring)
    write_file(out, data, force=force)


def _find(session: Session, reference: str, owner: str | None) -> Workspace:
    username = owner or default_owner()
    return find_workspace(
        session, reference, owner=get_user(session, username) if username else None
    )


def _get(session: Session, workspace: Workspace, label: tuple[int, int] | None) -> StoredState:
    number, position = label or (None, 0)
    return get_state(session, workspace.id, build_number=number, position=position)


def _refusable(change: Callable[[], PushedState]) -> PushedState:
    try:
        return change()
    except StateRefusedError as error:
        raise click.ClickException(f"{error}; `--force` stores it anyway") from error
