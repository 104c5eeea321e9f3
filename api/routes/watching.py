"""Watching a workspace, as `codersdk` does."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Response

from api.gate import GateOf
from api.routes.finding import visible_workspace
from api.streams.watch import watch

router = APIRouter(prefix="/api/v2", tags=["workspaces"])


@router.get(
    "/workspaces/{workspace}/watch",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def watch_workspace(gate: GateOf, workspace: uuid.UUID) -> Response:
    """Send a workspace as it is, and again after each change."""

    def read() -> str:
        with gate.enter() as visit:
            return visible_workspace(visit, workspace).workspace.model_dump_json()

    with gate.enter() as visit:
        visible_workspace(visit, workspace)
        holder = visit.caller.token_id or visit.caller.username
    release = gate.site.hub.take(holder, gate.site.streams_per_token)
    return watch(gate.site.hub, read, release=release)
