"""Waiting for a build by its row."""

from __future__ import annotations

import uuid

import pytest

from chattool import (
    BuildTimeoutError,
    WorkspaceBuildError,
    wait_for_build,
)
from db.engine import open_database
from db.errors import NotFoundError
from db.schema.enums import JobErrorCode, JobStatus
from tests.integration.chattool.chatting import SHORT, Chat, call


def test_waiting_returns_the_build_that_succeeded(chat: Chat) -> None:
    _, build_id = chat.ended()
    build = wait_for_build(chat.factory.database, build_id)
    assert (build.id, build.job.status) == (build_id, "succeeded")


@pytest.mark.parametrize("code", [None, *JobErrorCode])
def test_waiting_raises_the_error_and_the_code_of_the_row(
    chat: Chat, code: JobErrorCode | None
) -> None:
    _, build_id = chat.ended(status=JobStatus.FAILED, error="it broke", error_code=code)
    with pytest.raises(WorkspaceBuildError) as raised:
        wait_for_build(chat.factory.database, build_id)
    assert (raised.value.message, raised.value.code) == ("it broke", code)


def test_the_code_is_never_taken_from_the_text(chat: Chat) -> None:
    _, build_id = chat.ended(status=JobStatus.FAILED, error="insufficient quota")
    with pytest.raises(WorkspaceBuildError) as raised:
        wait_for_build(chat.factory.database, build_id)
    assert raised.value.code is None


def test_waiting_for_a_canceled_build_says_that_it_was_canceled(chat: Chat) -> None:
    _, build_id = chat.ended(status=JobStatus.CANCELED)
    with pytest.raises(WorkspaceBuildError, match="build was canceled"):
        wait_for_build(chat.factory.database, build_id)


def test_waiting_ends_with_the_time_limit(chat: Chat) -> None:
    _, build_id = chat.active()
    with pytest.raises(BuildTimeoutError, match="timed out waiting for workspace build: it is"):
        wait_for_build(chat.factory.database, build_id, settings=SHORT)


def test_there_is_no_waiting_for_a_build_that_does_not_exist(chat: Chat) -> None:
    with pytest.raises(NotFoundError, match="there is no workspace build"):
        wait_for_build(chat.factory.database, uuid.uuid4())


@pytest.mark.parametrize("tool", ["create", "start"])
def test_a_database_that_takes_no_connection_is_answered(chat: Chat, tool: str) -> None:
    chat.factory.database = open_database("postgresql://nobody@127.0.0.1:1/none")
    assert call(chat, tool) == {
        "error": "the database is busy or away; call this tool again in a moment"
    }
