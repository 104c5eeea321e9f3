"""``provisionerd group``: groups, their members and allowances."""

from __future__ import annotations

from collections.abc import Callable

import click
from sqlalchemy.orm import Session

from api.reads.people import GroupList
from cli.changing import change, no_organization, organization_route, unless_seen
from cli.lazy import AliasGroup
from cli.listing import Kind, list_command
from cli.opening import find_organization
from cli.options import organization_option
from cli.remote.answers import field_of
from cli.remote.client import Client
from cli.table import Column, Columns
from db.catalog.audit import Actor
from db.catalog.people import (
    add_group_member,
    create_group,
    get_group,
    get_user,
    remove_group_member,
    set_quota_allowance,
)
from db.reads.people import GroupListing
from db.schema.tables import Group

COLUMNS: Columns[GroupListing] = {
    "NAME": lambda row: row.name,
    "ORGANIZATION": Column(lambda row: row.organization_name, 1),
    "ALLOWANCE": lambda row: row.quota_allowance,
    "MEMBERS": lambda row: ",".join(row.members),
}
LOOK = "group list"
KIND = Kind(plural="groups", columns=COLUMNS, name=lambda row: row.name)


def member_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments GROUP and USER, and the option for the organization."""
    for add_parameter in (organization_option, click.argument("user"), click.argument("group")):
        command = add_parameter(command)
    return command


@click.group(cls=AliasGroup)
def group() -> None:
    """Manage groups, their members and their allowances.

    A user's budget is the sum of the allowances of all their groups, in credits
    per day. Every member of an organization is in its group Everyone.
    """


@group.command()
@click.argument("name")
@click.option(
    "--allowance", type=int, default=0, show_default=True, help="Credits per day for each member."
)
@organization_option
def create(name: str, allowance: int, organization: str | None) -> None:
    r"""Create a group.

    \b
    Example:
        provisionerd group create developers --allowance 40
    """
    change(
        lambda session, _actor: create_group(
            session,
            name=name,
            organization=find_organization(session, organization),
            quota_allowance=allowance,
        ),
        lambda client: _ask(
            client, "POST", organization, body={"name": name, "quota_allowance": allowance}
        ),
        look=LOOK,
    )
    click.echo(f"Group {name} allows each member {allowance} credits per day.")


@group.command()
@member_arguments
def add(group: str, user: str, organization: str | None) -> None:
    r"""Add USER to GROUP.

    \b
    Example:
        provisionerd group add developers alice
    """
    name = _change_members(add_group_member, "PUT", group, user, organization)
    click.echo(f"User {user} is a member of group {name}.")


@group.command()
@member_arguments
def remove(group: str, user: str, organization: str | None) -> None:
    r"""Remove USER from GROUP.

    \b
    Example:
        provisionerd group remove developers alice
    """
    name = _change_members(remove_group_member, "DELETE", group, user, organization)
    click.echo(f"User {user} is not a member of group {name} any more.")


@group.command("set-allowance")
@click.argument("group")
@click.argument("credits_per_day", metavar="CREDITS", type=int)
@organization_option
def set_allowance(group: str, credits_per_day: int, organization: str | None) -> None:
    r"""Set how many credits per day GROUP gives each member.

    \b
    Example:
        provisionerd group set-allowance Everyone 20
    """
    name = change(
        lambda session, _actor: _set_allowance(session, group, organization, credits_per_day),
        lambda client: _ask(
            client,
            "PUT",
            organization,
            group,
            "allowance",
            body={"quota_allowance": credits_per_day},
        ),
        look=LOOK,
    )
    click.echo(f"Group {name} allows each member {credits_per_day} credits per day.")


group.add_command(
    list_command(
        KIND,
        GroupList,
        description=r"""List the groups and their members.

        \b
        Example:
            provisionerd group list
        """,
    )
)


def _change_members(
    make: Callable[..., None], method: str, group: str, user: str, organization: str | None
) -> str:
    """Add or remove the user; return the name of the group."""

    def here(session: Session, _actor: Actor) -> str:
        found = _find(session, group, organization)
        make(session, group=found, user=get_user(session, user))
        return found.name

    return change(
        here,
        lambda client: _ask(client, method, organization, group, "members", user),
        look=LOOK,
    )


def _set_allowance(
    session: Session, name: str, organization: str | None, credits_per_day: int
) -> str:
    found = _find(session, name, organization)
    set_quota_allowance(session, found, credits_per_day)
    return found.name


def _find(session: Session, name: str, organization: str | None) -> Group:
    return get_group(session, name=name, organization=find_organization(session, organization))


def _ask(
    client: Client, method: str, organization: str | None, *parts: str, body: object = None
) -> str:
    """Send a change to the routes of an organization's groups; return the name of the group."""
    with unless_seen(no_organization(organization)):
        answer = client.ask(method, organization_route(organization, "groups", *parts), body=body)
    return field_of(client, answer, "name", str)
