"""The log of a job over each of its routes: a list, text, server-sent events or a websocket."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response, WebSocket
from starlette.responses import PlainTextResponse

from api.answers import JsonAnswer
from api.errors import ApiError, refused
from api.gate import Gate, Visit
from api.routes.upgrading import admit
from api.streams.logs import log_events, resume_point, send_log
from db.reads.contract import ProvisionerJobLog
from db.reads.joblog import MAX_ID, read_whole_log

EVENTS = "text/event-stream"
#: What the OpenAPI document says of a route that answers a log.
LOG_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": list[ProvisionerJobLog]}}


@dataclass(frozen=True)
class Following:
    """Which part of a log is wanted, and in which form."""

    after: int
    form: str


async def _following(
    after: Annotated[str, Query(description="the id of the last known line", max_length=20)] = "",
    form: Annotated[str, Query(alias="format", description="json or text", max_length=20)] = "",
) -> Following:
    if form not in {"", "json", "text"}:
        raise refused("Invalid format parameter.", field="format")
    return Following(parse_after(after), form)


Follow = Annotated[Following, Depends(_following)]


def parse_after(given: str) -> int:
    """Return the id of the last known line.

    Raises:
        ApiError: it is not an integer.
    """
    try:
        after = int(given or "0")
    except ValueError as error:
        raise refused('Query param "after" must be an integer.', field="after") from error
    return max(0, min(after, MAX_ID))


def answer_log(
    gate: Gate, request: Request, following: Following, find: Callable[[Visit], uuid.UUID]
) -> Response:
    """Return a job's log as it is now, or as events until the job has ended.

    Args:
        find: returns the id of the job that the caller may see.
    """
    if following.form == "text" and "follow" in request.query_params:
        raise _unfollowable()
    with gate.enter() as visit:
        job_id = find(visit)
        holder = visit.caller.token_id or visit.caller.username
        if EVENTS not in request.headers.get("Accept", ""):
            lines = list(read_whole_log(visit.session, job_id, after=following.after))
            if following.form == "text":
                texts = [_as_text(line) for line in lines if line.output]
                return PlainTextResponse("".join(f"{text}\n" for text in texts))
            return JsonAnswer([line.model_dump(mode="json") for line in lines])
    hub = gate.site.hub
    after = resume_point(request, following.after)
    release = hub.take(holder, gate.site.streams_per_token)
    return log_events(hub, job_id, after=after, release=release)


async def stream_log(
    gate: Gate, websocket: WebSocket, wanted: str, find: Callable[[Visit, uuid.UUID], uuid.UUID]
) -> None:
    """Send a job's log over a websocket until the job has ended.

    Args:
        wanted: the id in the path.
        find: returns the id of the job that the caller may see.
    """

    def find_at(visit: Visit, id_: uuid.UUID) -> tuple[uuid.UUID, int]:
        return find(visit, id_), _after_of(websocket)

    admitted = await admit(gate, websocket, wanted, find_at)
    if admitted is None:
        return
    (job_id, after), release = admitted
    try:
        await send_log(websocket, gate.site.hub, job_id, after=after)
    finally:
        release()


def _after_of(websocket: WebSocket) -> int:
    if "follow" not in websocket.query_params:
        raise refused("A websocket needs the query parameter follow.")
    if websocket.query_params.get("format") == "text":
        raise _unfollowable()
    return parse_after(websocket.query_params.get("after", ""))


def _unfollowable() -> ApiError:
    return refused("Text cannot be followed.", field="format")


def _as_text(line: ProvisionerJobLog) -> str:
    time = line.created_at.isoformat()
    return f"{time} [{line.log_level}] [provisioner|{line.stage}] {line.output}"
