"""Starting a chat's workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chattool import start_workspace
from db.schema.enums import JobStatus, Transition
from db.schema.tables import WorkspaceBuild
from tests.harness.authorization import CountingAuthorization
from tests.harness.factory import Factory
from tests.harness.waiting import DEADLINE_S
from tests.integration.chattool.chatting import Chat, make_chat


def test_a_chat_without_a_workspace_has_nothing_to_start(chat: Chat) -> None:
    assert start_workspace(chat.context()) == {
        "error": "chat has no workspace; use create_workspace first"
    }


def test_a_deleted_workspace_is_not_started(chat: Chat) -> None:
    chat.ended(Transition.DELETE)
    assert start_workspace(chat.context()) == {
        "error": "workspace was deleted; use create_workspace to make a new one"
    }


def test_a_stopped_workspace_is_started(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer == {
        "started": True,
        "workspace_name": f"alice/{workspace.name}",
        "build_id": str(chat.look().build_id),
        "resources": [{"type": "echo_disk", "name": "home", "daily_cost": 10}],
    }


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELED])
def test_a_workspace_whose_build_did_not_succeed_is_started(chat: Chat, status: JobStatus) -> None:
    chat.ended(status=status)
    with chat.building():
        assert start_workspace(chat.context())["started"] is True


def test_a_running_workspace_needs_no_build(chat: Chat) -> None:
    workspace, _ = chat.ended()
    assert start_workspace(chat.context()) == {
        "started": True,
        "workspace_name": f"alice/{workspace.name}",
        "no_build": True,
        "resources": [],
    }


def test_a_start_in_progress_is_waited_for(chat: Chat) -> None:
    chat.active()
    with chat.building():
        answer = start_workspace(chat.context())
    assert (answer["started"], answer["no_build"]) == (True, True)


def test_a_stop_in_progress_is_waited_for_before_the_start(chat: Chat) -> None:
    _, stop_id = chat.active(Transition.STOP)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer["started"] is True
    assert answer["build_id"] != str(stop_id)


def test_the_failure_of_an_in_progress_build_has_the_prefix_of_start(chat: Chat) -> None:
    _, build_id = chat.active(template=chat.push({"plan": {"error": "no such image"}}))
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer == {
        "error": "waiting for in-progress build: no such image",
        "build_id": str(build_id),
    }


def test_the_failure_of_a_start_has_its_prefix(chat: Chat) -> None:
    template = chat.push({"start": {"plan": {"error": "insufficient quota in us-east1"}}})
    workspace = chat.bound(template)
    chat.bind_job(workspace, chat.factory.finished_build(workspace, Transition.STOP).id)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer == {
        "error": "workspace start build failed: insufficient quota in us-east1",
        "build_id": str(chat.look().build_id),
    }


@pytest.mark.parametrize(
    ("prepare", "prefix"),
    [
        pytest.param(
            lambda chat: chat.active(), "waiting for in-progress build: ", id="in progress"
        ),
        pytest.param(
            lambda chat: chat.ended(Transition.STOP), "workspace start build failed: ", id="new"
        ),
    ],
)
def test_a_quota_refusal_of_a_start_is_structured(
    factory: Factory, tmp_path: Path, prepare: Callable[[Chat], object], prefix: str
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    prepare(chat)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert answer["error"].startswith(f"{prefix}insufficient quota")
    assert answer["message"].startswith("The workspace could not be started because")
    assert answer["quota"] == {"credits_consumed": 0, "budget": 9}


def test_a_build_that_came_and_went_meanwhile_is_not_repeated(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)

    def start_elsewhere() -> None:
        if chat.look().transition is Transition.STOP:
            chat.factory.build(workspace, Transition.START)
            chat.build_next()

    chat.authorization = CountingAuthorization(before=start_elsewhere)
    assert start_workspace(chat.context())["no_build"] is True


def test_starts_at_once_share_one_build(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    begin = threading.Barrier(6)

    def start() -> dict[str, Any]:
        begin.wait(DEADLINE_S)
        return start_workspace(chat.context())

    with ThreadPoolExecutor(6) as pool, chat.building():
        answers = [future.result(DEADLINE_S) for future in [pool.submit(start) for _ in range(6)]]
    assert all(answer["started"] for answer in answers)
    with chat.factory.database.begin() as session:
        query = select(WorkspaceBuild.id).where(WorkspaceBuild.workspace_id == workspace.id)
        assert len(session.scalars(query).all()) == 2
