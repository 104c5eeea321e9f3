"""The actions of the demo's steps: users, templates, builds, and the ledger of machines."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from db.catalog.dryruns import new_workspace
from db.catalog.people import add_group_member, create_group, create_organization, create_user
from db.catalog.templates import Push, get_template
from db.catalog.versions import EnqueuedImport
from db.catalog.workspaces import create_workspace, get_workspace
from db.engine import Database
from db.errors import ParameterValidationError
from db.jobs.transitions import cancel_job
from db.reads.dryruns import get_dry_run
from db.reads.follow import await_end
from db.reads.jobs import Job, get_job
from db.schema.enums import JobErrorCode, Transition
from db.schema.tables import Organization, Template, TemplateVersion, User
from provisioner.host.packing import pack_template
from quota.forecast import forecast_of
from worker.broker.ringer import Ring
from worker.demo.report import Expectation, Report, name_of
from worker.enqueue import enqueue_build
from worker.planning import enqueue_dry_run
from worker.pushing import enqueue_import
from worker.waiting import wait_until

TEMPLATES = ("machine", "out-of-stock", "parameterised", "slow")
OF_THE_LEDGER = ("machine", "out-of-stock", "slow")
"""Those that need to know the folder of the ledger."""
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
    organization: Organization = field(init=False)
    folder: Path = field(init=False)
    users: dict[str, User] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    report: Report = field(default_factory=Report)

    def prepare(self, templates: Path) -> None:
        """Create the organization, its users and its templates."""
        self.ledger.mkdir()
        self.ledger.chmod(0o777)  # builds of a worker that root runs have users of their own
        with self.database.begin() as session:
            organization = create_organization(session, name="acme", is_default=True)
            team = create_group(
                session, name="team", organization=organization, quota_allowance=TEAM_ALLOWANCE
            )
            for name in USERS:
                self.users[name] = create_user(session, username=name, organization=organization)
                add_group_member(session, group=team, user=self.users[name])
        self.organization, self.folder = organization, templates

    def import_templates(self) -> None:
        """Let the worker import the templates that the builds need."""
        pushed = [(name, self._push(name, name)) for name in TEMPLATES]
        for name, version in pushed:
            self._await(version.job_id)
            with self.database.begin() as session:
                self.templates[name] = get_template(
                    session, name=name, organization=self.organization
                )
                self.check(
                    self.templates[name].active_version_id == version.version_id,
                    f"{name}: the imported version is not active",
                )

    def push(self, template: str, expected: Expectation, *, folder: str | None = None) -> None:
        """Push a template and wait until its import has ended as expected.

        Args:
            folder: that of the files; by default the one with the template's name.
        """
        self.finish(self._push(template, folder or template).job_id, expected)

    def forecast(self, workspace: str, template: str, *, fits: bool, owner: str = "alice") -> None:
        """Plan a new workspace, and report a problem if the quota's forecast is another one."""
        with self.database.begin() as session:
            planned = new_workspace(
                owner=self.users[owner], template=self.templates[template], name=workspace
            )
            run = enqueue_dry_run(session, planned, ring=self.ring)
        self._await(run.job_id)
        with self.database.begin() as session:
            found = forecast_of(session, get_dry_run(session, run.job_id))
        if found is None:
            self.check(False, f"{workspace}: the dry run did not succeed")
            return
        self.print(
            f"  {workspace} plan: costs {found.daily_cost}, {found.credits_consumed} of"
            f" {found.budget} credits in use: quota would {'permit' if found.ok else 'refuse'} it"
        )
        self.check(found.ok is fits, f"{workspace}: the forecast is wrong")

    def check_active(self, template: str, version: str) -> None:
        """Report a problem unless the version is the template's active one."""
        with self.database.begin() as session:
            found = get_template(session, name=template, organization=self.organization)
            active = session.get_one(TemplateVersion, found.active_version_id).name
        self.check(active == version, f"{template}: {active} is active, expected {version}")

    def refuse(self, workspace: str, template: str, code: JobErrorCode, *, owner: str) -> None:
        """Enqueue a build that is refused at once, with an error code."""
        try:
            self.begin(workspace, template, owner=owner)
        except ParameterValidationError as error:
            self.print(f"  {workspace} start: refused\n    {error.error_code}: {error}")
            self.check(error.error_code == code, f"{workspace}: refused without {code}")
        else:
            self.check(False, f"{workspace}: not refused")

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
        self._await(job_id)
        with self.database.begin() as session:
            build = get_job(session, job_id)
        self.report.builds.append(build)
        self.check(not (problem := expected.problem_with(build)), problem or "")
        self._print(build)

    def _await(self, job_id: uuid.UUID) -> None:
        if await_end(self.database, job_id, limit_s=LIMIT_S).status.is_active:
            raise DemoError(f"the job did not end within {LIMIT_S:g} seconds")

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
        self.print(f"  {name_of(build)}: {build.status}{quota}")
        if build.error:
            self.print(f"    {build.error_code or 'no error code'}: {build.error}")

    def _push(self, name: str, folder: str) -> EnqueuedImport:
        push = Push(
            organization=self.organization,
            name=name,
            archive=pack_template(self.folder / folder),
            created_by=self.users["alice"],
            values={"ledger_dir": str(self.ledger)} if name in OF_THE_LEDGER else {},
        )
        with self.database.begin() as session:
            return enqueue_import(session, push, ring=self.ring)
