"""The API without the key of what is sealed: it says so, and stays up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db.engine import open_database
from db.jobs.results import BuildResult
from db.schema.tables import User
from db.sealing.keyring import Key, Keyring
from tests.harness.api.client import Client, refused
from tests.harness.api.door import Door
from tests.harness.factory import Factory
from tests.harness.states import state_of

KEY = Key(b"k" * 32)


@pytest.fixture
def sealing(database_url: str) -> Iterator[Factory]:
    """Another process, which has the key."""
    database = open_database(database_url, pool_size=1, keyring=Keyring((KEY,)))
    yield Factory(database=database)
    database.dispose()


def test_a_state_whose_key_is_missing_is_refused_and_the_workspace_can_be_stopped(
    door: Door, admin: Client, owner: User, sealing: Factory
) -> None:
    template = sealing.template(organization=door.organization, created_by=owner)
    workspace = sealing.workspace(owner=owner, template=template)
    sealing.finished_build(workspace, result=BuildResult(state=state_of(1)))
    build = admin.send("GET", f"workspaces/{workspace.id}").json()["latest_build"]["id"]
    path = f"workspacebuilds/{build}/state"

    error = refused(lambda: admin.ask("GET", path))

    assert error.status == 409
    assert error.message == (
        f"the state of workspace {workspace.id} is sealed with key {KEY.name},"
        " which PROVISIONERD_ENCRYPTION_KEYS lacks"
    )
    stop = {"transition": "stop"}
    admin.ask("POST", f"workspaces/{workspace.id}/builds", body=stop, status=201)
