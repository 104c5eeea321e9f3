"""Logging in and out, and tokens. There are no passwords: a token comes from the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi import APIRouter

from api.answers import Message
from api.errors import ApiError, forbidden, refused
from api.gate import Gate, GateOf, Visit
from api.models.requests import CreateToken, Login
from api.routes.finding import ME, or_hidden, visible_user
from db.catalog.audit import AuditAction
from db.catalog.tokens import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    create_token,
    derive_token,
    expire_token,
    revoke_token,
)
from db.errors import InvalidError, NotFoundError
from db.reads.contract import ContractModel, UtcTime
from db.reads.shapes import NO_TIME, User
from db.reads.tokens import TokenListing, find_named_token, find_token, list_tokens
from db.schema.enums import TokenScope
from db.schema.tables import ApiToken

router = APIRouter(prefix="/api/v2", tags=["sessions"])
ALL_SCOPES = {"", "all", "coder:all"}
BROWSER = "browser"
"""The name of the token of a browser's session."""
EVERY_TOKEN = 10_000


class NewKey(ContractModel):
    """A token, which is shown only once."""

    key: str


class ShownToken(ContractModel):
    """A token without its secret."""

    id: str
    user_id: str
    username: str
    created_at: UtcTime
    updated_at: UtcTime
    expires_at: UtcTime
    last_used: UtcTime
    login_type: str = "token"
    token_name: str
    scope: str
    lifetime_seconds: int


@router.post("/users/login", status_code=201)
async def login(_body: Login) -> NewKey:
    """Refuse: there are no passwords."""
    raise ApiError(
        403,
        "Passwords are not used here.",
        "Make a token: `provisionerd token create --user NAME`.",
    )


@router.post("/users/logout")
def logout(gate: GateOf) -> Message:
    """Revoke the session key of this request; a token that a person made stays."""
    with gate.enter() as visit:
        # Whom a proxy vouches for has none.
        if own := visit.caller.token_id:
            token = find_token(visit.session, visit.caller.user_id, token_id=own)
            if _is_of_a_login(token):
                revoke_token(visit.session, own)
        return Message(message="Logged out!")


def _is_of_a_login(token: TokenListing) -> bool:
    return token.is_session or token.name == BROWSER


@router.post("/users/{user}/keys", status_code=201)
def make_session(gate: GateOf, user: str) -> NewKey:
    """Make a session key: it has the scope and the expiry of the token that it is made by."""
    with gate.enter() as visit:
        _own(visit, user)
        if not visit.caller.token_id:
            raise refused("A session key is made by a token.")
        made = derive_token(visit.session, visit.caller.token_id)
        visit.audit(
            AuditAction.LOGIN,
            resource=("token", visit.caller.user_id, made.id),
        )
        return NewKey(key=made.text)


