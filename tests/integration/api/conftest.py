"""A server of the API on the test's database, with an owner, a member and a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from db.engine import Database
from db.schema.tables import User
from tests.harness.api.client import Client
from tests.harness.api.door import Door
from tests.harness.api.serving import served
from tests.harness.factory import Factory
from worker.embedded import Embedded


@pytest.fixture
def door(database: Database, factory: Factory, embedded: Embedded) -> Iterator[Door]:
    assert embedded.redis_url is not None
    organization = factory.organization(name="acme", everyone_allowance=100)
    with served(database, redis_url=embedded.redis_url) as (url, site):
        made = Door(url=url, site=site, factory=factory, organization=organization)
        yield made
    # Streams end with the server.
    for client in made.clients:
        client.close()


@pytest.fixture
def owner(door: Door) -> User:
    return door.user("owner", name="ada")


@pytest.fixture
def alice(door: Door) -> User:
    return door.user(name="alice")


@pytest.fixture
def admin(door: Door, owner: User) -> Client:
    """The client of an owner of the site."""
    return door.client(owner)


@pytest.fixture
def member(door: Door, alice: User) -> Client:
    """The client of a member without roles."""
    return door.client(alice)


Doing = Callable[[], Any]
