"""Archives of templates: uploads and downloads."""

from __future__ import annotations

import uuid
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.archives import ArchiveRefusedError, as_tar, as_zip, ended_tar
from api.caller import Right
from api.errors import ApiError, hidden, refused
from api.gate import Gate, GateOf
from api.routes.finding import or_hidden
from db.jobs.archives import TAR, read_file, store_file
from db.reads.archives import find_file, holds_file
from db.reads.contract import ContractModel
from db.schema.enums import TokenScope

router = APIRouter(prefix="/api/v2", tags=["files"])
SPOOLED_BYTES = 1024 * 1024  #: a larger body waits in a file for its turn
ZIPS = {"application/zip", "application/x-zip-compressed"}
BYTES = {"schema": {"type": "string", "format": "binary"}}
ARCHIVE = {TAR: BYTES, "application/zip": BYTES}


class Uploaded(ContractModel):
    """The id of an archive. Coder's name for it is ``hash``."""

    hash: uuid.UUID


@router.post(
    "/files",
    status_code=201,
    responses={200: {"model": Uploaded}},
    # Of two binary types a generated client could only send one.
    openapi_extra={"requestBody": {"content": {TAR: BYTES}, "required": True}},
)
async def upload(gate: GateOf, request: Request, response: Response) -> Uploaded:
    """Store an archive: a tar, or a zip, which is stored as a tar.

    The answer is 200 if the user has uploaded the same content before.
    """
    kind = request.headers.get("Content-Type", "")
    # Before the body is read: a stranger must not make the server read one.
    await run_in_threadpool(_check, gate, kind)
    with SpooledTemporaryFile(max_size=SPOOLED_BYTES) as body:
        async for chunk in request.stream():
            body.write(chunk)
        async with gate.site.uploading:
            file_id, is_new = await run_in_threadpool(_store, gate, body, kind)
    if not is_new:
        response.status_code = 200
    return Uploaded(hash=file_id)


def _check(gate: Gate, kind: str) -> None:
    with gate.enter(TokenScope.OPERATE):
        if kind != TAR and kind not in ZIPS:
            raise refused(f'Unsupported content type header "{kind[:100]}".')


def _store(gate: Gate, body: IO[bytes], kind: str) -> tuple[uuid.UUID, bool]:
    body.seek(0)
    data = body.read()
    try:
        archive = as_tar(data) if kind in ZIPS else ended_tar(data)
    except ArchiveRefusedError as error:
        raise ApiError(413 if error.is_too_large else 400, str(error)) from error
    with gate.enter(TokenScope.OPERATE) as visit:
        is_known = holds_file(visit.session, archive, user_id=visit.caller.user_id)
        stored = store_file(visit.session, data=archive, created_by=visit.caller.user_id)
        return stored, not is_known


@router.get("/files/{file}", response_class=Response, responses={200: {"content": ARCHIVE}})
def download(
    gate: GateOf, file: uuid.UUID, form: Annotated[str, Query(alias="format")] = ""
) -> Response:
    """Return an archive as it was stored, or as a zip (``format=zip``)."""
    if form not in {"", "zip"}:
        raise refused("Unsupported conversion format.")
    with gate.enter() as visit:
        with or_hidden():
            found = find_file(visit.session, file)
        may_read = found.created_by == visit.caller.user_id or any(
            visit.caller.may(Right.WRITE_TEMPLATES, organization_id)
            for organization_id in found.organizations
        )
        if not may_read:
            raise hidden()
        data = read_file(visit.session, file)
    if not form:
        # Not with a charset: `coder templates pull` compares the whole header.
        return Response(data, headers={"Content-Type": TAR})
    try:
        return Response(as_zip(data), headers={"Content-Type": "application/zip"})
    except ArchiveRefusedError as error:
        raise refused("The archive cannot be converted.", str(error)) from error
