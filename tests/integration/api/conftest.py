"""A server of the API on the test's database, with an owner, a member and templates."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.schema.tables import ProvisionerJob, User, WorkspaceBuild
from tests.harness.api.client import Client
from tests.harness.api.door import Door
from tests.harness.api.serving import served
from tests.harness.factory import Factory
from tests.integration.chattool.chatting import Chat
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


@pytest.fixture
def known(door: Door, owner: User, alice: User) -> Mapping[str, str]:
    """What alice and the owner have: the values of the parameters in paths."""
    template = door.factory.template(organization=door.organization, created_by=owner, name="dev")
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    job = door.factory.finished_build(workspace)
    with door.factory.database.begin() as session:
        build = session.scalars(select(WorkspaceBuild).where(WorkspaceBuild.job_id == job.id)).one()
        file_id = session.get_one(ProvisionerJob, job.id).file_id
    return {
        "workspace": str(workspace.id),
        "build": str(build.id),
        "job": str(job.id),
        "template": str(template.id),
        "version": str(template.active_version_id),
        "organization": "acme",
        "user": "alice",
        "name": "box",
        "number": "1",
        "file": str(file_id),
        "token": door.token(alice, name="box").partition("-")[0],
        "agent": str(uuid.uuid4()),
        "webhook": str(uuid.uuid4()),
        "queue": "builds",
        "worker": "build-1",
        "limit": "workspaces_per_chat",
        "group": "Everyone",
    }


@pytest.fixture
def chat(door: Door, alice: User, owner: User, tmp_path: Path) -> Chat:
    """Alice's chat, with a template whose builds cost 60 of 100 credits."""
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
