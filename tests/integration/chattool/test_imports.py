"""A template whose first version is still being imported, or was refused by its import."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from chattool import create_workspace
from db.catalog.templates import Push, push_template
from db.schema.enums import ProvisionerType
from tests.harness.factory import echo_archive
from tests.integration.chattool.chatting import FAST, SHORT, Chat


@pytest.fixture
def pushed(chat: Chat) -> Chat:
    """The chat, with a template "fresh" whose import waits for a worker."""
    push(chat, {})
    return chat


def push(chat: Chat, script: dict[str, object]) -> None:
    with chat.factory.database.begin() as session:
        push_template(
            session,
            Push(
                organization=chat.organization,
                name="fresh",
                archive=echo_archive(script),
                created_by=chat.owner,
                provisioner=ProvisionerType.ECHO,
            ),
        )


def test_an_import_under_way_is_waited_for(pushed: Chat) -> None:
    with pushed.building():
        answer = create_workspace(pushed.context(), template_id="fresh")
    assert answer["created"] is True


def test_an_import_that_takes_too_long_is_not_waited_for(pushed: Chat) -> None:
    answer = create_workspace(pushed.context(SHORT), template_id="fresh")
    assert answer == {
        "error": "timed out waiting for the import of the template version: it is still pending;"
        " call the tool again to keep waiting"
    }
    assert pushed.workspaces() == []


def test_an_import_that_fails_is_the_reason(chat: Chat) -> None:
    push(chat, {"plan": {"error": "no such flavor"}})
    settings = replace(FAST, timeout=timedelta(seconds=60))
    with chat.building():
        answer = create_workspace(chat.context(settings), template_id="fresh")
    assert "has failed to import" in answer["error"]
    assert "no such flavor" in answer["error"]
