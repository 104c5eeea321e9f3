"""``provisionerd template push``: store a version, and follow its import by a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from cli.changing import enqueuing
from cli.opening import find_organization
from cli.options import organization_option, output_option, to_mapping
from cli.patience import Patience, waiting_options
from cli.remote import templates
from cli.remote.server import has_server
from cli.table import plain
from cli.template.importing import ImportRequest, finish
from cli.valuefiles import read_values, standard_input, to_values
from db.catalog.people import get_user
from db.catalog.templates import Push
from db.errors import NotFoundError
from db.reads.people import first_member
from db.schema.enums import ProvisionerType
from db.schema.tables import Organization, User
from provisioner.host.archive import read_archive
from provisioner.host.packing import Packed, pack_folder, take_tar
from provisioner.template.localmodules import check_local_modules
from worker.pushing import enqueue_import

_STANDARD_INPUT = Path("-")
_NAMED_AT_MOST = 20


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Follow links that stay in DIR; otherwise those that stay in DIRECTORY.",
)
@click.option(
    "--name", required=True, help="Name of the template; it is created if it does not exist."
)
@click.option(
    "--variable",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    callback=to_values,
    help="Value of a variable of the template; others keep the value of the active version."
    " @FILE reads it, @- from standard input. Repeatable.",
)
@click.option(
    "--variables-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with values of variables: JSON (- for standard input), or TOML (*.toml)."
    " --variable takes precedence.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    callback=to_mapping,
    help="Only workers with this tag run its builds. Repeatable.",
)
@click.option("--message", default="", help="Description of the changes in this version.")
@click.option("--version", "version_name", default="", metavar="NAME", help="Name of the version.")
@click.option("--no-activate", is_flag=True, help="Leave the active version as it is.")
@waiting_options("import")
@click.option(
    "--provisioner",
    type=click.Choice([kind.value for kind in ProvisionerType]),
    default=ProvisionerType.TERRAFORM.value,
    show_default=True,
    help="Engine; echo runs a script and is for tests.",
)
@click.option("--author", metavar="USER", help="Author; otherwise the organization's first member.")
@organization_option
@output_option
def push(
    *,
    directory: Path,
    root: Path | None,
    name: str,
    values: dict[str, str],
    variables_file: Path | None,
    tags: dict[str, str],
    message: str,
    version_name: str,
    no_activate: bool,
    patience: Patience,
    provisioner: str,
    author: str | None,
    organization: str | None,
    output: str,
) -> None:
    r"""Push the folder DIRECTORY as the next version of a template.

    A worker checks the version: it reads the files and plans a start and a stop.
    The version becomes active when that has succeeded. New workspaces use the
    active version; existing ones keep theirs until
    `provisionerd workspace start NAME --update`.

    Dot files, state files, terraform.tfvars and *.auto.tfvars are left out. With -
    in place of DIRECTORY a tar is read from standard input, and nothing is left out.

    \b
    Examples:
        provisionerd template push ./template --name dev --variable region=eu
        provisionerd template push ./template --name dev --root .
        tar --create --dereference . | provisionerd template push - --name dev
    """
    stored = read_values(variables_file) if variables_file else {}
    packed = _packed(directory, root)
    _check_modules(packed, provisioner)
    _name_left_out(packed)
    _check_author(author)
    request = ImportRequest(
        template=name, tags=tags, activate=not no_activate, patience=patience, output=output
    )

    facts = {
        "values": {**stored, **values},
        "provisioner": ProvisionerType(provisioner),
        "tags": tags,
        "message": message,
        "version_name": version_name,
        "activate": not no_activate,
    }
    with enqueuing(
        lambda session, ring: enqueue_import(
            session,
            _wanted(session, name, organization, author, archive=packed.archive, **facts),
            ring=ring,
        ),
        lambda client: templates.push(client, name, organization, packed.archive, facts),
        noun="import",
        look=f"template versions {name}",
    ) as (source, pushed):
        finish(source, request, pushed)


def _check_modules(packed: Packed, provisioner: str) -> None:
    if provisioner == ProvisionerType.TERRAFORM:
        check_local_modules(read_archive(packed.archive))


def _check_author(author: str | None) -> None:
    if author and has_server():
        raise click.UsageError("over the API, the author is the user of the token, not --author")


def _wanted(
    session: Session, name: str, organization: str | None, author: str | None, **facts: Any
) -> Push:
    home = find_organization(session, organization)
    return Push(organization=home, name=name, created_by=_author(session, home, author), **facts)


def _packed(directory: Path, root: Path | None) -> Packed:
    if directory != _STANDARD_INPUT:
        return pack_folder(directory, root=root)
    if root is not None:
        raise click.UsageError("--root is for a folder; a tar has no links")
    return take_tar(standard_input())


def _name_left_out(packed: Packed) -> None:
    if not packed.left_out:
        return
    named = ", ".join(plain(name) for name in packed.left_out[:_NAMED_AT_MOST])
    more = len(packed.left_out) - _NAMED_AT_MOST
    click.echo(f"Left out: {named}{f' and {more} more' if more > 0 else ''}", err=True)


def _author(session: Session, organization: Organization, name: str | None) -> User:
    author = get_user(session, name) if name else first_member(session, organization)
    if author is None:
        raise NotFoundError(
            f"organization {organization.name!r} has no members;"
            " `provisionerd user create NAME` creates the first one"
        )
    return author
