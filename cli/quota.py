"""``provisionerd quota``: a user's budget and consumption, and what a build would do to them."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from api.reads.quotas import QuotaForecastShown, QuotaList, QuotaShown
from cli.lazy import AliasGroup
from cli.options import limit_option, organization_option, output_option
from cli.printing import DOCUMENTS, TABLE, print_document, print_facts, print_rows
from cli.reference import owner_and_name
from cli.source import read
from cli.table import Columns
from quota.decision import MAX_COST
from quota.details import QuotaDetails
from quota.forecast import QuotaForecast
from quota.overview import UserQuota

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
    rows = read(QuotaList(organization=organization, limit=limit))
    print_rows(rows, COLUMNS, output=output, kind="members")


def _show(user: str, organization: str | None, output: str) -> None:
    found = read(QuotaShown(user=user, organization=organization))
    if output in DOCUMENTS:
        print_document(
            {"user": found.user, "organization": found.organization, **asdict(found.details)},
            output,
        )
    else:
        _print(found.user, found.organization, found.details)


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
    name = owner_and_name(workspace, user)[1] if workspace else None
    found = read(
        QuotaForecastShown(user=user, cost=cost, workspace=name or None, organization=organization)
    )
    if output in DOCUMENTS:
        print_document(asdict(found.forecast), output)
    else:
        print_forecast(found.user, found.forecast)
    sys.exit(0 if found.forecast.ok else REFUSED)


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
