"""Builds that ask the platform for secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db.jobs.mover import Mover
from db.jobs.transitions import cancel_job
from db.schema.enums import FailureReason, ProvisionerType, Transition
from provisioner.build.attempt import BuildSettings
from provisioner.build.endings import Canceled, Ending, Succeeded
from provisioner.build.failures import FailedJob
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import BuildContext, Plan
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.platform.hook import BuildHook, BuildSecrets, HookError, HookRequest
from provisioner.platform.platform import Platform
from tests.harness.factory import Factory


class NotingEngine(EchoEngine):
    """An echo engine that notes what it was given."""

    environment: Mapping[str, str] = {}
    sensitive: frozenset[str] = frozenset()

    def plan(self, context: BuildContext) -> Plan:
        self.environment, self.sensitive = context.environment, context.sensitive
        return super().plan(context)


class Building:
    """Runs one build with a hook, and keeps what the hook and the engine were given."""

    def __init__(self, factory: Factory, work_root: Path) -> None:
        self.factory = factory
        self.work_root = work_root
        self.engine = NotingEngine()
        self.interrupt = Interrupt()
        self.asked: list[dict[str, Any]] = []

    def run(
        self,
        hook: BuildHook | None,
        transition: Transition = Transition.START,
        *,
        meanwhile: str = "",
    ) -> Ending:
        """Run a build; the statement ``meanwhile`` runs after its claim."""
        workspace = self.factory.any_workspace()
        job = self.factory.running_build(workspace, transition)
        if meanwhile:
            with self.factory.database.begin() as session:
                session.execute(text(meanwhile))
        runner = Runner(
            mover=Mover(database=self.factory.database),
            engines={ProvisionerType.ECHO: self.engine},
            settings=BuildSettings(
                work_root=self.work_root,
                host_environment={},
                platform=Platform(access_url="https://coder.example.com", hook=hook),
            ),
        )
        return runner.run(job, self.interrupt)

    def answer(self, request: HookRequest, interrupt: Interrupt) -> BuildSecrets:
        assert interrupt is self.interrupt
        self.asked.append(request.as_json())
        return BuildSecrets(session_token="a-secret-token")

    def roles(self) -> list[str]:
        """The names of the owner's roles that the engine was given."""
        roles = json.loads(self.engine.environment["CODER_WORKSPACE_OWNER_RBAC_ROLES"])
        return [role["name"] for role in roles]

    def lines(self) -> str:
        with self.factory.database.begin() as session:
            return "\n".join(session.scalars(text("SELECT output FROM provisioner_job_logs")))


def fail(_request: HookRequest, _interrupt: Interrupt) -> BuildSecrets:
    raise HookError("it answered with the status 403")


@pytest.fixture
def building(factory: Factory, tmp_path: Path) -> Building:
    return Building(factory, tmp_path / "work")


def test_a_template_gets_the_secrets_and_its_log_does_not(building: Building) -> None:
    assert isinstance(building.run(building.answer), Succeeded)
    token = building.engine.environment["CODER_WORKSPACE_OWNER_SESSION_TOKEN"]
    assert token == "a-secret-token"
    assert token in building.engine.sensitive


def test_a_hook_is_told_about_the_build(building: Building) -> None:
    building.run(building.answer)
    [asked] = building.asked
    assert (asked["transition"], asked["build_number"], asked["attempt"]) == ("start", 1, 1)
    assert asked["owner"].keys() == {"id", "username", "email"}
    assert asked["external_auth"] == []


def test_without_a_hook_the_facts_of_the_owner_come_from_rows(building: Building) -> None:
    building.run(None)
    environment = building.engine.environment
    assert building.roles() == ["member", "organization-member"]
    assert environment["CODER_WORKSPACE_OWNER_LOGIN_TYPE"] == "password"
    assert environment["CODER_AGENT_URL"] == "https://coder.example.com"
    assert environment["CODER_WORKSPACE_OWNER_SESSION_TOKEN"] == ""


def test_the_roles_of_the_owner_are_not_those_of_other_members(building: Building) -> None:
    building.run(
        None,
        meanwhile="""
            WITH other AS (
                INSERT INTO users (username, email) VALUES ('other', 'other@example.com')
                RETURNING id
            )
            INSERT INTO organization_members (organization_id, user_id, roles)
            SELECT member.organization_id, other.id, '{organization-admin}'
            FROM organization_members AS member, other
        """,
    )
    assert building.roles() == ["member", "organization-member"]


def test_what_an_owner_has_can_be_deleted_after_they_left_the_organization(
    building: Building,
) -> None:
    ending = building.run(None, Transition.DELETE, meanwhile="DELETE FROM organization_members")
    assert isinstance(ending, Succeeded)
    assert building.roles() == ["member"]


def test_a_start_fails_before_its_plan_when_the_hook_fails(building: Building) -> None:
    ending = building.run(fail)
    assert isinstance(ending, FailedJob)
    assert (ending.reason, ending.error_code) == (FailureReason.HOOK, None)
    assert ending.error == (
        "the platform did not give the secrets of the build: it answered with the status 403"
    )
    assert building.engine.environment == {}


@pytest.mark.parametrize("transition", [Transition.STOP, Transition.DELETE])
def test_what_exists_can_be_ended_when_the_hook_fails(
    building: Building, transition: Transition
) -> None:
    assert isinstance(building.run(fail, transition), Succeeded)
    assert "it answered with the status 403; going on without them" in building.lines()


def test_a_build_that_is_canceled_while_it_asks_is_canceled(building: Building) -> None:
    def cancel(_request: HookRequest, interrupt: Interrupt) -> BuildSecrets:
        with building.factory.database.begin() as session:
            job_id = session.scalars(
                text("SELECT id FROM provisioner_jobs WHERE stage IS NOT NULL")
            )
            cancel_job(session, job_id=job_id.one())
        interrupt.request(InterruptReason.CANCEL)
        raise HookError("the build was interrupted")

    assert isinstance(building.run(cancel), Canceled)
