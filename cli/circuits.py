"""``provisionerd circuits``: template versions whose starts keep failing."""

from __future__ import annotations

import click

from api.reads.operations import CircuitList
from cli.actor import as_option, find_actor
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.opening import find_organization, transaction
from cli.options import organization_option
from cli.table import WIDE, Column, Columns, age, plain
from db.catalog.circuits import close_circuits
from db.catalog.templates import get_template, get_version
from db.reads.circuits import CircuitListing
from db.schema.tables import TemplateVersion

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
@click.argument("template")
@click.argument("version")
@organization_option
@as_option
def close(template: str, version: str, organization: str | None, as_user: str | None) -> None:
    r"""Let VERSION of TEMPLATE start again, and forget its failures.

    \b
    Example:
        provisionerd circuits close dev v2
    """
    with transaction() as session:
        found = get_template(
            session, name=template, organization=find_organization(session, organization)
        )
        version_id = get_version(session, template_id=found.id, name=version)
        reasons = close_circuits(
            session,
            found,
            session.get_one(TemplateVersion, version_id),
            actor=find_actor(session, as_user),
        )
    click.echo(f"{plain(f'{template}/{version}')} starts again: {', '.join(reasons)} is forgotten.")
