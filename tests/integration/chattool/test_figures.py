"""The quota figures shown with a refusal."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from chattool import (
    start_workspace,
)
from chattool.figures import look_up_figures
from db.reads.contract import WorkspaceQuota
from db.schema.enums import JobErrorCode, JobStatus
from tests.harness.authorization import CountingAuthorization
from tests.harness.factory import Factory
from tests.integration.chattool.chatting import FAST, Chat, failing, make_chat

REFUSED: dict[str, Any] = {
    "status": JobStatus.FAILED,
    "error": "insufficient quota",
    "error_code": JobErrorCode.INSUFFICIENT_QUOTA,
}


def test_a_failing_quota_look_up_leaves_the_figures_out(factory: Factory, tmp_path: Path) -> None:
    chat = failing(make_chat(factory, tmp_path, allowance=9))
    chat.active()
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert "quota" not in answer


def test_a_quota_look_up_that_hangs_leaves_the_figures_out(
    factory: Factory, tmp_path: Path
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    release = threading.Event()
    chat.authorization = CountingAuthorization(before=lambda: _wait(release))
    chat.active()
    with chat.building():
        try:
            settings = replace(FAST, quota_timeout=timedelta(milliseconds=50))
            answer = start_workspace(chat.context(settings))
        finally:
            release.set()
            _finish_look_ups()
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert "quota" not in answer


def _finish_look_ups() -> None:
    """Wait for look-ups that nobody waits for any more: they still hold a connection."""
    for thread in threading.enumerate():
        if thread.name == "quota-figures":
            thread.join(timeout=30)


def _wait(release: threading.Event) -> None:
    assert release.wait(30), "nobody released the look-up"


def test_a_quota_look_up_that_waits_for_the_database_gives_up(chat: Chat) -> None:
    _, build_id = chat.ended(**REFUSED)
    context = chat.context(replace(FAST, quota_timeout=timedelta(milliseconds=50)))
    with chat.factory.database.begin() as session:
        session.execute(text("LOCK TABLE organization_members IN ACCESS EXCLUSIVE MODE"))
        figures = look_up_figures(context, build_id)
    _finish_look_ups()
    assert figures is None


def test_the_figures_are_those_of_the_decision(factory: Factory, tmp_path: Path) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    _, build_id = chat.active()
    chat.build_next()
    with chat.factory.database.begin() as session:
        session.execute(text("UPDATE groups SET quota_allowance = 100"))
    assert look_up_figures(chat.context(), build_id) == WorkspaceQuota(credits_consumed=0, budget=9)


def test_without_a_decision_the_figures_are_those_of_now(chat: Chat) -> None:
    chat.factory.finished_build(chat.bound())
    with chat.factory.database.begin() as session:
        session.execute(text("UPDATE workspace_builds SET daily_cost = 40"))
    _, build_id = chat.ended(**REFUSED)
    assert look_up_figures(chat.context(), build_id) == WorkspaceQuota(
        credits_consumed=40, budget=40
    )
