"""What commands read over the API: a route for each question of ``api.reads``.

The answers have the form that the command line prints as JSON, so they are not those of Coder.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from api.answers import JsonAnswer
from api.errors import forbidden
from api.gate import GateOf
from api.reads.asking import MAX_ROWS, Read, RightMissingError
from api.reads.finding import visible_job_id
from api.reads.jobdetails import JobExplained, JobLog, JobShown
from api.reads.jobs import JobList
from api.reads.operations import AuditList, CircuitList, LimitList, QueueList, WorkerList
from api.reads.people import GroupList, OrganizationList, TokenList, UserList, WebhookList
from api.reads.quotas import QuotaForecastShown, QuotaList, QuotaShown
from api.reads.templates import TemplateList, VersionList, VersionShown
from api.reads.workspaces import WorkspaceList, WorkspaceShown
from api.streams.sse import stream
from api.streams.updates import update_lines
from db.reads.follow import Update, read_update

READS: tuple[type[Read[Any]], ...] = (
    JobList,
    JobShown,
    JobLog,
    JobExplained,
    WorkspaceList,
    WorkspaceShown,
    TemplateList,
    VersionList,
    VersionShown,
    WorkerList,
    QueueList,
    QuotaList,
    QuotaShown,
    QuotaForecastShown,
    CircuitList,
    LimitList,
    AuditList,
    OrganizationList,
    UserList,
    GroupList,
    TokenList,
    WebhookList,
)
LINES = "application/x-ndjson"
MAX_TEXT = 4000
MAX_VALUES = 100
MAX_NUMBER = 2**63 - 1
BOUNDS: dict[Any, dict[str, Any]] = {
    int: {"ge": -1, "le": MAX_NUMBER},
    float | None: {"ge": 0, "le": 1e10},
    str: {"max_length": MAX_TEXT},
    str | None: {"max_length": MAX_TEXT},
    bool: {},
}

router = APIRouter(prefix="/api/v2/provisionerd", tags=["command line"])


def route_of(kind: type[Read[Any]]) -> Callable[..., Response]:
    """Return the function that answers requests with a kind of question."""
    form = TypeAdapter(kind.answer_type())

    def read(gate: GateOf, **given: Any) -> Response:
        with gate.enter() as visit:
            try:
                answer = kind(**given).answer(visit.session, visit.caller)
            except RightMissingError as error:
                raise forbidden(str(error)) from None
        return Response(form.dump_json(answer), media_type=JsonAnswer.media_type)

    read.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("gate", inspect.Parameter.KEYWORD_ONLY, annotation=GateOf),
            *(_parameter(kind, field) for field in dataclasses.fields(kind)),  # type: ignore[arg-type]
        ]
    )
    read.__name__ = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    read.__doc__ = kind.__doc__
    return read


def _parameter(kind: type[Read[Any]], field: dataclasses.Field[Any]) -> inspect.Parameter:
    hint = get_type_hints(kind)[field.name]
    bounds = BOUNDS.get(hint, {"max_length": MAX_VALUES})
    if field.name == "limit":
        bounds = {"ge": 1, "le": MAX_ROWS}
    default = field.default if field.default is not dataclasses.MISSING else inspect.Parameter.empty
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[hint, Query(**bounds)],
        default=default,
    )


@router.get(
    "/job/updates",
    response_class=Response,
    responses={200: {"content": {LINES: {"schema": {"type": "string"}}}}},
)
def follow(
    gate: GateOf,
    job: Annotated[str, Query(max_length=MAX_TEXT)],
    after: Annotated[int, Query(ge=-1, le=MAX_NUMBER)] = 0,
    limit_s: Annotated[float | None, Query(ge=0, le=1e10)] = None,
) -> Response:
    """Send how a job fares and the new lines of its log, a JSON document a line, until it ends.

    An empty line is sent while nothing changes. Without ``limit_s`` there is no limit.
    """
    with gate.enter() as visit:
        job_id = visible_job_id(visit.session, visit.caller, job)
        holder = visit.caller.token_id or visit.caller.username

    def read(position: int) -> Update:
        with gate.enter() as visit:
            visible_job_id(visit.session, visit.caller, str(job_id))  # the rights may have changed
            after_line = None if position < 0 else position
            return read_update(visit.session, job_id, after=after_line)

    hub = gate.site.hub
    limit_s = math.inf if limit_s is None else limit_s
    lines = update_lines(hub, read, job_id, after=after, limit_s=limit_s)
    return stream(lines, media=LINES, release=hub.take(holder, gate.site.streams_per_token))


for each in READS:
    router.add_api_route(each.path, route_of(each), response_model=each.answer_type())
