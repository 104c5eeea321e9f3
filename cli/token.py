"""``provisionerd token``: tokens for the HTTP API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from functools import partial

import click
from sqlalchemy.orm import Session

from api.reads.people import TokenList
from cli.actor import as_option
from cli.changing import change
from cli.confirming import confirm, yes_option
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document
from cli.remote import people
from cli.remote.client import route
from cli.table import WIDE, Column, Columns, age
from db.catalog.audit import Actor, AuditAction, audit
from db.catalog.people import get_user
from db.catalog.tokens import DEFAULT_LIFETIME, NewToken, create_token, revoke_token
from db.reads.tokens import TokenListing, find_token
from db.schema.enums import TokenScope

COLUMNS: Columns[TokenListing] = {
    "ID": lambda row: row.id,
    "USER": lambda row: row.username,
    "NAME": lambda row: "(session)" if row.is_session else row.name,
    "SCOPE": lambda row: row.scope,
    "CREATED": Column(lambda row: row.created_at, WIDE),
    "AGE": Column(lambda row: age(row.created_at), 2),
    "EXPIRES": Column(lambda row: row.expires_at, 1),
    "LAST USED": Column(lambda row: age(row.last_used_at), 3),
}
KIND = Kind(plural="tokens", columns=COLUMNS, name=lambda row: row.id)


@click.group(cls=AliasGroup)
def token() -> None:
    r"""Manage the tokens that users send to the HTTP API.

    \b
    Example:
        provisionerd token create --user alice
    """


@token.command()
@click.option("--user", "username", required=True, help="User that the token belongs to.")
@click.option("--name", default="", help="A name, to tell tokens apart.")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in TokenScope]),
    default=TokenScope.ADMIN.value,
    show_default=True,
    help="The most that it may do; the user's roles limit it, too.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, 365, min_open=True),
    default=DEFAULT_LIFETIME.days,
    show_default=True,
    help="How long it is valid.",
)
@as_option
@output_option
def create(
    *, username: str, name: str, scope: str, days: float, as_user: str | None, output: str
) -> None:
    r"""Create a token. It is shown only once.

    \b
    Example:
        provisionerd token create --user alice --scope build --days 7
    """
    lifetime = timedelta(days=days)

    def here(session: Session, actor: Actor) -> tuple[str, NewToken]:
        user = get_user(session, username)
        made = create_token(
            session, user_id=user.id, name=name, scope=TokenScope(scope), lifetime=lifetime
        )
        audit(
            session,
            actor=actor,
            action=AuditAction.CREATE,
            resource=("token", user.id, made.id),
            facts={"username": user.username, "scope": made.scope},
        )
        return user.username, made

    owner, made = change(
        here,
        lambda client: people.create_token(client, username, name, TokenScope(scope), lifetime),
        look="token list",
        as_user=as_user,
    )
    if output in DOCUMENTS:
        fields = asdict(made)
        document = {"token": fields.pop("text"), "username": owner, "name": name, **fields}
        print_document(document, output)
    else:
        click.echo(made.text)


@token.command("list")
@click.option("--user", "username", help="Only tokens of this user.")
@listing_options(KIND)
def list_(username: str | None, listing: Listing[TokenListing]) -> None:
    r"""List the tokens, without their secrets.

    \b
    Example:
        provisionerd token list --user alice
    """
    listing.print_answers(partial(TokenList, username=username))


@token.command()
@click.argument("token_id", metavar="ID")
@yes_option
@as_option
def revoke(token_id: str, yes: bool, as_user: str | None) -> None:
    r"""Revoke the token with this ID.

    The sessions that were opened with it end, too.

    \b
    Example:
        provisionerd token revoke 9XdbNfb3A1
    """
    # The whole token is accepted, too: it begins with the id.
    wanted = token_id.partition("-")[0]
    confirm(f"Revoke the token {wanted} and its sessions?", yes=yes)
    change(
        lambda session, actor: _revoke(session, actor, wanted),
        lambda client: client.ask("DELETE", route("tokens", wanted)),
        look="token list",
        as_user=as_user,
    )
    click.echo(f"Token {wanted} was revoked.")


def _revoke(session: Session, actor: Actor, token_id: str) -> None:
    owner = find_token(session, None, token_id=token_id)
    revoke_token(session, token_id)
    audit(
        session,
        actor=actor,
        action=AuditAction.DELETE,
        resource=("token", owner.user_id, token_id),
        facts={"username": owner.username},
    )
