"""Browsers without JavaScript in which users have signed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from db.schema.enums import TokenScope
from db.schema.tables import User
from tests.harness.api.client import open_http
from tests.harness.api.door import Door


@pytest.fixture
def browsers(door: Door) -> Iterator[list[httpx.Client]]:
    made: list[httpx.Client] = []
    yield made
    for browser in made:
        browser.close()


@pytest.fixture
def sign_in(door: Door, browsers: list[httpx.Client]) -> Any:
    """Returns a browser in which a user has signed in."""

    def make(user: User, scope: TokenScope = TokenScope.ADMIN) -> httpx.Client:
        browser = open_http(door.url)
        browsers.append(browser)
        answer = browser.post("/signin", data={"token": door.token(user, scope)})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")
        return browser

    return make
