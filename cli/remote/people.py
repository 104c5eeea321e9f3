"""Changes to users, their roles and their tokens, over the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cli.changing import no_organization, organization_route, unless_seen
from cli.remote.answers import field_of, read_as
from cli.remote.client import Client, route
from db.catalog.people import check_roles
from db.catalog.tokens import NewToken
from db.errors import NotFoundError, unknown_user
from db.schema.enums import TokenScope, UserStatus
from db.schema.roles import OrganizationRole, SiteRole

VERBS = {UserStatus.ACTIVE: "activate", UserStatus.SUSPENDED: "suspend"}


def get_organization(client: Client, name: str | None) -> Any:
    """Return an organization; None: the default one.

    Raises:
        NotFoundError: the user of the token sees none of that name.
    """
    with unless_seen(no_organization(name)):
        return client.get(organization_route(name))


def get_user(client: Client, name: str) -> Any:
    """Return a user.

    Raises:
        NotFoundError: the user of the token sees none of that name.
    """
    with unless_seen(unknown_user(name)):
        return client.get(route("users", name))


def create_user(
    client: Client, name: str, email: str, roles: Sequence[str], organization: str | None
) -> str:
    """Create a user as a member of an organization; return the name of the organization."""
    home = get_organization(client, organization)
    body = {
        "username": name,
        "email": email,
        "roles": list(roles),
        "organization_ids": [field_of(client, home, "id", str)],
    }
    client.ask("POST", route("users"), body=body)
    return field_of(client, home, "name", str)


def set_roles(client: Client, name: str, roles: Sequence[str], organization: str | None) -> str:
    """Replace a user's roles in the site, or in an organization; return the user's name."""
    check_roles(SiteRole if organization is None else OrganizationRole, roles)
    user = field_of(client, get_user(client, name), "username", str)
    if organization is None:
        client.ask("PUT", route("users", name, "roles"), body={"roles": list(roles)})
        return user
    home = field_of(client, get_organization(client, organization), "name", str)
    stranger = NotFoundError(f"user {user!r} is not a member of organization {home!r}")
    path = organization_route(organization, "members", name, "roles")
    with unless_seen(stranger):
        client.ask("PUT", path, body={"roles": list(roles)})
    return user


def set_status(client: Client, name: str, status: UserStatus) -> str:
    """Suspend a user, or let the user in again; return the user's name."""
    with unless_seen(unknown_user(name)):
        answer = client.ask("PUT", route("users", name, "status", VERBS[status]))
    return field_of(client, answer, "username", str)


def create_token(
    client: Client, username: str, name: str, scope: TokenScope, lifetime: timedelta
) -> tuple[str, NewToken]:
    """Create a token for a user; return the user's name, and the token."""
    body = {
        "token_name": name,
        "scope": scope.value,
        "lifetime": lifetime // timedelta(microseconds=1) * 1000,
    }
    with unless_seen(unknown_user(username)):
        made = client.ask("POST", route("users", username, "keys", "tokens"), body=body)
    text = field_of(client, made, "key", str)
    token_id = text.partition("-")[0]
    shown = client.get(route("users", username, "keys", token_id))
    expires_at = field_of(client, shown, "expires_at", str)
    return field_of(client, shown, "username", str), NewToken(
        id=token_id,
        text=text,
        scope=scope,
        expires_at=read_as(client, datetime.fromisoformat, expires_at, "expires_at"),
    )
