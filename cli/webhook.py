"""``provisionerd webhook``: addresses that events are sent to."""

from __future__ import annotations

import uuid

import click
from sqlalchemy.orm import Session

from api.reads.people import WebhookList
from cli.actor import as_option
from cli.changing import change
from cli.confirming import confirm, yes_option
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.opening import find_organization
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document
from cli.remote import webhooks
from cli.remote.webhooks import one_of
from cli.table import Column, Columns, age
from db.catalog.audit import SITE, Actor, AuditAction, audit
from db.catalog.people import get_user
from db.catalog.webhooks import (
    WebhookListing,
    create_webhook,
    delete_webhook,
    list_webhooks,
    replay_webhook,
    send_test,
)
from db.jobs.events import EventType

COLUMNS: Columns[WebhookListing] = {
    "ID": lambda row: row.id,
    "URL": lambda row: row.url,
    "TYPES": Column(lambda row: ",".join(row.types) or "all", 4),
    "WAITING": Column(lambda row: row.waiting, 2),
    "PARKED": Column(lambda row: row.parked, 1),
    "LAST DELIVERED": Column(lambda row: age(row.last_delivered_at), 3),
    "LAST ERROR": lambda row: row.last_error,
}
LOOK = "webhook list"
KIND = Kind(plural="webhooks", columns=COLUMNS, name=lambda row: row.id)


@click.group(cls=AliasGroup)
def webhook() -> None:
    r"""Manage the addresses that events are sent to; `provisionerd serve` sends them.

    \b
    Example:
        provisionerd webhook create https://example.com/hook --user alice
    """


@webhook.command()
@click.argument("url")
@click.option("--user", "username", required=True, help="User that the webhook belongs to.")
@click.option("--organization", help="Only events of this organization; otherwise all.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice([kind.value for kind in EventType]),
    help="Only events of this type; may be given several times.",
)
@as_option
@output_option
def create(
    *,
    url: str,
    username: str,
    organization: str | None,
    types: tuple[str, ...],
    as_user: str | None,
    output: str,
) -> None:
    r"""Create a webhook. Its secret is shown only once.

    \b
    Example:
        provisionerd webhook create https://example.com/hook --user alice --type job.failed
    """

    def here(session: Session, actor: Actor) -> tuple[uuid.UUID, str]:
        home = find_organization(session, organization) if organization else None
        made = create_webhook(
            session,
            url=url,
            created_by=get_user(session, username).id,
            organization_id=home.id if home else None,
            types=types,
        )
        audit(
            session,
            actor=actor,
            action=AuditAction.CREATE,
            organization_id=home.id if home else SITE,
            resource=("webhook", made.id, url),
        )
        return made.id, made.secret

    webhook_id, secret = change(
        here,
        lambda client: webhooks.create(client, url, username, organization, types),
        look=LOOK,
        as_user=as_user,
    )
    if output in DOCUMENTS:
        print_document({"id": webhook_id, "url": url, "secret": secret}, output)
    else:
        click.echo(f"Webhook {webhook_id} was created. Its secret: {secret}")


@webhook.command("list")
@listing_options(KIND)
def list_(listing: Listing[WebhookListing]) -> None:
    r"""List the webhooks and how they fare.

    \b
    Example:
        provisionerd webhook list
    """
    listing.print_answers(WebhookList)


@webhook.command()
@click.argument("webhook_id", metavar="ID")
def test(webhook_id: str) -> None:
    r"""Send a test event to a webhook.

    \b
    Example:
        provisionerd webhook test 3f2a0c1e
    """
    change(
        lambda session, _actor: send_test(session, _found(session, webhook_id).id),
        lambda client: webhooks.act(client, "POST", webhook_id, "test"),
        look=LOOK,
    )
    click.echo("A test event will be sent; `provisionerd webhook list` shows the result.")


@webhook.command()
@click.argument("webhook_id", metavar="ID")
def replay(webhook_id: str) -> None:
    r"""Send the events again that a webhook has not accepted.

    These are the events whose attempts are used up.

    \b
    Example:
        provisionerd webhook replay 3f2a0c1e
    """
    count = change(
        lambda session, _actor: replay_webhook(session, _found(session, webhook_id).id),
        lambda client: webhooks.replay(client, webhook_id),
        look=LOOK,
    )
    click.echo(f"{count} events will be sent again.")


@webhook.command()
@click.argument("webhook_id", metavar="ID")
@yes_option
@as_option
def delete(webhook_id: str, yes: bool, as_user: str | None) -> None:
    r"""Delete a webhook, with the events that it has not got yet.

    \b
    Example:
        provisionerd webhook delete 3f2a0c1e
    """
    confirm(f"Delete the webhook {webhook_id} and its undelivered events?", yes=yes)
    deleted = change(
        lambda session, actor: _delete(session, actor, webhook_id),
        lambda client: webhooks.act(client, "DELETE", webhook_id),
        look=LOOK,
        as_user=as_user,
    )
    click.echo(f"Webhook {deleted} was deleted.")


def _delete(session: Session, actor: Actor, prefix: str) -> uuid.UUID:
    found = _found(session, prefix)
    delete_webhook(session, found.id)
    audit(
        session,
        actor=actor,
        action=AuditAction.DELETE,
        resource=("webhook", found.id, found.url),
    )
    return found.id


def _found(session: Session, prefix: str) -> WebhookListing:
    rows = {row.id: row for row in list_webhooks(session)}
    return rows[one_of(rows, prefix)]
