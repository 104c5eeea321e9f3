"""What the demo is played on: people, templates, workspaces, and the ledger of machines."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from db.catalog.people import add_group_member, create_group, create_organization, create_user
from db.catalog.templates import VariableValue, push_template
from db.catalog.workspaces import create_workspace, get_workspace
from db.engine import Database
from db.jobs.transitions import cancel_job
from db.reads.listing import JobListing, get_job
from db.schema.enums import ProvisionerType, Transition
from db.schema.tables import Organization, Template, User
from provisioner.host.archive import pack_template
from provisioner.template.source import read_source
from worker.broker.doorbell import Ring
from worker.demo.story import Expectation, Story, played_build
from worker.enqueue import enqueue_build

TEMPLATES = ("machine", "out-of-stock", "parameterised", "variables", "slow")
USERS = ("alice", "bob")
TEAM_ALLOWANCE = 10
TICK_S = 0.05
WAIT_S = 120.0

Tell = Callable[[str], None]


class DemoError(Exception):
    """The demo cannot be played here, or came to a halt; the message says why."""


@dataclass(kw_only=True)
class Stage:
    """Does what the scenes ask for, and notes what came of it."""

    database: Database
    ring: Ring
    ledger: Path
    tell: Tell
    users: dict[str, User] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    story: Story = field(default_factory=Story)

    def set(self, templates: Path) -> None:
        """Make the organization, its people and its templates."""
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
        """Create a workspace and see its first build to its end."""
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
        """Build a workspace that is there, and see it to its end."""
        with self.database.begin() as session:
            made = get_workspace(session, owner=self.users[owner], name=workspace)
            build = enqueue_build(
                session, workspace_id=made.id, transition=transition, ring=self.ring
            )
        self.finish(build.job_id, expected)

    def cancel(self, job_id: uuid.UUID) -> None:
        """Ask for the end of a build."""
        with self.database.begin() as session:
            cancel_job(session, job_id=job_id)

    def finish(self, job_id: uuid.UUID, expected: Expectation) -> None:
        """Wait for the build's end, tell of it, and hold it against what was expected."""
        self.wait_until(lambda: not self._job(job_id).status.is_active, "the build to end")
        build = played_build(self._job(job_id))
        self.story.builds.append(build)
        self.check(not (problem := expected.problem_with(build)), problem or "")
        quota = ""
        if build.budget is not None:
            quota = f", {build.credits_consumed} of {build.budget} credits in use"
        self.tell(f"  {build.workspace} {build.transition}: {build.status}{quota}")
        if build.error:
            self.tell(f"    {build.error_code or 'no error code'}: {build.error}")

    def machines(self, prefix: str) -> list[str]:
        """Return the machines that exist in the ledger cloud, by the start of their names."""
        names = (json.loads(path.read_text())["name"] for path in self.ledger.glob("*.json"))
        return sorted(name for name in names if name.startswith(prefix))

    def check(self, holds: bool, problem: str) -> None:
        """Note ``problem`` unless it holds."""
        if not holds:
            self.story.problems.append(problem)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return when the condition holds.

        Raises:
            DemoError: it does not within two minutes.
        """
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end:
                raise DemoError(f"waited {WAIT_S:g} seconds for {what}")
            time.sleep(TICK_S)

    def _job(self, job_id: uuid.UUID) -> JobListing:
        with self.database.begin() as session:
            return get_job(session, job_id)

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
