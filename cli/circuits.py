"""``provisionerd circuits``: template versions whose starts keep failing."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from api.reads.operations import CircuitList
from cli.actor import as_option
from cli.changing import change
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.opening import find_organization
from cli.options import organization_option
from cli.remote import templates
from cli.remote.answers import field_of
from cli.remote.client import Client, route
from cli.table import WIDE, Column, Columns, age, plain
from db.catalog.audit import Actor
from db.catalog.circuits import close_circuits
from db.catalog.templates import get_template, get_version
from db.reads.circuits import CircuitListing

COLUMNS: Columns[CircuitListing] = {
    "TEMPLATE": lambda row: row.template,
    "VERSION": lambda row: row.version,
    "REASON": lambda row: row.reason,
    "FAILURES": lambda row: row.failures,
    "STATE": lambda row: row.state,
    "OPEN UNTIL": Column(lambda row: row.open_until, 1),
    "FAILED": Column(lambda row: age(row.last_failed_at), 2),
    "LAST JOB": Column(lambda row: row.last_job_id, 3),
    "ORGANIZATION": Column(lambda row: row.organization, WIDE),
}
KIND = Kind(plural="circuits", columns=COLUMNS, name=lambda row: f"{row.template}/{row.version}")


@click.group(cls=AliasGroup, invoke_without_command=True)
@listing_options(KIND)
@click.pass_context
def circuits(context: click.Context, listing: Listing[CircuitListing]) -> None:
    r"""List template versions whose last starts failed, with the reason.

    \b
    While a circuit is open, automatic starts of the version are refused; when
    it is half-open, one is let through. A success closes it. After how many
    failures it opens: `limits set automatic_failures`, `personal_failures`.

    \b
    Example:
        provisionerd circuits
        provisionerd circuits close dev v2
    """
    if context.invoked_subcommand:
        return
    listing.print_answers(CircuitList)


@circuits.command()
@click.argument("name", metavar="TEMPLATE")
@click.argument("version")
@organization_option
@as_option
def close(name: str, version: str, organization: str | None, as_user: str | None) -> None:
    r"""Let VERSION of TEMPLATE start again, and forget its failures.

    \b
    Example:
        provisionerd circuits close dev v2
    """

    def here(session: Session, actor: Actor) -> list[str]:
        home = find_organization(session, organization)
        found = get_template(session, name=name, organization=home)
        version_id = get_version(session, template_id=found.id, name=version)
        return close_circuits(session, version_id, actor=actor)

    def there(client: Client) -> list[str]:
        template_id = templates.find_template(client, name, organization)
        found = templates.find_version(client, template_id, version)
        answer = client.ask("DELETE", route("templateversions", found, "circuits"))
        return field_of(client, answer, "reasons", list)

    reasons = change(here, there, look="circuits", as_user=as_user)
    click.echo(
        f"{plain(f'{name}/{version}')} starts again: {', '.join(map(plain, reasons))} is forgotten."
    )
