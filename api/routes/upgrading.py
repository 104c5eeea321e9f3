"""Letting a websocket in: its caller, the thing in its path, and its place among the streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from fastapi import WebSocket
from starlette.concurrency import run_in_threadpool

from api.errors import ApiError, as_api_error, refused
from api.gate import Gate, Visit
from api.streams.sockets import deny
from db.reads.accounts import as_uuid

Found = TypeVar("Found")


async def admit(
    gate: Gate, websocket: WebSocket, wanted: str, find: Callable[[Visit, UUID], Found]
) -> tuple[Found, Callable[[], object]] | None:
    """Find what a websocket is for; if the caller may not have it, deny the upgrade.

    Args:
        wanted: the id in the path.
        find: returns what the caller may see, or raises an error to answer with.

    Returns:
        What was found, and the function to call at the end of the stream; None: it was denied.
    """

    def enter() -> tuple[Found, str]:
        id_ = as_uuid(wanted)
        if id_ is None:
            raise refused(f'Invalid UUID "{wanted[:50]}".')
        with gate.enter() as visit:
            return find(visit, id_), visit.caller.token_id or visit.caller.username

    try:
        found, holder = await run_in_threadpool(enter)
        return found, gate.site.hub.take(holder, gate.site.streams_per_token)
    except Exception as error:  # noqa: BLE001 - answered like every error of a route
        await deny(websocket, error if isinstance(error, ApiError) else as_api_error(error))
        return None
