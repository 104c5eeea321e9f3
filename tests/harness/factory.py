"""Makes rows for tests, in the state that a test is about."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from db.catalog.builds import EnqueuedBuild, insert_build
from db.catalog.people import add_group_member, create_group, create_organization, create_user
from db.catalog.templates import Push
from db.catalog.workspaces import create_workspace
from db.engine import Database
from db.jobs.declarations import PlannedDeclarations
from db.jobs.finish import complete_job, fail_job, finish_cancel_job
from db.jobs.imports import ImportResult, store_import
from db.jobs.logs import LogRow, append_logs
from db.jobs.results import BuildResult, Failure, Timing
from db.jobs.transitions import ClaimedJob, cancel_job, claim_job, enter_stage
from db.jobs.variables import VariableValue
from db.reads.queues import claimable_jobs
from db.schema.enums import (
    BuildReason,
    FailureReason,
    JobErrorCode,
    JobStatus,
    LogLevel,
    LogSource,
    ProvisionerType,
    Stage,
    TimingStage,
    Transition,
)
from db.schema.tables import (
    Group,
    Organization,
    ProvisionerJob,
    Template,
    TemplateVersion,
    User,
    Workspace,
)
from tests.harness.imports import push_imported

WORKER_ID = uuid.UUID("00000000-0000-0000-0000-00000000aaaa")
LEASE = timedelta(minutes=5)


def echo_archive(script: Mapping[str, Any] | None = None) -> bytes:
    """Return the archive of an echo template that plays ``script``."""
    return tar_archive({"main.tf": b"# played by echo.json\n", "echo.json": _json(script or {})})


def tar_archive(files: Mapping[str, bytes]) -> bytes:
    """Return a plain tar of ``files``, contents by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def timing(stage: TimingStage, *, started_at: datetime, seconds: float = 0, **facts: str) -> Timing:
    """Return the timing of a whole stage, unless ``facts`` say of which step."""
    return Timing(
        stage=stage,
        source=facts.get("source", "provisionerd"),
        action=facts.get("action", "terraform"),
        resource=facts.get("resource", f"coder_stage_{stage}"),
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=seconds),
    )


