"""Events: every end of a job and every change of a workspace, in order, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.caller import Right
from api.errors import refused
from api.gate import Gate, GateOf
from api.routes.joblogs import EVENTS
from api.streams.events import event_stream
from db.errors import InvalidError
from db.jobs.events import EventType
from db.reads.contractbase import ContractModel
from db.reads.events import FIRST as BEGINNING
from db.reads.events import PAGE, Event, EventCursor, latest_position, read_events

router = APIRouter(prefix="/api/v2", tags=["events"])


class Events(ContractModel):
    """A page of events, oldest first."""

    events: list[Event]
    after: str


@router.get(
    "/events",
    response_model=Events,
    responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}}},
)
def list_events(
    gate: GateOf,
    request: Request,
    after: Annotated[str, Query(max_length=50, description="the id of the last event")] = "",
    types: Annotated[str, Query(max_length=1000, description="comma-separated")] = "",
) -> Events | Response:
    """List events after a position, or with `Accept: text/event-stream` send them as they come.

    A stream without a position begins with events from now on, a list with the oldest ones.
    """
    wanted = _types(types)
    if EVENTS in request.headers.get("Accept", ""):
        return _stream(gate, _position(request.headers.get("Last-Event-ID") or after), wanted)
    position = _position(after) or BEGINNING
    events = _read(gate, position, wanted)
    return Events(events=list(events), after=events[-1].id if events else str(position))


def _stream(gate: Gate, position: EventCursor | None, types: Sequence[str]) -> Response:
    with gate.enter() as visit:
        holder = visit.caller.token_id or visit.caller.username
        start = position or latest_position(visit.session)
    hub = gate.site.hub
    release = hub.take(holder, gate.site.streams_per_token)
    return event_stream(hub, lambda at: _read(gate, at, types), after=start, release=release)


def _types(given: str) -> Sequence[str]:
    types = [name for name in given.split(",") if name]
    if unknown := set(types) - set(EventType):
        raise refused(
            "Query parameters have invalid values.", f"{unknown} are not types", field="types"
        )
    return types


def _position(given: str) -> EventCursor | None:
    try:
        return EventCursor.parse(given) if given else None
    except InvalidError as error:
        raise refused("Query parameters have invalid values.", str(error), field="after") from error


def _read(gate: Gate, after: EventCursor, types: Sequence[str]) -> Sequence[Event]:
    # Each time with the token: who is suspended meanwhile gets no more.
    with gate.enter() as visit:
        return read_events(
            visit.session,
            after=after,
            organizations=visit.caller.organizations_with(Right.READ_WORKSPACES),
            seen_by=visit.caller.user_id,
            types=types,
            limit=PAGE,
        )
