"""Dry runs: the runner with the echo engine on a real database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.catalog.dryruns import EnqueuedDryRun, existing_workspace, insert_dry_run, new_workspace
from db.catalog.sources import PlannedWorkspace
from db.engine import Database
from db.errors import BuildActiveError, ParameterValidationError
from db.jobs.declarations import TemplateParameter
from db.jobs.mover import Mover
from db.jobs.reaper import reap_expired_lease
from db.jobs.retention import Retention, prune
from db.jobs.transitions import cancel_job
from db.reads.builds import find_resources
from db.reads.dryruns import DryRun, get_dry_run
from db.schema.enums import JobStatus, JobType, PlannedAction, ProvisionerType
from db.schema.tables import ProvisionerJob, Template, User, Workspace, WorkspaceBuild
from provisioner.build.attempt import BuildSettings
from provisioner.build.endings import Canceled, Ending, Requeued, Succeeded
from provisioner.build.failures import FailedJob
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.host.interrupt import Interrupt, InterruptReason
from quota.forecast import forecast_of
from tests.harness.factory import Factory

DISK = {"type": "echo_disk", "name": "home", "daily_cost": 2}
SERVER = {"type": "echo_server", "name": "dev", "daily_cost": 5}
NO_TIME = timedelta(0)


class Site:
    """A template with two resources, its owner, and a worker for its jobs."""

    def __init__(self, factory: Factory, work_root: Path) -> None:
        self.factory = factory
        self.interrupt = Interrupt()
        self.runner = Runner(
            mover=Mover(database=factory.database),
            engines={ProvisionerType.ECHO: EchoEngine()},
            settings=BuildSettings(work_root=work_root, host_environment=dict(os.environ)),
        )
        self.organization = factory.organization(everyone_allowance=10)
        self.owner: User = factory.user(organization=self.organization)

    @property
    def database(self) -> Database:
        return self.factory.database

    def template(self, *resources: Mapping[str, Any], **script: Any) -> Template:
        return self.factory.template(
            organization=self.organization,
            created_by=self.owner,
            script={"apply": {"resources": list(resources)}, **script},
        )

    def workspace(self, template: Template) -> Workspace:
        return self.factory.workspace(owner=self.owner, template=template, name="box")

    def plan(self, target: Template | Workspace, **how: Any) -> EnqueuedDryRun:
        with self.database.begin() as session:
            planned: PlannedWorkspace = (
                existing_workspace(session, target.id)
                if isinstance(target, Workspace)
                else new_workspace(owner=self.owner, template=target, name="fresh")
            )
            return insert_dry_run(session, planned, **how)

    def work(self) -> Ending:
        job = self.factory.claim()
        assert job is not None
        return self.runner.run(job, self.interrupt)

    def build(self, workspace: Workspace) -> Ending:
        self.factory.build(workspace)
        return self.work()

    def planned(self, target: Template | Workspace, **how: Any) -> DryRun:
        run = self.plan(target, **how)
        assert isinstance(self.work(), Succeeded)
        return self.found(run)

    def found(self, run: EnqueuedDryRun) -> DryRun:
        with self.database.begin() as session:
            return get_dry_run(session, run.job_id)


@pytest.fixture
def site(factory: Factory, tmp_path: Path) -> Site:
    return Site(factory, tmp_path / "work")


def actions(found: DryRun) -> dict[str, PlannedAction]:
    return {change.address: change.action for change in found.changes}


def test_a_dry_run_of_a_new_workspace_creates_everything(site: Site) -> None:
    found = site.planned(site.template(DISK, SERVER))
    assert found.daily_cost == 7
    assert {(change.address, change.action, change.daily_cost) for change in found.changes} == {
        ("echo_disk.home", PlannedAction.CREATE, 2),
        ("echo_server.dev", PlannedAction.CREATE, 5),
    }


def test_a_dry_run_of_an_existing_workspace_starts_from_its_state(site: Site) -> None:
    workspace = site.workspace(site.template(DISK, SERVER))
    site.build(workspace)
    newer = site.factory.template(
        organization=site.organization,
        created_by=site.owner,
        name="newer",
        script={"apply": {"resources": [DISK, {**SERVER, "name": "bigger"}]}},
    )
    with site.database.begin() as session:
        session.get_one(Workspace, workspace.id).template_id = newer.id
    found = site.planned(workspace, template_version_id=newer.active_version_id)
    assert actions(found) == {
        "echo_disk.home": PlannedAction.NO_OP,
        "echo_server.bigger": PlannedAction.CREATE,
        "echo_server.dev": PlannedAction.DELETE,
    }


def test_the_resources_of_a_dry_run_are_stored(site: Site) -> None:
    run = site.plan(site.template(DISK))
    site.work()
    with site.database.begin() as session:
        resources = find_resources(session, run.job_id)
    assert [(found.type, found.daily_cost) for found in resources] == [("echo_disk", 2)]


def test_a_dry_run_builds_and_charges_nothing(site: Site) -> None:
    found = site.planned(site.template(SERVER))
    with site.database.begin() as session:
        assert session.scalar(select(func.count()).select_from(WorkspaceBuild)) == 0
        forecast = forecast_of(session, found)
    assert forecast is not None
    assert forecast.credits_consumed == 0


def test_the_build_that_follows_costs_what_the_dry_run_said(site: Site) -> None:
    workspace = site.workspace(site.template(DISK, SERVER))
    found = site.planned(workspace)
    site.build(workspace)
    with site.database.begin() as session:
        assert session.scalars(select(WorkspaceBuild.daily_cost)).one() == found.daily_cost


def test_a_build_does_not_wait_for_a_dry_run_of_its_workspace(site: Site) -> None:
    workspace = site.workspace(site.template(DISK))
    site.plan(workspace)
    site.factory.build(workspace)


def test_a_workspace_that_is_being_built_has_no_dry_run(site: Site) -> None:
    workspace = site.workspace(site.template(DISK))
    site.factory.build(workspace)
    with pytest.raises(BuildActiveError):
        site.plan(workspace)


def test_the_values_of_a_dry_run_are_judged_as_those_of_a_build(site: Site) -> None:
    template = site.template(DISK)
    site.factory.declare(template, parameters=[TemplateParameter(name="size", required=True)])
    with pytest.raises(ParameterValidationError, match="size"):
        site.plan(template)


def test_a_canceled_dry_run_has_found_nothing(site: Site) -> None:
    run = site.plan(site.template(DISK, plan={"wait": True}))
    site.interrupt.request(InterruptReason.CANCEL)
    job = site.factory.claim()
    assert job is not None
    with site.database.begin() as session:
        cancel_job(session, job_id=run.job_id)
    assert isinstance(site.runner.run(job, site.interrupt), Canceled)
    assert site.found(run).daily_cost is None


def test_a_drained_dry_run_goes_back_to_its_queue(site: Site) -> None:
    run = site.plan(site.template(DISK, plan={"wait": True}))
    site.interrupt.request(InterruptReason.DRAIN)
    assert isinstance(site.work(), Requeued)
    assert site.factory.status(run.job_id) is JobStatus.PENDING


def test_a_dry_run_of_a_lost_worker_is_run_by_another_one(site: Site) -> None:
    run = site.plan(site.template(DISK))
    site.factory.claim(lease=NO_TIME)
    with site.database.begin() as session:
        reap_expired_lease(session, max_attempts=3)
    assert isinstance(site.work(), Succeeded)
    assert site.found(run).daily_cost == 2


def test_a_failed_dry_run_stores_nothing(site: Site) -> None:
    run = site.plan(site.template(DISK, plan={"error": "no such image"}))
    ending = site.work()
    assert isinstance(ending, FailedJob)
    assert (ending.error, ending.error_code) == ("no such image", None)
    with site.database.begin() as session:
        assert find_resources(session, run.job_id) == []
        assert forecast_of(session, get_dry_run(session, run.job_id)) is None


def test_an_old_dry_run_is_pruned(site: Site) -> None:
    site.planned(site.template(DISK))
    kept = Retention(logs=NO_TIME, states=NO_TIME, jobs=NO_TIME)
    prune(site.database, kept)
    with site.database.begin() as session:
        left = select(func.count()).where(ProvisionerJob.type == JobType.TEMPLATE_VERSION_DRY_RUN)
        assert session.scalar(left) == 0
