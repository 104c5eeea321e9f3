"""Watching a workspace, as `codersdk` does."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from fastapi import APIRouter, Response, WebSocket

from api.gate import Gate, GateOf
from api.routes.finding import visible_workspace
from api.routes.upgrading import admit
from api.streams.watch import send_changes, watch

router = APIRouter(prefix="/api/v2", tags=["workspaces"])


@router.get(
    "/workspaces/{workspace}/watch",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def watch_workspace(gate: GateOf, workspace: uuid.UUID) -> Response:
    """Send a workspace as it is, and again after each change."""
    with gate.enter() as visit:
        visible_workspace(visit, workspace)
        holder = visit.caller.token_id or visit.caller.username
    release = gate.site.hub.take(holder, gate.site.streams_per_token)
    return watch(gate.site.hub, _reader(gate, workspace), release=release)


@router.websocket("/workspaces/{workspace}/watch-ws")
async def follow_workspace(gate: GateOf, websocket: WebSocket, workspace: str) -> None:
    """Send a workspace as it is, and again after each change, over a websocket."""
    admitted = await admit(
        gate, websocket, workspace, lambda visit, id_: visible_workspace(visit, id_).workspace.id
    )
    if admitted is None:
        return
    found, release = admitted
    try:
        await send_changes(websocket, gate.site.hub, _reader(gate, found))
    finally:
        release()


def _reader(gate: Gate, workspace_id: uuid.UUID) -> Callable[[], str]:
    def read() -> str:
        with gate.enter() as visit:
            return visible_workspace(visit, workspace_id).workspace.model_dump_json()

    return read
