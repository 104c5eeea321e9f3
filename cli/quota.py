"""``provisionerd quota``: a user's budget and consumption, and what a build would do to them."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from cli.lazy import AliasGroup
from cli.opening import find_organization, transaction
from cli.options import limit_option, organization_option, output_option
from cli.printing import DOCUMENTS, TABLE, print_document, print_facts, print_rows
from cli.reference import owner_and_name
from cli.table import Columns
from db.catalog.people import get_user
from db.catalog.workspaces import get_workspace
from quota.decision import MAX_COST
from quota.details import QuotaDetails, workspace_quota_details
from quota.forecast import QuotaForecast, forecast_quota
from quota.overview import UserQuota, list_quotas

REFUSED = 3
COLUMNS: Columns[UserQuota] = {
    "USER": lambda row: row.user,
    "BUDGET": lambda row: row.budget,
    "CONSUMED": lambda row: row.credits_consumed,
    "LEFT": lambda row: row.left,
}


@click.group(cls=AliasGroup)
def quota() -> None:
    """Show users' budgets and what consumes them."""


@quota.command()
@click.argument("user", required=False)
@click.option("--all", "everybody", is_flag=True, help="All members of the organization.")
@limit_option
@organization_option
@output_option
def show(
    user: str | None, everybody: bool, limit: int, organization: str | None, output: str
) -> None:
    r"""Show USER's budget by group and consumption by workspace.

    The figures are credits per day. With --all: one line for each member, those
    that consume the most first.

    \b
    Example:
        provisionerd quota show alice
        provisionerd quota show --all
    """
    if everybody == bool(user):
        raise click.UsageError("give USER or --all")
    if user:
        _show(user, organization, output)
        return
    with transaction() as session:
        home = find_organization(session, organization)
        rows = list_quotas(session, organization_id=home.id, limit=limit)
    print_rows(rows, COLUMNS, output=output, kind="members")


def _show(user: str, organization: str | None, output: str) -> None:
    with transaction() as session:
        owner = get_user(session, user)
        home = find_organization(session, organization)
        details = workspace_quota_details(session, organization_id=home.id, owner_id=owner.id)
    if output in DOCUMENTS:
        print_document(
            {"user": owner.username, "organization": home.name, **asdict(details)}, output
        )
    else:
        _print(owner.username, home.name, details)


@quota.command()
@click.argument("user")
@click.option(
    "--cost",
    required=True,
    type=click.IntRange(0, MAX_COST),
    metavar="CREDITS",
    help="Daily cost of the build.",
)
@click.option(
    "--workspace", metavar="NAME", help="Workspace that is built again; otherwise a new one."
)
@organization_option
@output_option
def forecast(
    *, user: str, cost: int, workspace: str | None, organization: str | None, output: str
) -> None:
    r"""Say what the quota would decide now about a build of USER. Nothing is charged.

    `provisionerd workspace plan` finds out the cost of a build, and says the same.
    The exit status is 3 if the quota would refuse the build.

    \b
    Example:
        provisionerd quota forecast alice --cost 4
    """
    with transaction() as session:
        owner = get_user(session, user)
        name = owner_and_name(workspace, user)[1] if workspace else None
        built = get_workspace(session, owner=owner, name=name) if name else None
        home = built.organization_id if built else find_organization(session, organization).id
        now = forecast_quota(
            session,
            organization_id=home,
            owner_id=owner.id,
            daily_cost=cost,
            workspace_id=built.id if built else None,
        )
    if output in DOCUMENTS:
        print_document(asdict(now), output)
    else:
        print_forecast(owner.username, now)
    sys.exit(0 if now.ok else REFUSED)


def print_forecast(user: str, forecast: QuotaForecast) -> None:
    """Print what the quota would decide, in one sentence after its figures."""
    print_facts(
        {
            "Daily cost": forecast.daily_cost,
            "Budget": forecast.budget,
            "Consumed": f"{forecast.credits_consumed} by other workspaces",
        }
    )
    verdict = "would permit" if forecast.ok else "would refuse"
    click.echo(f"The quota of {user} {verdict} this build now.")


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
        output=TABLE,
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
        output=TABLE,
        kind=f"workspaces of {user} that have been built",
    )