@router.post("/users/{user}/keys/tokens", status_code=201)
def make_token(gate: GateOf, user: str, body: CreateToken) -> NewKey:
    """Make a token; its scope is at most that of the token of this request."""
    with gate.enter(TokenScope.ADMIN) as visit:
        owner = visible_user(visit, user)
        if owner.id != visit.caller.user_id and not visit.caller.is_owner:
            raise forbidden("Only owners make tokens for other users.")
        lifetime = (
            timedelta(microseconds=body.lifetime // 1000) if body.lifetime else DEFAULT_LIFETIME
        )
        try:
            made = create_token(
                visit.session,
                user_id=owner.id,
                name=body.token_name,
                scope=_scope(body),
                lifetime=lifetime,
            )
        except InvalidError as error:
            raise refused("Validation failed.", str(error), field="lifetime") from error
        visit.audit(
            AuditAction.CREATE,
            resource=("token", owner.id, made.id),
            facts={"username": owner.username, "scope": made.scope},
        )
        return NewKey(key=made.text)


@router.get("/users/{user}/keys/tokens")
def show_tokens(
    gate: GateOf, user: str, *, include_all: bool = False, include_expired: bool = False
) -> list[ShownToken]:
    """List the tokens of a user, or of all users."""
    with gate.enter() as visit:
        owner = visible_user(visit, user)
        is_other = include_all or owner.id != visit.caller.user_id
        if is_other and not visit.caller.is_owner:
            raise forbidden("Only owners see tokens of other users.")
        tokens = list_tokens(
            visit.session, user_id=None if include_all else owner.id, limit=EVERY_TOKEN
        )
        return [_shown(token) for token in tokens if include_expired or not token.is_expired]


@router.get("/users/{user}/keys/tokens/tokenconfig")
def token_config(gate: GateOf, user: str) -> dict[str, Any]:
    """Return the longest lifetime of a token, in nanoseconds."""
    with gate.enter() as visit:
        visible_user(visit, user)
        return {"max_token_lifetime": int(MAX_LIFETIME.total_seconds()) * 10**9}


@router.get("/users/{user}/keys/tokens/{name}")
def show_named_token(gate: GateOf, user: str, name: str) -> ShownToken:
    """Return a token of a user by its name."""
    with gate.enter() as visit:
        owner = _holder(visit, user)
        with or_hidden():
            return _shown(find_named_token(visit.session, owner.id, name=name))


@router.get("/users/{user}/keys/{token}")
def show_token(gate: GateOf, user: str, token: str) -> ShownToken:
    """Return a token of a user by its id, also a session key."""
    with gate.enter() as visit:
        owner = _holder(visit, user)
        with or_hidden():
            return _shown(find_token(visit.session, owner.id, token_id=token))


@router.put("/users/{user}/keys/{token}/expire", status_code=204)
def end_token(gate: GateOf, user: str, token: str) -> None:
    """End a token now, with the session keys that were made by it; they stay listed."""
    _end(gate, user, token, expire_token, AuditAction.WRITE)


@router.delete("/users/{user}/keys/{token}", status_code=204)
def delete_token(gate: GateOf, user: str, token: str) -> None:
    """Revoke a token, with the session keys that were made by it."""
    _end(gate, user, token, revoke_token, AuditAction.DELETE)


@router.delete("/tokens/{token}", status_code=204)
def revoke(gate: GateOf, token: str) -> None:
    """Revoke a token, of any user for owners, with the session keys that were made by it."""
    with gate.enter() as visit:
        row = visit.session.get(ApiToken, token)
        if row is None or not (row.user_id == visit.caller.user_id or visit.caller.is_owner):
            raise NotFoundError(f"there is no token {token!r}")
        user_id = str(row.user_id)
    _end(gate, user_id, token, revoke_token, AuditAction.DELETE)


def _end(gate: Gate, user: str, token: str, end: Callable[..., None], action: AuditAction) -> None:
    with gate.enter() as visit:
        owner = _holder(visit, user)
        if token != visit.caller.token_id and visit.caller.scope is not TokenScope.ADMIN:
            raise forbidden("A token with this scope can only end itself.")
        with or_hidden():
            end(visit.session, token, user_id=owner.id)
        visit.audit(action, resource=("token", owner.id, token), facts={"username": owner.username})


def _holder(visit: Visit, user: str) -> User:
    """Return the user whose tokens the path names, if the caller may see and end them."""
    owner = visible_user(visit, user)
    if owner.id != visit.caller.user_id and not visit.caller.is_owner:
        raise forbidden("Only owners see and revoke tokens of other users.")
    return owner


def _own(visit: Visit, user: str) -> None:
    if user != ME and visible_user(visit, user).id != visit.caller.user_id:
        raise forbidden("A session key can only be made for oneself.")


def _scope(body: CreateToken) -> TokenScope:
    wanted = body.scopes or [body.scope]
    if ALL_SCOPES & set(wanted):
        return TokenScope.ADMIN
    known = [scope for scope in TokenScope if scope in wanted]
    if len(known) != len(set(wanted)):
        detail = f"A scope is one of {', '.join(TokenScope)}."
        raise refused("Validation failed.", detail, field="scope")
    return known[-1]


def _shown(token: TokenListing) -> ShownToken:
    return ShownToken(
        id=token.id,
        user_id=str(token.user_id),
        username=token.username,
        created_at=token.created_at,
        updated_at=token.created_at,
        expires_at=token.expires_at,
        last_used=token.last_used_at or NO_TIME,
        token_name=token.name,
        scope="all" if token.scope == TokenScope.ADMIN else token.scope,
        lifetime_seconds=int((token.expires_at - token.created_at).total_seconds()),
    )
