"""Entering a page: by the cookie of a session, or else by way of the sign-in page."""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Form
from starlette.responses import RedirectResponse, Response

from api.caller import Right
from api.errors import ApiError, as_api_error, forbidden
from api.gate import Gate, Visit, token_of
from api.pages.rendering import render
from db.jobs.events import EventType
from db.schema.enums import TokenScope

HOME = "/ui"
SIGN_IN = "/signin"
CsrfToken = Annotated[str, Form(max_length=100)]


def csrf_of(gate: Gate) -> str:
    """Return what each form of a session has, and no page of a stranger can know."""
    return hmac.new(token_of(gate.connection).encode(), b"form", hashlib.sha256).hexdigest()


def check_csrf(gate: Gate, given: str) -> None:
    """Refuse a form that did not come from a page of this session.

    Raises:
        ApiError: its token is not right.
    """
    if not hmac.compare_digest(csrf_of(gate).encode(), given.encode()):
        raise forbidden("The form is not of this session. Load the page again.")


def facts_of(gate: Gate, visit: Visit) -> dict[str, Any]:
    """Return what every page shows: who is signed in, and which parts there are for them."""
    caller = visit.caller
    return {
        "username": caller.username,
        "csrf": csrf_of(gate),
        "path": gate.connection.url.path,
        "event_types": " ".join(EventType),
        "may_build": caller.scope.includes(TokenScope.BUILD),
        "sees_jobs": caller.organizations_with(Right.READ_JOBS) != [],
        "sees_audit": caller.organizations_with(Right.READ_AUDIT) != [],
        "sees_webhooks": caller.may_everywhere(Right.ADMINISTER),
    }


def page(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Answer errors of a page as pages, and strangers with the way to the sign-in page."""

    @functools.wraps(handler)
    def answer(*args: Any, **kwargs: Any) -> Response:
        gate: Gate = kwargs["gate"]
        try:
            return handler(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - as the API's own handlers do
            refusal = error if isinstance(error, ApiError) else as_api_error(error)
            if refusal.status == 401:
                return RedirectResponse(f"{SIGN_IN}?next={quote(wanted_of(gate))}", 303)
            return render("error", status=refusal.status, error=refusal)

    return answer


def wanted_of(gate: Gate) -> str:
    """Return the path of a page, with its query; a form is not sent again, so it has none."""
    if gate.connection.scope["method"] != "GET":
        return HOME
    url = gate.connection.url
    return f"{url.path}?{url.query}" if url.query else url.path


def own_path(given: str) -> str:
    """Return a path of this server to go on to; never another server's address."""
    try:
        is_own = given.startswith("/") and "\\" not in given and not given.startswith("//")
        return given if is_own and not urlsplit(given).netloc else HOME
    except ValueError:  # such as an unfinished IPv6 address
        return HOME
