"""Tokens of the HTTP API, with the rights of their users."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.catalog.tokens import digest_of
from db.engine import sql
from db.reads.accounts import MEMBERSHIPS
from db.reads.listings import LIMIT, read_listings, read_row
from db.schema.enums import TokenScope, UserStatus

# Uses: pk_api_tokens, pk_users, ix_organization_members_user_id.
_HOLDER = sql(f"""
    SELECT token.id, token.secret_sha256, token.scope::text, token.expires_at,
           token.expires_at <= now() AS is_expired,
           token.last_used_at IS NULL OR token.last_used_at < now() - interval '1 minute'
               AS is_use_unrecorded,
           person.id AS user_id, person.username, person.status::text, person.rbac_roles,
           {MEMBERSHIPS} AS memberships
    FROM api_tokens AS token
    JOIN users AS person ON person.id = token.user_id AND NOT person.deleted
    WHERE token.id = :id
""")  # noqa: S608 - made of constants
# Uses: uq_users_username, ix_organization_members_user_id.
_PERSON = sql(f"""
    SELECT '' AS id, 'admin' AS scope, now() + interval '1 hour' AS expires_at,
           false AS is_expired, false AS is_use_unrecorded,
           person.id AS user_id, person.username, person.status::text, person.rbac_roles,
           {MEMBERSHIPS} AS memberships
    FROM users AS person
    WHERE lower(person.username) = lower(:username) AND NOT person.deleted
""")  # noqa: S608 - made of constants
# Uses: ix_api_tokens_user_id, pk_users.
_LISTING = """
    SELECT token.id, token.name, person.username, token.user_id, token.scope::text,
           token.parent_id IS NOT NULL AS is_session,
           token.expires_at <= now() AS is_expired,
           token.created_at, token.expires_at, token.last_used_at
    FROM api_tokens AS token
    JOIN users AS person ON person.id = token.user_id
"""
_NOBODY = bytes(32)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The user that a token belongs to, with the roles that count now."""

    token_id: str
    scope: TokenScope
    expires_at: datetime
    is_expired: bool
    is_use_unrecorded: bool  #: whether ``last_used_at`` is more than a minute old
    user_id: uuid.UUID
    username: str
    status: UserStatus
    site_roles: frozenset[str]
    memberships: Mapping[uuid.UUID, frozenset[str]]  #: the roles in each organization


def find_holder(session: Session, token_id: str, secret: str) -> Holder | None:
    """Return the holder of a token, also of an expired one; None if id or secret are wrong.

    The secret is compared in constant time, and also if there is no such token.
    """
    row = session.execute(_HOLDER, {"id": token_id}).one_or_none()
    expected = bytes(row.secret_sha256) if row else _NOBODY
    is_right = hmac.compare_digest(digest_of(secret), expected)
    return _holder(row) if row is not None and is_right else None


def find_person(session: Session, username: str) -> Holder | None:
    """Return the user of that name as the holder of a token without limits, or None.

    For a user that an authenticating proxy has already identified.
    """
    row = session.execute(_PERSON, {"username": username}).one_or_none()
    return _holder(row) if row is not None else None


@dataclass(frozen=True, kw_only=True)
class TokenListing:
    """A token, without its secret."""

    id: str
    name: str
    username: str
    user_id: uuid.UUID
    scope: str
    is_session: bool  #: made by another token, and ends with it
    is_expired: bool
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


def list_tokens(
    session: Session, *, user_id: uuid.UUID | None = None, limit: int = LIMIT
) -> Sequence[TokenListing]:
    """Return the tokens of one user or of all, by user, the newest first."""
    return read_listings(
        session,
        TokenListing,
        f"""
        {_LISTING}
        WHERE CAST(:user_id AS uuid) IS NULL OR token.user_id = :user_id
        ORDER BY person.username, token.created_at DESC, token.id
        LIMIT :limit
        """,
        user_id=user_id,
        limit=limit,
    )


def find_token(session: Session, user_id: uuid.UUID | None, *, token_id: str) -> TokenListing:
    """Return a token.

    Args:
        user_id: only a token of this user; None for any.

    Raises:
        NotFoundError: there is none with this id.
    """
    return _one(session, "token.id = :wanted", user_id, token_id)


def find_named_token(session: Session, user_id: uuid.UUID, *, name: str) -> TokenListing:
    """Return a token of the user; of several with this name, one that is valid, or the newest.

    Raises:
        NotFoundError: the user has none with this name.
    """
    return _one(session, "token.name = :wanted", user_id, name)


def _one(session: Session, condition: str, user_id: uuid.UUID | None, wanted: str) -> TokenListing:
    row = read_row(
        session,
        f"""
        {_LISTING}
        WHERE (CAST(:user_id AS uuid) IS NULL OR token.user_id = :user_id) AND {condition}
        ORDER BY token.expires_at <= now(), token.created_at DESC, token.id
        LIMIT 1
        """,
        missing=f"there is no token {wanted!r}",
        user_id=user_id,
        wanted=wanted,
    )
    return TokenListing(**row._asdict())


def _holder(row: Row[Any]) -> Holder:
    return Holder(
        token_id=row.id,
        scope=TokenScope(row.scope),
        expires_at=row.expires_at,
        is_expired=row.is_expired,
        is_use_unrecorded=row.is_use_unrecorded,
        user_id=row.user_id,
        username=row.username,
        status=UserStatus(row.status),
        site_roles=frozenset(row.rbac_roles),
        memberships={uuid.UUID(id_): frozenset(roles) for id_, roles in row.memberships.items()},
    )
