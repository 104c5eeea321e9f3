"""Commands about the versions of a template: list, show, activate, archive, delete."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import timedelta
from functools import partial

import click
from sqlalchemy.orm import Session

from api.reads.templates import VersionList, VersionShown
from cli.changing import change
from cli.confirming import confirm, yes_option
from cli.listing import Kind, Listing, listing_options
from cli.opening import find_organization
from cli.options import organization_option, output_option
from cli.printing import DOCUMENTS, print_document
from cli.remote import templates
from cli.remote.client import route
from cli.source import read
from cli.spans import Span, nanoseconds
from cli.table import WIDE, Column, Columns, age, plain
from cli.template.details import print_details
from db.catalog.audit import Actor
from db.catalog.edits import activate_version, delete_template, edit_template, set_archived
from db.catalog.templates import get_template, get_version
from db.reads.imports import VersionListing
from db.schema.tables import Template

COLUMNS: Columns[VersionListing] = {
    "NAME": lambda row: row.name,
    "STATUS": lambda row: row.status,
    "ACTIVE": lambda row: "active" if row.is_active else "",
    "FAILING": Column(lambda row: row.failing, 1),
    "ARCHIVED": Column(lambda row: "archived" if row.archived else "", 5),
    "WORKSPACES": Column(lambda row: row.workspaces, 2),
    "MESSAGE": Column(lambda row: row.message.partition("\n")[0], 3),
    "AUTHOR": Column(lambda row: row.created_by_name, 4),
    "PUSHED": lambda row: age(row.created_at),
    "PUSHED AT": Column(lambda row: row.created_at, WIDE),
    "JOB": Column(lambda row: row.job_id, WIDE),
}
KIND = Kind(plural="versions", columns=COLUMNS, name=lambda row: row.name)
name_argument = click.argument("name")
version_argument = click.argument("version")


@click.command()
@name_argument
@click.option("--archived", is_flag=True, help="List archived versions, too.")
@organization_option
@listing_options(KIND)
def versions(
    name: str, archived: bool, organization: str | None, listing: Listing[VersionListing]
) -> None:
    r"""List the versions of the template NAME, newest first.

    \b
    Example:
        provisionerd template versions dev
    """
    listing.print_answers(
        partial(VersionList, template=name, organization=organization, archived=archived)
    )


@click.command()
@name_argument
@click.option("--version", "version_name", metavar="NAME", help="Otherwise the active version.")
@organization_option
@output_option
def show(name: str, version_name: str | None, organization: str | None, output: str) -> None:
    r"""Show what a version of the template NAME declares and makes.

    These are its variables, parameters, presets, modules, and the resources of a
    started and of a stopped workspace, as a worker found them at the import.

    \b
    Example:
        provisionerd template show dev --version v2
    """
    details = read(VersionShown(template=name, version=version_name, organization=organization))
    if output in DOCUMENTS:
        print_document(asdict(details), output)
    else:
        print_details(details)


@click.command()
@name_argument
@version_argument
@organization_option
def activate(name: str, version: str, organization: str | None) -> None:
    r"""Make VERSION the active version of the template NAME.

    New workspaces use it. Existing ones keep theirs until they are updated.

    \b
    Example:
        provisionerd template activate dev v1
    """

    def here(session: Session, _actor: Actor) -> None:
        template = _template(session, name, organization)
        activate_version(session, template.id, _version(session, template, version))

    change(
        here,
        lambda client: templates.activate(client, name, version, organization),
        look=f"template versions {name}",
    )
    click.echo(f"Template {plain(name)} is at {plain(version)}.")


@click.command()
@name_argument
@version_argument
@organization_option
def archive(name: str, version: str, organization: str | None) -> None:
    r"""Hide VERSION of the template NAME from lists.

    An archived version cannot be active. Workspaces that use it go on.

    \b
    Example:
        provisionerd template archive dev v1
    """
    _archive(name, version, organization, archived=True)


@click.command()
@name_argument
@version_argument
@organization_option
def unarchive(name: str, version: str, organization: str | None) -> None:
    r"""Undo `template archive`.

    \b
    Example:
        provisionerd template unarchive dev v1
    """
    _archive(name, version, organization, archived=False)


@click.command()
@name_argument
@click.option(
    "--require-active-version/--allow-any-version",
    "require_active_version",
    default=None,
    help="Whether only its admins may start another version than the active one.",
)
@click.option(
    "--fetch-modules/--keep-modules",
    "disable_module_cache",
    default=None,
    help="Whether each build downloads the modules again, instead of those of the import.",
)
@click.option(
    "--stop-after",
    "default_ttl",
    type=Span(),
    metavar="SPAN",
    help="How long new workspaces run after a start, such as 8h; never: until they are stopped.",
)
@click.option(
    "--activity-bump",
    type=Span(),
    metavar="SPAN",
    help="How long a workspace runs at least after it was used; never: use changes nothing.",
)
@click.option("--deprecate", "deprecated", metavar="WHY", help="Refuse new workspaces; '' undoes.")
@organization_option
def edit(name: str, organization: str | None, **changes: object) -> None:
    r"""Change settings of the template NAME.

    \b
    Example:
        provisionerd template edit dev --require-active-version
    """
    given = {
        field: nanoseconds(value) if isinstance(value, timedelta) else value
        for field, value in changes.items()
        if value is not None
    }
    if not given:
        raise click.UsageError("give a setting to change; --help lists them")
    change(
        lambda session, _actor: edit_template(
            session, _template(session, name, organization).id, given
        ),
        lambda client: templates.edit(client, name, organization, given),
        look="template list",
    )
    click.echo(f"Template {plain(name)} was changed.")


@click.command()
@name_argument
@yes_option
@organization_option
def delete(name: str, yes: bool, organization: str | None) -> None:
    r"""Delete the template NAME. It must have no workspaces.

    \b
    Example:
        provisionerd template delete dev
    """
    confirm(f"Delete the template {plain(name)}?", yes=yes)
    change(
        lambda session, _actor: delete_template(session, _template(session, name, organization).id),
        lambda client: client.ask(
            "DELETE", route("templates", templates.find_template(client, name, organization))
        ),
        look="template list",
    )
    click.echo(f"Template {plain(name)} was deleted.")


def _archive(name: str, version: str, organization: str | None, *, archived: bool) -> None:
    def here(session: Session, _actor: Actor) -> None:
        template = _template(session, name, organization)
        set_archived(session, _version(session, template, version), archived=archived)

    change(
        here,
        lambda client: templates.archive(client, name, version, organization, archived=archived),
        look=f"template versions {name} --archived",
    )
    word = "archived" if archived else "no longer archived"
    click.echo(f"Version {plain(version)} of template {plain(name)} is {word}.")


def _template(session: Session, name: str, organization: str | None) -> Template:
    return get_template(session, name=name, organization=find_organization(session, organization))


def _version(session: Session, template: Template, name: str) -> uuid.UUID:
    return get_version(session, template_id=template.id, name=name)
