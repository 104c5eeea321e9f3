"""A chat for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.factory import Factory
from tests.integration.chattool.chatting import Chat, make_chat


@pytest.fixture
def chat(factory: Factory, tmp_path: Path) -> Chat:
    return make_chat(factory, tmp_path)
