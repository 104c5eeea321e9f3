"""Signing in with a token, signing out, and what pages are made of besides HTML."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, RedirectResponse, Response

from api.errors import ApiError, hidden
from api.gate import COOKIE, Gate, GateOf
from api.pages.rendering import FOLDER, render
from api.pages.visiting import HOME, SIGN_IN, CsrfToken, check_csrf, own_path, page
from api.routes import sessions
from api.routes.deployment import open_session
from db.schema.tables.tokens import TOKEN_ID_LENGTH

router = APIRouter(include_in_schema=False)
FILES = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
FAILED = "This token is not valid. Make one with: provisionerd token create --user NAME"


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Return the style sheet or the script."""
    if name not in FILES:
        raise hidden()
    return FileResponse(
        FOLDER / "static" / name,
        media_type=FILES[name],
        headers={"Cache-Control": "max-age=300"},
    )


@router.get(SIGN_IN)
async def sign_in_page(next: str = HOME) -> Response:  # noqa: A002 - the name in the address
    """Ask for a token."""
    return render("signin", next=own_path(next), failed="")


@router.post(SIGN_IN)
def sign_in(
    gate: GateOf,
    token: Annotated[str, Form(max_length=200)],
    next: Annotated[str, Form(max_length=2000)] = HOME,  # noqa: A002
) -> Response:
    """Make a session by a token, which stays as it is."""
    bearer = [(b"authorization", f"Bearer {token.strip()}".encode("latin-1", "replace"))]
    kept = [
        (name, value)
        for name, value in gate.connection.scope["headers"]
        if name not in {b"cookie", b"authorization", b"coder-session-token"}
    ]
    by_token = Gate(HTTPConnection({**gate.connection.scope, "headers": kept + bearer}))
    try:
        gate.site.rate.count(f"sign in {token[:TOKEN_ID_LENGTH]}")
        with by_token.enter() as visit:
            return open_session(by_token, visit, own_path(next))
    except ApiError as error:
        failed = FAILED if error.status == 401 else str(error)
        return render("signin", status=error.status, next=own_path(next), failed=failed)


@router.post("/signout")
@page
def sign_out(gate: GateOf, csrf: CsrfToken) -> Response:
    """End the session."""
    check_csrf(gate, csrf)
    sessions.logout(gate)
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE)
    return answer
