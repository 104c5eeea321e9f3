"""What clients ask about the server itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from api.answers import JsonAnswer, Message
from api.errors import ApiError, signed_out
from api.gate import COOKIE, Gate, GateOf, Visit
from api.headers import BUILD_VERSION
from api.models.requests import AuthChecks
from api.routes.sessions import BROWSER
from api.sentences import UNKNOWN_ROUTE
from db.catalog.tokens import create_token, revoke_token
from db.reads.contractbase import ContractModel, EmptyList

router = APIRouter(tags=["deployment"])
BROWSER_SESSION = timedelta(days=1)
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>provisionerd</title>
<h1>provisionerd</h1>
<p>This is an HTTP API, with <a href="/ui">a page for people</a>. Make a token with
<code>provisionerd token create --user NAME</code>, then run
<code>coder login {url} --token TOKEN</code>. The routes: <a href="/openapi.json">
openapi.json</a>.</p></html>
"""


class BuildInfo(ContractModel):
    """The version of the server."""

    external_url: str
    version: str
    dashboard_url: str
    telemetry: bool = False
    workspace_proxy: bool = False
    agent_api_version: str = "2.7"
    provisioner_api_version: str = "1.6"
    upgrade_message: str = ""
    deployment_id: str = ""


@router.get("/healthz")
async def healthz() -> Response:
    """Say that the process answers."""
    return PlainTextResponse("OK")


@router.get("/", include_in_schema=False)
@router.get("/cli-auth", include_in_schema=False)
async def page(request: Request) -> Response:
    """Say how to log in; a browser that has a session is led to its page."""
    if COOKIE in request.cookies and request.url.path == "/":
        return RedirectResponse("/ui", status_code=303)
    return HTMLResponse(PAGE.format(url=_url(request)))


@router.get("/login", include_in_schema=False)
def login(gate: GateOf, token: str = "") -> Response:
    """Use up the token of a login link, and set the cookie of a session."""
    with gate.enter() as visit:
        if visit.caller.token_id != token.partition("-")[0]:
            raise signed_out("The link has no token.")
        answer = open_session(gate, visit, "/ui")
        revoke_token(visit.session, visit.caller.token_id)
        return answer


def open_session(gate: Gate, visit: Visit, path: str) -> Response:
    """Return the answer that gives a browser a session of the caller, and leads to ``path``."""
    session_key = create_token(
        visit.session,
        user_id=visit.caller.user_id,
        name=BROWSER,
        scope=visit.caller.scope,
        lifetime=BROWSER_SESSION,
    )
    answer = RedirectResponse(path, status_code=303)
    answer.set_cookie(
        COOKIE,
        session_key.text,
        max_age=int(BROWSER_SESSION.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=gate.connection.url.scheme == "https",
    )
    return answer


@router.get("/api/v2")
async def root() -> Message:
    """Greet."""
    return Message(message="👋")


@router.get("/api/v2/buildinfo")
async def build_info(request: Request) -> BuildInfo:
    """Say which version this is. No token is needed."""
    url = _url(request)
    return BuildInfo(external_url=url, version=BUILD_VERSION, dashboard_url=url)


@router.get("/api/v2/users/first")
async def first_user() -> Message:
    """Say that the deployment is set up. No token is needed; users are made on the server."""
    return Message(message="The initial user has already been created!")


@router.post("/api/v2/users/first", status_code=201)
async def create_first_user() -> Message:
    """Refuse: users are made by `provisionerd user create`."""
    raise ApiError(400, "The initial user has already been created.")


@router.get("/api/v2/users/authmethods")
async def auth_methods() -> dict[str, Any]:
    """Say how users may sign in: with a token."""
    return {
        "password": {"enabled": False},
        "github": {"enabled": False, "default_provider_configured": False},
        "oidc": {"enabled": False, "signInText": "", "iconUrl": ""},
    }


@router.get("/api/v2/experiments")
async def experiments() -> list[str]:
    """List the experiments that are on: none."""
    return []


@router.get("/api/v2/experiments/available")
async def available_experiments() -> dict[str, list[str]]:
    """List the experiments that there are: none."""
    return {"safe": []}


@router.get("/api/v2/updatecheck")
async def update_check() -> dict[str, Any]:
    """Say that there is no newer version: nothing is asked of other servers."""
    return {"current": True, "version": BUILD_VERSION, "url": ""}


@router.get("/api/v2/appearance")
def appearance(gate: GateOf) -> dict[str, Any]:
    """Return the defaults of Coder's page."""
    with gate.enter():
        return {
            "application_name": "",
            "logo_url": "",
            "docs_url": "",
            "service_banner": {"enabled": False},
            "announcement_banners": [],
            "support_links": [],
        }


@router.get("/api/v2/entitlements")
async def entitlements() -> Response:
    """Answer as a Coder without a licence does."""
    return JsonAnswer({"message": UNKNOWN_ROUTE}, status_code=404)


@router.get("/api/v2/templates/examples")
def template_examples(gate: GateOf) -> EmptyList:
    """List the templates that come with the server: none."""
    with gate.enter():
        return ()


@router.get("/api/v2/deployment/ssh")
def ssh_config(gate: GateOf) -> dict[str, Any]:
    """Return the defaults: agents are not reached through this server."""
    with gate.enter():
        return {"hostname_prefix": "coder.", "hostname_suffix": "coder", "ssh_config_options": {}}


@router.post("/api/v2/authcheck")
def auth_check(gate: GateOf, body: AuthChecks) -> dict[str, bool]:
    """Say for each question whether the caller may do everything; only an owner may."""
    with gate.enter() as visit:
        return dict.fromkeys(body.checks, visit.caller.is_owner)


def _url(request: Request) -> str:
    return request.app.state.site.access_url or str(request.base_url).rstrip("/")
