"""Following a job over the API of a server that restarts, and answers that are checked."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from api.reads.jobs import JobList
from cli.remote import following
from cli.remote.client import Client
from cli.remote.errors import AwayError, ForeignAnswerError, ServerError
from cli.remote.server import find_server
from cli.remote.source import RemoteSource
from db.reads.contract import ProvisionerJobLog
from db.reads.follow import Update
from db.reads.progress import JobProgress
from db.schema.enums import JobStatus, LogLevel, LogSource
from tests.harness.canned import answer_of, answering

JOB = uuid.UUID(int=7)
FORM = TypeAdapter(Update)
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
AWAY = answer_of(503, {"message": "The database cannot be reached. Try again."})


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_S", 0.0)


def update(status: JobStatus, *line_ids: int) -> Update:
    return Update(
        progress=JobProgress(
            status=status,
            stage="apply",
            queue="builds",
            error=None,
            error_code=None,
            daily_cost=4,
            quota_budget=10,
            quota_credits_consumed=4,
            workers=None,
            tags={"gpu": "a100"},
        ),
        lines=[
            ProvisionerJobLog(
                id=id_,
                created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
                log_source=LogSource.PROVISIONER,
                log_level=LogLevel.INFO,
                stage="Setting up",
                output="é\n",
            )
            for id_ in line_ids
        ],
    )


def stream(*updates: Update) -> bytes:
    """The bytes of an answer with these updates, and empty lines between them."""
    return HEAD + b"\n".join(FORM.dump_json(each) + b"\n" for each in updates)


def source_at(url: str) -> RemoteSource:
    token = "abcdefghij-secret"
    server = find_server({"PROVISIONERD_URL": url, "PROVISIONERD_TOKEN": token})
    return RemoteSource(Client(server=server))


def test_updates_arrive_as_they_were_sent() -> None:
    sent = [update(JobStatus.RUNNING, 1, 2), update(JobStatus.SUCCEEDED, 5)]
    with answering(stream(*sent)) as server:
        assert list(source_at(server.url).updates(JOB)) == sent


def test_a_stream_that_is_cut_off_is_continued_after_the_last_line() -> None:
    first, last = update(JobStatus.RUNNING, 3, 4), update(JobStatus.FAILED)
    with answering(stream(first), b"", AWAY, stream(last)) as server:
        assert list(source_at(server.url).updates(JOB)) == [first, last]
        targets = [request.split(b" ")[1] for request in server.requests]
    path = f"/api/v2/provisionerd/job/updates?job={JOB}&after=".encode()
    assert targets == [path + b"0", path + b"4", path + b"4", path + b"4"]


def test_a_job_is_followed_without_its_log() -> None:
    ended = update(JobStatus.CANCELED)
    with answering(stream(ended)) as server:
        assert list(source_at(server.url).updates(JOB, after=None)) == [ended]
        assert b"after=-1 " in server.requests[0]


def test_a_job_is_followed_for_a_limited_time() -> None:
    running = update(JobStatus.RUNNING)
    with answering(stream(running)) as server:
        assert list(source_at(server.url).updates(JOB, limit_s=0)) == [running]
        assert b"&limit_s=0.0 " in server.requests[0]


def test_a_server_that_is_away_for_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "OUTAGE_S", 0.0)
    with answering(AWAY) as server, pytest.raises(AwayError, match="failed with status 503"):
        list(source_at(server.url).updates(JOB))


def test_a_follower_whose_token_was_revoked_is_told() -> None:
    refusal = answer_of(401, {"message": "Signed out.", "detail": "API key is invalid."})
    with answering(stream(update(JobStatus.RUNNING)), refusal) as server:
        updates = source_at(server.url).updates(JOB)
        next(updates)
        with pytest.raises(ServerError, match="API key is invalid"):
            next(updates)


@pytest.mark.parametrize("answer", [{}, [{"id": "x"}], [None]])
def test_rows_of_another_form_are_refused(answer: object) -> None:
    with (
        answering(answer_of(200, answer)) as server,
        pytest.raises(ForeignAnswerError, match="another form"),
    ):
        source_at(server.url).read(JobList())


def test_a_question_is_asked_by_its_route_and_its_parameters() -> None:
    wanted = JobList(status=[JobStatus.FAILED, JobStatus.CANCELED], owner="a b", limit=3)
    with answering(answer_of(200, [])) as server:
        assert source_at(server.url).read(wanted) == []
        target = server.requests[0].split(b" ")[1]
    assert target == (b"/api/v2/provisionerd/jobs?status=failed&status=canceled&owner=a+b&limit=3")
