"""The agents' tools with a real worker, real Terraform, PostgreSQL and Redis."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chattool import (
    ToolContext,
    ToolSettings,
    create_workspace,
    start_workspace,
    wait_for_build,
)
from db.catalog.chats import bind_chat, open_chat
from db.catalog.people import set_quota_allowance
from db.engine import Database
from db.schema.enums import ProvisionerType, Transition
from db.schema.tables import Group, Organization, Template, User, Workspace
from tests.harness.answers import QUOTA_REFUSED
from tests.harness.authorization import CountingAuthorization
from tests.harness.databases import copied_database, database_url_of, opened_database
from tests.harness.factory import Factory, tar_archive
from worker.embedded import Embedded
from worker.process.children import free_address, running_worker

FAST = ToolSettings(
    poll=timedelta(milliseconds=50),
    timeout=timedelta(seconds=60),
    quota_timeout=timedelta(seconds=10),
)
MACHINE = b"""
variable "workspace_transition" {}

resource "terraform_data" "machine" {
  input = { daily_cost = var.workspace_transition == "start" ? 10 : 1 }
}
"""
# What a cloud says when the account there has no room: none of our quota's business.
OUT_OF_STOCK = b"""
resource "terraform_data" "machine" {
  lifecycle {
    precondition {
      condition     = terraform.workspace == "never"
      error_message = "the provider says: insufficient quota in us-east1."
    }
  }
}
"""
MACHINE_ROW = {"type": "terraform_data", "name": "machine", "daily_cost": 10}


@dataclass(frozen=True, kw_only=True)
class Site:
    """An installation with one worker and two templates."""

    factory: Factory
    environment: Mapping[str, str]
    organization: Organization
    machine: Template
    out_of_stock: Template


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user with a chat and a group that gives the allowance."""

    site: Site
    user: User
    group: Group

    def context(self) -> ToolContext:
        return ToolContext(
            database=self.site.factory.database,
            chat_id="chat",
            owner_id=self.user.id,
            organization_id=self.site.organization.id,
            authorization=CountingAuthorization(),
            settings=FAST,
            # The worker's sweeper finds the build: the doorbell is a matter of the shell's tests.
            ring=lambda _queue: False,
        )

    def allow(self, allowance: int) -> None:
        with self.site.factory.database.begin() as session:
            set_quota_allowance(session, session.merge(self.group), allowance)

    def workspaces(self) -> list[Workspace]:
        with self.site.factory.database.begin() as session:
            query = select(Workspace).where(Workspace.owner_id == self.user.id)
            return list(session.scalars(query))

    def build(self, workspace: Workspace, transition: Transition) -> uuid.UUID:
        """Enqueue a build, as somebody would who is not the agent."""
        build = self.site.factory.build(workspace, transition)
        with self.site.factory.database.begin() as session:
            open_chat(session, self.context().chat)
            bind_chat(
                session,
                self.context().chat,
                workspace_id=workspace.id,
                build_id=build.build_id,
            )
        return build.build_id

    def shell(self, tool: str, arguments: Mapping[str, Any]) -> subprocess.Popen[str]:
        """Call the tool in a process of its own."""
        return subprocess.Popen(
            [
                sys.executable, "-m", "cli.main", "tools", "call", tool,
                "--json", json.dumps(arguments), "--chat", "chat",
                "--owner", self.user.username, "--organization", self.site.organization.name,
            ],
            env=dict(self.site.environment),
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(output)
    return answer


@pytest.fixture(scope="module")
def site(embedded: Embedded, template_database: str) -> Iterator[Site]:
    # Short: Unix sockets of providers stand below it.
    directory = Path(tempfile.mkdtemp(prefix="pd-"))
    try:
        with (
            copied_database(embedded, template_database) as name,
            opened_database(database_url_of(embedded, name), pool_size=10) as database,
        ):
            environment = _environment(embedded, name, directory)
            with running_worker(environment, name="chattool", log=directory / "worker.log"):
                yield _furnish(database, environment)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _environment(embedded: Embedded, name: str, directory: Path) -> Mapping[str, str]:
    assert embedded.redis_url is not None
    theirs = {key: value for key, value in os.environ.items() if "PROVISIONERD_" not in key}
    return {
        **theirs,
        "PROVISIONERD_DATABASE_URL": database_url_of(embedded, name),
        "PROVISIONERD_REDIS_URL": embedded.redis_url,
        "PROVISIONERD_DATA_DIR": str(directory),
        "PROVISIONERD_METRICS_ADDRESS": free_address(),
        "PROVISIONERD_SWEEP_SECONDS": "0.3",
        "PROVISIONERD_TOOL_POLL_SECONDS": "0.1",
        "PROVISIONERD_TOOL_QUOTA_TIMEOUT_SECONDS": "10",
    }


def _furnish(database: Database, environment: Mapping[str, str]) -> Site:
    factory = Factory(database=database)
    organization = factory.organization()
    author = factory.user(organization=organization)

    def push(name: str, source: bytes) -> Template:
        return factory.template(
            organization=organization,
            created_by=author,
            name=name,
            archive=tar_archive({"main.tf": source}),
            provisioner=ProvisionerType.TERRAFORM,
        )

    return Site(
        factory=factory,
        environment=environment,
        organization=organization,
        machine=push("machine", MACHINE),
        out_of_stock=push("out-of-stock", OUT_OF_STOCK),
    )


@pytest.fixture
def person(site: Site) -> Person:
    """Somebody with an allowance for one machine."""
    user = site.factory.user(organization=site.organization)
    group = site.factory.group(organization=site.organization, allowance=10, members=[user])
    return Person(site=site, user=user, group=group)


def test_a_workspace_is_created_then_stopped_then_started(person: Person) -> None:
    created = create_workspace(person.context(), template_id="machine", name="box")
    assert (created["created"], created["resources"]) == (True, [MACHINE_ROW])
    stop_id = person.build(person.workspaces()[0], Transition.STOP)
    wait_for_build(person.site.factory.database, stop_id, settings=FAST)
    started = start_workspace(person.context())
    assert started == {
        "started": True,
        "workspace_name": f"{person.user.username}/box",
        "build_id": started["build_id"],
        "resources": [MACHINE_ROW],
    }


def test_a_provider_that_mentions_quota_fails_the_ordinary_way(person: Person) -> None:
    answer = create_workspace(person.context(), template_id="out-of-stock")
    assert answer["error"].startswith("workspace build failed: ")
    assert "insufficient quota in us-east1" in answer["error"]
    assert set(answer) == {"error", "build_id"}


def test_a_build_in_progress_that_quota_refuses_is_told_by_create(person: Person) -> None:
    person.allow(9)
    workspace = person.site.factory.workspace(owner=person.user, template=person.site.machine)
    build_id = person.build(workspace, Transition.START)
    answer = create_workspace(person.context(), template_id="machine")
    assert (answer["error_code"], answer["build_id"]) == ("INSUFFICIENT_QUOTA", str(build_id))
    assert answer["error"].startswith("existing workspace build failed: insufficient quota")
    assert answer["quota"] == {"credits_consumed": 0, "budget": 9}


def test_a_start_that_quota_refuses_is_told(person: Person) -> None:
    create_workspace(person.context(), template_id="machine")
    stop_id = person.build(person.workspaces()[0], Transition.STOP)
    wait_for_build(person.site.factory.database, stop_id, settings=FAST)
    person.allow(5)
    answer = start_workspace(person.context())
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert answer["error"].startswith("workspace start build failed: insufficient quota")
    assert answer["message"].startswith("The workspace could not be started because")
    assert answer["quota"] == {"credits_consumed": 0, "budget": 5}


def test_the_shell_prints_what_an_agent_hears_when_the_quota_is_full(person: Person) -> None:
    person.allow(9)
    answer = answer_of(person.shell("create_workspace", {"template_id": "machine"}))
    assert answer == {**QUOTA_REFUSED, "build_id": answer["build_id"]}


def test_two_processes_that_create_for_one_chat_at_once_make_one_workspace(
    person: Person,
) -> None:
    calls = [person.shell("create_workspace", {"template_id": "machine"}) for _ in range(2)]
    answers = [answer_of(process) for process in calls]
    assert len(person.workspaces()) == 1
    assert sorted(answer["created"] for answer in answers) == [False, True]
    assert len({answer["build_id"] for answer in answers}) == 1
