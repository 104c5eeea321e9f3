"""The gate: who makes a request. It opens the transaction in which the request is answered.

A token is read from where Coder's clients send it. It is looked up for each request, so a revoked
token, a suspended user or a role that was taken away counts at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from api.caller import Caller
from api.errors import ApiError, forbidden, signed_out
from api.site import Site
from db.catalog.audit import SITE, Actor, AuditAction, audit
from db.catalog.tokens import SECRET_LENGTH, record_use
from db.reads.tokens import Holder, find_holder, find_person
from db.schema.enums import TokenScope, UserStatus
from db.schema.tables.tokens import TOKEN_ID_LENGTH
from db.texts import storable

COOKIE = "coder_session_token"
HEADER = "Coder-Session-Token"
LOGIN = "/login"
PROXY_HEADER = "X-Forwarded-User"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_PAGES = frozenset({"same-origin", "none"})
SHOWN_CHARACTERS = 200  #: of a User-Agent


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request that was let in: its transaction and its caller."""

    session: Session
    caller: Caller
    actor: Actor  #: the caller, for the audit log
    site: Site

    def audit(
        self,
        action: AuditAction,
        *,
        resource: tuple[str, uuid.UUID, str],
        organization_id: uuid.UUID = SITE,
        diff: Mapping[str, object] | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Record a change by the caller, as ``db.catalog.audit.audit`` does."""
        audit(
            self.session,
            actor=self.actor,
            action=action,
            resource=resource,
            organization_id=organization_id,
            diff=diff,
            facts=facts,
        )


@dataclass(frozen=True)
class Gate:
    """The gate of one request."""

    connection: HTTPConnection

    @property
    def site(self) -> Site:
        """What all requests of this process share."""
        site: Site = self.connection.app.state.site
        return site

    @contextmanager
    def enter(self, scope: TokenScope = TokenScope.READ) -> Iterator[Visit]:
        """Open the transaction of the request; it is committed at the end of the block.

        Raises:
            ApiError: there is no valid token, the user is not active, or the token's scope does
                not include ``scope``.
        """
        with self.site.database.begin() as session:
            caller = self._caller(session)
            if not caller.scope.includes(scope):
                raise forbidden(f"The token has the scope {caller.scope}; this needs {scope}.")
            yield Visit(session=session, caller=caller, actor=self._actor(caller), site=self.site)

    def _caller(self, session: Session) -> Caller:
        holder = self._holder(session)
        if holder.status is not UserStatus.ACTIVE:
            raise ApiError(
                401,
                f'User is not active (status = "{holder.status}").'
                " Contact an admin to reactivate your account.",
            )
        if holder.is_use_unrecorded:
            record_use(session, holder.token_id)
        return Caller.of(holder)

    def _holder(self, session: Session) -> Holder:
        given = token_of(self.connection)
        if not given:
            return self._vouched_for(session)
        token_id, _, secret = given.partition("-")
        if len(token_id) != TOKEN_ID_LENGTH or len(secret) != SECRET_LENGTH or not given.isascii():
            raise signed_out("Invalid API key format: expected an id, a hyphen and a secret.")
        holder = find_holder(session, token_id, secret)
        if holder is None:
            raise signed_out("API key is invalid.")
        if holder.is_expired:
            raise signed_out(f'API key expired at "{holder.expires_at.isoformat()}".')
        return holder

    def _vouched_for(self, session: Session) -> Holder:
        """Return the user that an authenticating proxy names."""
        username = self.connection.headers.get(PROXY_HEADER, "")
        if username and is_trusted(self.connection, self.site):
            holder = find_person(session, username)
            if holder is not None:
                return holder
        raise signed_out(f'Cookie "{COOKIE}" or query parameter must be provided.')

    def _actor(self, caller: Caller) -> Actor:
        agent = self.connection.headers.get("User-Agent", "")[:SHOWN_CHARACTERS]
        return Actor(
            username=caller.username,
            user_id=caller.user_id,
            origin={
                "ip": address_of(self.connection, self.site),
                "user_agent": storable(agent),
                "token_id": caller.token_id,
            },
        )


async def _gate(connection: HTTPConnection) -> Gate:
    gate = Gate(connection)
    gate.site.rate.count(
        token_of(connection)[:TOKEN_ID_LENGTH] or address_of(connection, gate.site)
    )
    return gate


GateOf = Annotated[Gate, Depends(_gate)]
"""The parameter of a route through which it enters."""


def token_of(connection: HTTPConnection) -> str:
    """Return the token that a request carries, or an empty text.

    Raises:
        ApiError: a page of another site made the browser send a changing request with its cookie.
    """
    cookie = connection.cookies.get(COOKIE, "")
    query, headers = connection.query_params, connection.headers
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    others = (
        query.get(COOKIE),
        headers.get(HEADER),
        bearer.strip() if scheme.lower() == "bearer" else "",
        query.get("access_token"),
        # Of a login link, which is used up by one request.
        query.get("token") if connection.url.path == LOGIN else "",
    )
    other = next((given for given in others if given), "")
    if cookie:
        _check_origin(connection, cookie, other)
    return cookie or other


def _check_origin(connection: HTTPConnection, cookie: str, other: str) -> None:
    if connection.scope.get("method", "GET") in SAFE_METHODS:
        return
    if other and other != cookie:
        raise forbidden("The cookie and the other token differ.")
    # Only browsers send this header; other clients have no pages of strangers.
    if connection.headers.get("Sec-Fetch-Site", "none") not in OWN_PAGES:
        raise forbidden("Requests from pages of other sites are refused.")


def is_trusted(connection: HTTPConnection, site: Site) -> bool:
    """Return whether the request comes from one of the trusted proxies."""
    if connection.client is None or not site.trusted_proxies:
        return False
    try:
        address = ip_address(connection.client.host)
    except ValueError:
        return False
    return any(address in network for network in site.trusted_proxies)


def address_of(connection: HTTPConnection, site: Site) -> str:
    """Return the address of the client, as a trusted proxy says, or as the connection says."""
    direct = connection.client.host if connection.client else ""
    if not is_trusted(connection, site):
        return direct
    # The last one is what the proxy saw; a client could have written the others.
    return connection.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or direct