@dataclass(kw_only=True)
class Factory:
    """Each method commits what it makes. Names are made up unless given."""

    database: Database

    def organization(self, *, name: str | None = None, everyone_allowance: int = 0) -> Organization:
        with self.database.begin() as session:
            return create_organization(
                session, name=name or _name("org"), everyone_allowance=everyone_allowance
            )

    def user(
        self, *, organization: Organization | None = None, username: str | None = None
    ) -> User:
        with self.database.begin() as session:
            return create_user(
                session, username=username or _name("user"), organization=organization
            )

    def group(
        self,
        *,
        organization: Organization,
        allowance: int = 0,
        members: Sequence[User] = (),
        name: str | None = None,
    ) -> Group:
        with self.database.begin() as session:
            group = create_group(
                session,
                name=name or _name("group"),
                organization=organization,
                quota_allowance=allowance,
            )
            for user in members:
                add_group_member(session, group=group, user=user)
            return group

    def template(
        self,
        *,
        organization: Organization,
        created_by: User,
        name: str | None = None,
        script: Mapping[str, Any] | None = None,
        archive: bytes | None = None,
        provisioner: ProvisionerType = ProvisionerType.ECHO,
        variables: Sequence[VariableValue] = (),
        values: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Template:
        push = Push(
            organization=organization,
            name=name or _name("template"),
            archive=archive or echo_archive(script),
            created_by=created_by,
            provisioner=provisioner,
            tags=tags or {},
            values=values or {},
        )
        with self.database.begin() as session:
            pushed = push_imported(session, push, variables=variables)
            version = session.get_one(TemplateVersion, pushed.version_id)
            return session.get_one(Template, version.template_id)

    def declare(self, template: Template, **declared: Any) -> None:
        """Store more declarations of the active version, as its import does."""
        with self.database.begin() as session:
            version = session.get_one(TemplateVersion, template.active_version_id)
            declares = PlannedDeclarations(**declared)
            store_import(session, version.job_id, ImportResult(declares=declares), is_ok=True)

    def forget_import(self, template_id: uuid.UUID) -> None:
        """Let the versions of a template have been pushed before there were imports."""
        statement = text("""
            DELETE FROM template_version_terraform_values
            WHERE template_version_id IN (SELECT id FROM template_versions WHERE template_id = :id)
        """)
        with self.database.begin() as session:
            session.execute(statement, {"id": template_id})

    def workspace(self, *, owner: User, template: Template, name: str | None = None) -> Workspace:
        with self.database.begin() as session:
            return create_workspace(
                session, owner=owner, template=template, name=name or _name("ws")
            )

    def any_workspace(self, *, allowance: int = 0, **template: Any) -> Workspace:
        """A workspace with an organization, an owner and a template of its own."""
        organization = self.organization(everyone_allowance=allowance)
        owner = self.user(organization=organization)
        made = self.template(organization=organization, created_by=owner, **template)
        return self.workspace(owner=owner, template=made)

    def namesake(self, workspace: Workspace, *, name: str | None = None) -> Workspace:
        """Another workspace of the same owner and template, of the same name unless given."""
        with self.database.begin() as session:
            made = Workspace(
                owner_id=workspace.owner_id,
                organization_id=workspace.organization_id,
                template_id=workspace.template_id,
                name=name or workspace.name,
            )
            session.add(made)
            return made

    def build(
        self,
        workspace: Workspace,
        transition: Transition = Transition.START,
        *,
        initiator_id: uuid.UUID | None = None,
        template_version_id: uuid.UUID | None = None,
        parameters: Mapping[str, str] | None = None,
        preset: uuid.UUID | str | None = None,
        reason: BuildReason = BuildReason.INITIATOR,
    ) -> EnqueuedBuild:
        """A pending build."""
        with self.database.begin() as session:
            return insert_build(
                session,
                workspace_id=workspace.id,
                transition=transition,
                initiator_id=initiator_id,
                template_version_id=template_version_id,
                parameters=parameters,
                preset=preset,
                reason=reason,
            )

    def claim(
        self, queue: str = "builds", *, worker_id: uuid.UUID = WORKER_ID, lease: timedelta = LEASE
    ) -> ClaimedJob | None:
        with self.database.begin() as session:
            return claim_job(session, queue=queue, worker_id=worker_id, lease=lease)

    def claimable(self, worker_id: uuid.UUID) -> dict[str, int]:
        """Return how many jobs of the plain queue the worker could claim."""
        with self.database.begin() as session:
            return claimable_jobs(
                session,
                queues=["builds"],
                provisioners=[ProvisionerType.ECHO],
                count_to=9,
                worker_id=worker_id,
            )

    def write_lines(
        self,
        job: ClaimedJob,
        *lines: str,
        stage: str = "Setting up",
        created_at: datetime | None = None,
    ) -> None:
        """Append lines to the log of a running job."""
        rows = [
            LogRow(
                created_at=created_at or datetime.now(UTC),
                source=LogSource.PROVISIONER,
                level=LogLevel.INFO,
                stage=stage,
                output=line,
            )
            for line in lines
        ]
        with self.database.begin() as session:
            append_logs(session, job.lease, rows=rows)

    def running_build(
        self,
        workspace: Workspace | None = None,
        transition: Transition = Transition.START,
        *,
        stage: Stage = Stage.SET_UP,
        lease: timedelta = LEASE,
        **build_facts: Any,
    ) -> ClaimedJob:
        """A build that a worker has claimed and that has come to ``stage``."""
        build = self.build(workspace or self.any_workspace(), transition, **build_facts)
        job = self.claim(build.queue, lease=lease)
        assert job is not None
        assert job.id == build.job_id, "another job waits in this queue"
        if stage is not Stage.SET_UP:
            with self.database.begin() as session:
                enter_stage(session, job.lease, stage=stage)
        return job

    def finished_build(
        self,
        workspace: Workspace | None = None,
        transition: Transition = Transition.START,
        *,
        status: JobStatus = JobStatus.SUCCEEDED,
        error: str = "it broke",
        error_code: JobErrorCode | None = None,
        result: BuildResult | None = None,
        **build_facts: Any,
    ) -> ClaimedJob:
        """A build that ended with ``status``; ``stage`` tells how far one that failed had come."""
        job = self.running_build(workspace, transition, **build_facts)
        lease = job.lease
        made = result or BuildResult()
        with self.database.begin() as session:
            if status is JobStatus.SUCCEEDED:
                complete_job(session, lease, result=made)
            elif status is JobStatus.FAILED:
                failure = Failure(message=error, reason=FailureReason.TERRAFORM, code=error_code)
                fail_job(session, lease, failure=failure, result=made)
            else:
                assert status is JobStatus.CANCELED
                cancel_job(session, job_id=job.id)
                finish_cancel_job(session, lease, result=made)
        return job

    def finish(self, job: ClaimedJob) -> None:
        """Let a build succeed."""
        with self.database.begin() as session:
            complete_job(session, job.lease, result=BuildResult())

    def fill(self, statements: str, **values: object) -> Template:
        """Run SQL that makes many rows of a new organization, owner and template, and return it.

        The statements end with a semicolon and a line break; they know the ids as values.
        """
        organization = self.organization()
        owner = self.user(organization=organization)
        template = self.template(organization=organization, created_by=owner)
        known = {
            "organization_id": organization.id,
            "owner_id": owner.id,
            "template_id": template.id,
            "version_id": template.active_version_id,
            **values,
        }
        with self.database.begin() as session:
            for statement in filter(str.strip, statements.split(";\n")):
                session.execute(text(statement), known)
        return template

    def job(self, job_id: uuid.UUID) -> ProvisionerJob:
        """The job's row as it stands now."""
        with self.database.begin() as session:
            return session.scalars(select(ProvisionerJob).where(ProvisionerJob.id == job_id)).one()

    def is_anybody_waiting(self) -> bool:
        """Whether a session of the database waits for a lock."""
        waiting = text("""
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
        """)
        with self.database.begin() as session:
            return bool(session.execute(waiting).scalar_one())

    def status(self, job_id: uuid.UUID) -> JobStatus:
        return self.job(job_id).job_status


def _name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:10]}"


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
