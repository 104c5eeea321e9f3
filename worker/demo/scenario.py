"""The actions of the demo's steps: users, templates, builds, and the ledger of machines."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from db.catalog.people import add_group_member, create_group, create_organization, create_user
from db.catalog.templates import push_template
from db.catalog.workspaces import create_workspace, get_workspace
from db.engine import Database
from db.jobs.imports import VariableValue
from db.jobs.transitions import cancel_job
from db.reads.follow import await_end
from db.reads.jobs import Job, get_job
from db.schema.enums import ProvisionerType, Transition
from db.schema.tables import Organization, Template, User
from provisioner.host.packing import pack_template
from provisioner.template.source import read_source
from worker.broker.doorbell import Ring
from worker.demo.report import Expectation, Report
from worker.enqueue import enqueue_build
from worker.waiting import wait_until

TEMPLATES = ("machine", "out-of-stock", "parameterised", "variables", "slow")
USERS = ("alice", "bob")
TEAM_ALLOWANCE = 10
LIMIT_S = 120.0

Print = Callable[[str], None]


class DemoError(Exception):
    """The demo cannot run here, or it is stuck; the message says why."""


@dataclass(kw_only=True)
class Scenario:
    """Carries out the steps of the demo, and reports the results."""

    database: Database
    ring: Ring
    ledger: Path
    print: Print
    users: dict[str, User] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    report: Report = field(default_factory=Report)

    def prepare(self, templates: Path) -> None:
        """Create the organization, its users and its templates."""
        self.ledger.mkdir()
        with self.database.begin() as session:
            organization = create_organization(session, name="acme", is_default=True)
            team = create_group(
                session, name="team", organization=organization, quota_allowance=TEAM_ALLOWANCE
            )
            for name in USERS:
                self.users[name] = create_user(session, username=name, organization=organization)
                add_group_member(session, group=team, user=self.users[name])
        for name in TEMPLATES:
            self._push(templates / name, organization)

    def create(
        self, workspace: str, template: str, expected: Expectation, *, owner: str = "alice"
    ) -> None:
        """Create a workspace and wait until its first build has ended as expected."""
        self.finish(self.begin(workspace, template, owner=owner), expected)

    def begin(self, workspace: str, template: str, *, owner: str) -> uuid.UUID:
        """Create a workspace and return the job of its first build."""
        with self.database.begin() as session:
            made = create_workspace(
                session,
                owner=self.users[owner],
                template=self.templates[template],
                name=workspace,
            )
            build = enqueue_build(
                session, workspace_id=made.id, transition=Transition.START, ring=self.ring
            )
        return build.job_id

    def build(
        self, workspace: str, transition: Transition, expected: Expectation, *, owner: str = "alice"
    ) -> None:
        """Build an existing workspace, and wait until the build has ended as expected."""
        with self.database.begin() as session:
            made = get_workspace(session, owner=self.users[owner], name=workspace)
            build = enqueue_build(
                session, workspace_id=made.id, transition=transition, ring=self.ring
            )
        self.finish(build.job_id, expected)

    def cancel(self, job_id: uuid.UUID) -> None:
        """Request the cancellation of a build."""
        with self.database.begin() as session:
            cancel_job(session, job_id=job_id)

    def finish(self, job_id: uuid.UUID, expected: Expectation) -> None:
        """Wait until the build has ended, print the result, and compare it with the expectation.

        Raises:
            DemoError: the build does not end within two minutes.
        """
        if await_end(self.database, job_id, limit_s=LIMIT_S).status.is_active:
            raise DemoError(f"the build did not end within {LIMIT_S:g} seconds")
        with self.database.begin() as session:
            build = get_job(session, job_id)
        self.report.builds.append(build)
        self.check(not (problem := expected.problem_with(build)), problem or "")
        self._print(build)

    def machines(self, prefix: str) -> list[str]:
        """Return the existing machines of the ledger cloud whose names start with ``prefix``."""
        names = (json.loads(path.read_text())["name"] for path in self.ledger.glob("*.json"))
        return sorted(name for name in names if name.startswith(prefix))

    def check(self, holds: bool, problem: str) -> None:
        """Report ``problem`` unless it holds."""
        if not holds:
            self.report.problems.append(problem)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Return when the condition holds.

        Raises:
            DemoError: the condition does not hold within two minutes.
        """
        if not wait_until(condition, limit_s=LIMIT_S):
            raise DemoError(f"waited {LIMIT_S:g} seconds for {what}")

    def _print(self, build: Job) -> None:
        quota = ""
        if build.quota_budget is not None:
            quota = f", {build.quota_credits_consumed} of {build.quota_budget} credits in use"
        self.print(f"  {build.workspace_name} {build.transition}: {build.status}{quota}")
        if build.error:
            self.print(f"    {build.error_code or 'no error code'}: {build.error}")

    def _push(self, directory: Path, organization: Organization) -> None:
        given = {"ledger_dir": str(self.ledger)}
        archive = pack_template(directory)
        with self.database.begin() as session:
            version = push_template(
                session,
                organization=organization,
                name=directory.name,
                archive=archive,
                created_by=self.users["alice"],
                variables=[
                    VariableValue(
                        name=variable.name,
                        type=variable.type,
                        required=variable.required,
                        value=given.get(variable.name),
                    )
                    for variable in read_source(archive, ProvisionerType.TERRAFORM).variables
                ],
            )
            self.templates[directory.name] = session.get_one(Template, version.template_id)
