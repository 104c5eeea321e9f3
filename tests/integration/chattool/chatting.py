"""A chat for tests of the tools: people, a template, and a thread that plays echo builds."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from chattool import (
    AuthorizationError,
    ToolContext,
    ToolSettings,
    create_workspace,
    start_workspace,
)
from db.catalog.chats import bind_chat, open_chat
from db.jobs.mover import Mover
from db.reads.chats import BoundWorkspace, find_bound_workspace
from db.schema.enums import JobStatus, ProvisionerType, Transition, UserStatus
from db.schema.tables import Organization, Template, User, Workspace
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.host.interrupt import Interrupt
from tests.harness.authorization import CountingAuthorization
from tests.harness.factory import Factory

TICK_S = 0.02
FAST = ToolSettings(
    poll=timedelta(milliseconds=20),
    timeout=timedelta(seconds=30),
    quota_timeout=timedelta(seconds=5),
)
SHORT = replace(FAST, timeout=timedelta(milliseconds=60))


@dataclass(kw_only=True)
class Chat:
    """One chat of one owner, who is in an organization with one template."""

    factory: Factory
    organization: Organization
    owner: User
    template: Template
    work_root: Path
    authorization: CountingAuthorization = field(default_factory=CountingAuthorization)

    def context(self, settings: ToolSettings = FAST, *, chat_id: str = "chat") -> ToolContext:
        return ToolContext(
            database=self.factory.database,
            chat_id=chat_id,
            owner_id=self.owner.id,
            organization_id=self.organization.id,
            authorization=self.authorization,
            settings=settings,
            ring=lambda _queue: True,
        )

    def push(self, script: Mapping[str, Any]) -> Template:
        return self.factory.template(
            organization=self.organization, created_by=self.owner, script=script
        )

    def bound(self, template: Template | None = None) -> Workspace:
        """A workspace of this chat, still without a build."""
        return self.factory.workspace(owner=self.owner, template=template or self.template)

    def bind(self, workspace: Workspace, build_id: uuid.UUID) -> None:
        key = self.context().chat
        with self.factory.database.begin() as session:
            open_chat(session, key)
            bind_chat(session, key, workspace_id=workspace.id, build_id=build_id)

    def ended(
        self, transition: Transition = Transition.START, **outcome: Any
    ) -> tuple[Workspace, uuid.UUID]:
        """The chat's workspace after a build that ended so."""
        workspace = self.bound()
        job = self.factory.finished_build(workspace, transition, **outcome)
        return self.bind_job(workspace, job.id)

    def active(
        self, transition: Transition = Transition.START, template: Template | None = None
    ) -> tuple[Workspace, uuid.UUID]:
        """The chat's workspace with a build that waits for a worker."""
        workspace = self.bound(template)
        build = self.factory.build(workspace, transition)
        self.bind(workspace, build.build_id)
        return workspace, build.build_id

    def look(self) -> BoundWorkspace:
        with self.factory.database.begin() as session:
            bound = find_bound_workspace(session, self.context().chat)
        assert bound is not None
        return bound

    def workspaces(self) -> list[Workspace]:
        with self.factory.database.begin() as session:
            query = select(Workspace).where(Workspace.owner_id == self.owner.id)
            return list(session.scalars(query))

    def suspend(self) -> None:
        with self.factory.database.begin() as session:
            session.get_one(User, self.owner.id).status = UserStatus.SUSPENDED

    @contextmanager
    def building(self) -> Iterator[None]:
        """Run every build that turns up, one after the other, while the block runs."""
        done = threading.Event()
        failures: list[BaseException] = []
        thread = threading.Thread(target=self._build_until, args=(done, failures))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=30)
        assert not failures

    def _build_until(self, done: threading.Event, failures: list[BaseException]) -> None:
        try:
            while not done.wait(TICK_S):
                self.build_next()
        except BaseException as error:
            failures.append(error)
            raise

    def build_next(self) -> JobStatus | None:
        """Run the next build that waits, if there is one."""
        job = self.factory.claim()
        if job is None:
            return None
        runner = Runner(
            mover=Mover(database=self.factory.database),
            engines={ProvisionerType.ECHO: EchoEngine()},
            settings=BuildSettings(work_root=self.work_root, host_environment=dict(os.environ)),
        )
        runner.run(job, Interrupt())
        return self.factory.status(job.id)

    def bind_job(self, workspace: Workspace, job_id: uuid.UUID) -> tuple[Workspace, uuid.UUID]:
        with self.factory.database.begin() as session:
            build_id = session.execute(
                text("SELECT id FROM workspace_builds WHERE job_id = :job_id"), {"job_id": job_id}
            ).scalar_one()
        self.bind(workspace, build_id)
        return workspace, build_id


def make_chat(factory: Factory, work_root: Path, *, allowance: int = 40) -> Chat:
    organization = factory.organization(everyone_allowance=allowance)
    owner = factory.user(organization=organization, username="alice")
    template = factory.template(
        organization=organization,
        created_by=owner,
        name="dev",
        script={
            "parse": {"parameters": [{"name": "size", "default": "1"}]},
            "apply": {"resources": [{"type": "echo_disk", "name": "home", "daily_cost": 10}]},
        },
    )
    return Chat(
        factory=factory,
        organization=organization,
        owner=owner,
        template=template,
        work_root=work_root,
    )


def call(chat: Chat, tool: str) -> dict[str, Any]:
    """Call the tool of that short name."""
    if tool == "create":
        return create_workspace(chat.context(), template_id="dev")
    return start_workspace(chat.context())


def failing(chat: Chat) -> Chat:
    """The chat, whose owner nobody can authorize."""

    def fail() -> None:
        raise AuthorizationError("load user authorization: no answer")

    chat.authorization = CountingAuthorization(before=fail)
    return chat
