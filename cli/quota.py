"""``provisionerd quota``: a user's budget by group, and consumption by workspace."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.opening import find_organization, transaction
from cli.options import organization_option, output_option
from cli.printing import JSON, print_facts, print_json, print_rows
from db.catalog.people import get_user
from quota.details import QuotaDetails, workspace_quota_details


@click.group()
def quota() -> None:
    """Show users' budgets and what consumes them."""


@quota.command()
@click.argument("user")
@organization_option
@output_option
def show(user: str, organization: str | None, output: str) -> None:
    r"""Show USER's budget by group and consumption by workspace, in credits per day.

    \b
    Example:
        provisionerd quota show alice
    """
    with transaction() as session:
        owner = get_user(session, user)
        home = find_organization(session, organization)
        details = workspace_quota_details(session, organization_id=home.id, owner_id=owner.id)
    if output == JSON:
        print_json({"user": owner.username, "organization": home.name, **asdict(details)})
    else:
        _print(owner.username, home.name, details)


def _print(user: str, organization: str, details: QuotaDetails) -> None:
    print_facts(
        {
            "User": user,
            "Organization": organization,
            "Budget": details.budget,
            "Consumed": details.credits_consumed,
            "Left": max(0, details.budget - details.credits_consumed),
        }
    )
    click.echo()
    print_rows(
        details.groups,
        {"GROUP": lambda row: row.group, "ALLOWANCE": lambda row: row.quota_allowance},
        output="table",
        kind=f"groups that give {user} anything",
    )
    click.echo()
    print_rows(
        details.workspaces,
        {
            "WORKSPACE": lambda row: row.workspace,
            "DAILY COST": lambda row: row.daily_cost,
            "LAST BUILD": lambda row: f"{row.transition} {row.status}",
        },
        output="table",
        kind=f"workspaces of {user} that have been built",
    )
