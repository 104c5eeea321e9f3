"""Creating and revoking tokens of the HTTP API."""

from __future__ import annotations

import hashlib
import secrets
import string
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import InvalidError, NotFoundError
from db.schema.enums import TokenScope
from db.schema.tables import ApiToken
from db.schema.tables.tokens import TOKEN_ID_LENGTH
from db.texts import check_storable

SECRET_LENGTH = 22  #: 131 bits
MAX_LIFETIME = timedelta(days=365)
DEFAULT_LIFETIME = timedelta(days=30)
NAME_LIMIT = 64
_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A token that was just made: the only time that its text is known."""

    id: str
    text: str  #: the id, a hyphen and the secret, as clients send it
    scope: TokenScope
    expires_at: datetime


def create_token(
    session: Session,
    *,
    user_id: uuid.UUID,
    name: str = "",
    scope: TokenScope = TokenScope.ADMIN,
    lifetime: timedelta = DEFAULT_LIFETIME,
) -> NewToken:
    """Create a token for the user.

    Raises:
        InvalidError: the name or the lifetime is not allowed.
    """
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise InvalidError(f"a token lives for at most {MAX_LIFETIME.days} days")
    return _insert(session, user_id, name=name, scope=scope, expires_at=func.now() + lifetime)


def derive_token(session: Session, parent_id: str, *, name: str = "session") -> NewToken:
    """Create a token that has the user, the scope and the expiry of another, and ends with it.

    Raises:
        NotFoundError: there is no such token.
    """
    parent = session.get(ApiToken, parent_id)
    if parent is None:
        raise NotFoundError("there is no such token")
    # A session key that makes another one leaves a chain of one link, not of many.
    return _insert(
        session,
        parent.user_id,
        name=name,
        scope=parent.scope,
        expires_at=parent.expires_at,
        parent_id=parent.parent_id or parent.id,
    )


def revoke_token(session: Session, token_id: str, *, user_id: uuid.UUID | None = None) -> None:
    """Delete a token and the session keys that were made by it: they are refused at once.

    Args:
        user_id: only a token of this user; None for any.

    Raises:
        NotFoundError: there is no such token.
    """
    statement = delete(ApiToken).where(ApiToken.id == token_id)
    if user_id is not None:
        statement = statement.where(ApiToken.user_id == user_id)
    if session.execute(statement.returning(ApiToken.id)).first() is None:
        raise NotFoundError(f"there is no token {token_id!r}")


def expire_token(session: Session, token_id: str, *, user_id: uuid.UUID) -> None:
    """End a token of the user now, and the session keys that were made by it; they stay listed.

    Raises:
        NotFoundError: the user has no such token.
    """
    ended = session.execute(
        sql("""
            UPDATE api_tokens
            SET expires_at = least(expires_at, now())
            WHERE user_id = :user_id AND (id = :id OR parent_id = :id)
            RETURNING id
        """),
        {"id": token_id, "user_id": user_id},
    ).scalars()
    if token_id not in set(ended):
        raise NotFoundError(f"there is no token {token_id!r}")


def record_use(session: Session, token_id: str) -> None:
    """Record that the token was used now. Requests that use it at the same time do not wait."""
    session.execute(
        sql("""
            UPDATE api_tokens
            SET last_used_at = now()
            WHERE id = (SELECT id FROM api_tokens WHERE id = :id FOR UPDATE SKIP LOCKED)
        """),
        {"id": token_id},
    )


def digest_of(secret: str) -> bytes:
    """Return what is stored of a secret. It is random, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def _insert(
    session: Session,
    user_id: uuid.UUID,
    *,
    name: str,
    scope: TokenScope,
    expires_at: object,
    parent_id: str | None = None,
) -> NewToken:
    if len(check_storable("name of a token", name)) > NAME_LIMIT:
        raise InvalidError(f"the name of a token has at most {NAME_LIMIT} characters")
    secret = _random_text(SECRET_LENGTH)
    row = ApiToken(
        id=_random_text(TOKEN_ID_LENGTH),
        user_id=user_id,
        parent_id=parent_id,
        name=name,
        secret_sha256=digest_of(secret),
        scope=scope,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return NewToken(
        id=row.id, text=f"{row.id}-{secret}", scope=row.scope, expires_at=row.expires_at
    )


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
