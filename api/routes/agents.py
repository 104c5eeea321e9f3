"""Agents of workspaces: what Coder asks for on the way. Agents do not connect here."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, WebSocket

from api.gate import Gate, GateOf, Visit
from api.routes.finding import or_hidden, visible_workspace
from api.routes.upgrading import admit
from db.reads.agents import find_workspace_of_agent

router = APIRouter(prefix="/api/v2/workspaceagents/{agent}", tags=["agents"])


@router.get("/listening-ports")
def read_ports(gate: GateOf, agent: uuid.UUID) -> dict[str, list[Any]]:
    """List the ports that an agent listens on: none is known."""
    _enter(gate, agent)
    return {"ports": []}


@router.get("/containers")
def read_containers(gate: GateOf, agent: uuid.UUID) -> dict[str, list[Any]]:
    """List the containers next to an agent: none is known."""
    _enter(gate, agent)
    return {"devcontainers": [], "containers": []}


@router.get("/logs")
def read_logs(gate: GateOf, agent: uuid.UUID) -> list[dict[str, Any]]:
    """List what the scripts of an agent wrote: nothing arrives here."""
    _enter(gate, agent)
    return []


@router.websocket("/logs")
async def follow_logs(gate: GateOf, websocket: WebSocket, agent: str) -> None:
    """End at once: no line will come."""
    admitted = await admit(gate, websocket, agent, _check)
    if admitted is None:
        return
    _, release = admitted
    release()
    await websocket.accept()
    await websocket.close(1000, "done")


def _enter(gate: Gate, agent_id: uuid.UUID) -> None:
    """Check that the caller may see the workspace of an agent."""
    with gate.enter() as visit:
        _check(visit, agent_id)


def _check(visit: Visit, agent_id: uuid.UUID) -> None:
    with or_hidden():
        workspace_id = find_workspace_of_agent(visit.session, agent_id)
    visible_workspace(visit, workspace_id)
