"""Creating when the chat has a workspace already."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chattool import (
    create_workspace,
)
from db.jobs.finish import finish_cancel_job
from db.jobs.results import BuildResult
from db.jobs.transitions import cancel_job
from db.schema.enums import JobStatus, Transition
from db.schema.tables import Chat as ChatRow
from tests.harness.factory import Factory
from tests.harness.waiting import DEADLINE_S
from tests.integration.chattool.chatting import SHORT, Chat, call, make_chat

TOOLS = pytest.mark.parametrize("tool", ["create", "start"])


def test_a_running_workspace_is_returned(chat: Chat) -> None:
    with chat.building():
        first = create_workspace(chat.context(), template_id="dev")
        again = create_workspace(chat.context(), template_id="dev")
    assert again == {
        "created": False,
        "workspace_name": first["workspace_name"],
        "status": "already_exists",
        "message": "workspace is already running",
        "build_id": first["build_id"],
        "resources": first["resources"],
    }


def test_a_stopped_workspace_is_to_be_started(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    assert create_workspace(chat.context(), template_id="dev") == {
        "created": False,
        "workspace_name": f"alice/{workspace.name}",
        "status": "stopped",
        "message": "workspace is stopped; use start_workspace to start it",
    }


def test_a_build_in_progress_is_waited_for(chat: Chat) -> None:
    _, build_id = chat.active()
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert (answer["created"], answer["status"]) == (False, "already_exists")
    assert (answer["message"], answer["build_id"]) == ("workspace build completed", str(build_id))


def test_a_stop_in_progress_ends_in_a_stopped_workspace(chat: Chat) -> None:
    chat.active(Transition.STOP)
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["status"] == "stopped"


def test_the_failure_of_a_build_in_progress_has_its_own_prefix(chat: Chat) -> None:
    _, build_id = chat.active(template=chat.push({"plan": {"error": "no such image"}}))
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {
        "error": "existing workspace build failed: no such image",
        "build_id": str(build_id),
    }


def test_the_quota_refusal_of_a_build_in_progress_says_started(
    factory: Factory, tmp_path: Path
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    _, build_id = chat.active()
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert answer["error"].startswith("existing workspace build failed: insufficient quota")
    assert answer["message"].startswith("The workspace could not be started because")
    assert (answer["build_id"], answer["quota"]) == (
        str(build_id),
        {"credits_consumed": 0, "budget": 9},
    )


def test_a_build_in_progress_is_noted_on_the_chat(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    later = chat.factory.build(workspace)
    create_workspace(chat.context(SHORT), template_id="dev")
    with chat.factory.database.begin() as session:
        assert session.scalars(select(ChatRow.build_id)).one() == later.build_id


@pytest.mark.parametrize(
    ("transition", "status"),
    [
        (Transition.START, JobStatus.FAILED),
        (Transition.START, JobStatus.CANCELED),
        (Transition.STOP, JobStatus.FAILED),
        (Transition.DELETE, JobStatus.SUCCEEDED),
    ],
)
def test_a_workspace_that_is_of_no_use_is_replaced(
    chat: Chat, transition: Transition, status: JobStatus
) -> None:
    old, _ = chat.ended(transition, status=status)
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["created"] is True
    assert chat.look().id != old.id


@TOOLS
def test_a_build_being_canceled_is_waited_for_before_going_on(chat: Chat, tool: str) -> None:
    workspace = chat.bound()
    job = chat.factory.running_build(workspace)
    chat.bind_job(workspace, job.id)
    with chat.factory.database.begin() as session:
        cancel_job(session, job_id=job.id)
    with ThreadPoolExecutor(1) as pool, chat.building():
        answer = pool.submit(call, chat, tool)
        with chat.factory.database.begin() as session:
            finish_cancel_job(session, job.lease, result=BuildResult())
        assert "error" not in answer.result(timeout=30)
    assert len(chat.workspaces()) == (2 if tool == "create" else 1)


def test_a_build_being_canceled_makes_no_second_workspace(chat: Chat) -> None:
    workspace = chat.bound()
    job = chat.factory.running_build(workspace)
    chat.bind_job(workspace, job.id)
    with chat.factory.database.begin() as session:
        cancel_job(session, job_id=job.id)
    answer = create_workspace(chat.context(SHORT), template_id="dev")
    assert answer["error"].startswith("existing workspace build failed: timed out waiting")
    assert len(chat.workspaces()) == 1


def create_at_once(chat: Chat, calls: int) -> list[dict[str, Any]]:
    """Return the answers to so many calls that begin together."""
    start = threading.Barrier(calls)

    def create() -> dict[str, Any]:
        start.wait(DEADLINE_S)
        return create_workspace(chat.context(), template_id="dev")

    with ThreadPoolExecutor(calls) as pool, chat.building():
        futures = [pool.submit(create) for _ in range(calls)]
        return [future.result(DEADLINE_S) for future in futures]


def test_calls_of_one_chat_at_once_create_one_workspace(chat: Chat) -> None:
    answers = create_at_once(chat, 8)
    assert len(chat.workspaces()) == 1
    assert sorted(answer["created"] for answer in answers) == [False] * 7 + [True]


def test_who_comes_second_is_not_authorized(chat: Chat) -> None:
    create_at_once(chat, 4)
    assert chat.authorization.calls == 1
