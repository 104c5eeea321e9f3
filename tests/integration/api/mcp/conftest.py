"""A running API with a template whose builds cost 60 of 100 credits, and a thread that builds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.schema.tables import User
from tests.harness.api.door import Door
from tests.integration.chattool.chatting import Chat


@pytest.fixture
def chat(door: Door, alice: User, owner: User, tmp_path: Path) -> Chat:
    template = door.factory.template(
        organization=door.organization,
        created_by=owner,
        name="dev",
        script={
            "parse": {"parameters": [{"name": "size", "default": "1"}]},
            "apply": {"resources": [{"type": "echo_disk", "name": "home", "daily_cost": 60}]},
            "stop": {"apply": {"resources": [{"type": "echo_disk", "name": "home"}]}},
        },
    )
    return Chat(
        factory=door.factory,
        organization=door.organization,
        owner=alice,
        template=template,
        work_root=tmp_path,
    )


@pytest.fixture
def built(chat: Chat) -> Iterator[Chat]:
    """The chat, whose builds are run as they turn up."""
    with chat.building():
        yield chat
