"""``provisionerd user``: manage users."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from api.reads.people import UserList
from cli.actor import as_option
from cli.changing import change
from cli.lazy import AliasGroup
from cli.listing import Kind, list_command
from cli.opening import find_organization
from cli.options import organization_option
from cli.remote import people
from cli.table import Column, Columns
from db.catalog.audit import SITE, Actor, AuditAction, audit
from db.catalog.people import (
    create_organization,
    create_user,
    get_user,
    has_people,
    set_member_roles,
    set_site_roles,
    set_user_status,
)
from db.errors import ConflictError
from db.reads.people import UserListing, list_organizations
from db.schema.enums import UserStatus
from db.schema.roles import SiteRole
from db.schema.tables import Organization

DEFAULT_ORGANIZATION = "default"
ROLE = click.Choice([role.value for role in SiteRole])
COLUMNS: Columns[UserListing] = {
    "USERNAME": lambda row: row.username,
    "STATUS": lambda row: row.status,
    "ORGANIZATIONS": Column(lambda row: ",".join(row.organizations), 1),
    "EMAIL": Column(lambda row: row.email, 2),
}
LOOK = "user list"
KIND = Kind(plural="users", columns=COLUMNS, name=lambda row: row.username)


@click.group(cls=AliasGroup)
def user() -> None:
    r"""Manage users.

    \b
    Example:
        provisionerd user create alice
    """


@user.command()
@click.argument("name")
@click.option(
    "--email", default="", help="Email address; templates of the user's workspaces get it."
)
@click.option("--role", "roles", multiple=True, type=ROLE, help="Role in the whole site.")
@organization_option
def create(name: str, email: str, roles: tuple[str, ...], organization: str | None) -> None:
    r"""Create a user as a member of the organization.

    If there is no organization yet, one named "default" is created. The first
    user is an owner unless a role is given.

    \b
    Example:
        provisionerd user create alice --email alice@example.com
    """
    home, is_made = change(
        lambda session, _actor: _create(session, name, email, roles, organization),
        lambda client: (people.create_user(client, name, email, roles, organization), False),
        look=LOOK,
    )
    if is_made:
        click.echo(
            f"Organization {DEFAULT_ORGANIZATION} was created; builds that cost something need"
            " an allowance: `provisionerd group set-allowance Everyone CREDITS`."
        )
    click.echo(f"User {name} was created in organization {home}.")


def _create(
    session: Session, name: str, email: str, roles: tuple[str, ...], organization: str | None
) -> tuple[str, bool]:
    """Create the user; return the name of the organization, and whether it was created, too."""
    made = _make_default(session) if organization is None else None
    home = find_organization(session, organization)
    is_first = not has_people(session)
    user = create_user(session, username=name, organization=home, email=email)
    set_site_roles(session, user, roles or ([SiteRole.OWNER] if is_first else []))
    return home.name, made is not None


@user.command("set-roles")
@click.argument("name")
@click.argument("roles", nargs=-1)
@click.option(
    "--organization",
    metavar="ORGANIZATION",
    help="Roles in this organization; otherwise in the whole site.",
)
@as_option
def set_roles(
    name: str, roles: tuple[str, ...], organization: str | None, as_user: str | None
) -> None:
    r"""Replace the roles of a user.

    Without ROLES, all of them are taken away.

    Roles in the whole site: owner, template-admin, user-admin, auditor. Roles in
    an organization have the same names, but begin with "organization-", such as
    organization-template-admin; organization-admin has all rights there.

    \b
    Example:
        provisionerd user set-roles alice template-admin
        provisionerd user set-roles bob organization-admin --organization default
    """
    username = change(
        lambda session, actor: _set_roles(session, actor, name, roles, organization),
        lambda client: people.set_roles(client, name, roles, organization),
        look=LOOK,
        as_user=as_user,
    )
    click.echo(f"User {username} has the roles: {', '.join(sorted(roles)) or 'member'}.")


def _set_roles(
    session: Session, actor: Actor, name: str, roles: tuple[str, ...], organization: str | None
) -> str:
    found = get_user(session, name)
    home = None if organization is None else find_organization(session, organization)
    if home is None:
        set_site_roles(session, found, roles)
    else:
        set_member_roles(session, found, home, roles)
    audit(
        session,
        actor=actor,
        action=AuditAction.WRITE,
        organization_id=home.id if home else SITE,
        resource=("user", found.id, found.username),
        facts={"roles": sorted(roles)},
    )
    return found.username


user.add_command(
    list_command(
        KIND,
        UserList,
        description=r"""List the users.

        \b
        Example:
            provisionerd user list
        """,
    )
)


@user.command()
@click.argument("name")
def suspend(name: str) -> None:
    r"""Suspend a user; the user's running workspaces are not affected.

    \b
    Example:
        provisionerd user suspend alice
    """
    _set_status(name, UserStatus.SUSPENDED)


@user.command()
@click.argument("name")
def activate(name: str) -> None:
    r"""Activate a suspended user again.

    \b
    Example:
        provisionerd user activate alice
    """
    _set_status(name, UserStatus.ACTIVE)


def _set_status(name: str, status: UserStatus) -> None:
    def here(session: Session, _actor: Actor) -> str:
        found = get_user(session, name)
        set_user_status(session, found, status)
        return found.username

    username = change(here, lambda client: people.set_status(client, name, status), look=LOOK)
    click.echo(f"User {username} is {status}.")


def _make_default(session: Session) -> Organization | None:
    if list_organizations(session, limit=1):
        return None
    try:
        return create_organization(session, name=DEFAULT_ORGANIZATION, is_default=True)
    except ConflictError:
        # Another command created it at the same time.
        return None
