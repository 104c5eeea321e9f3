"""Imports of template versions: the runner with the echo engine on a real database."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from db.catalog.builds import EnqueuedBuild
from db.catalog.edits import activate_version, edit_template, set_archived
from db.catalog.templates import Push, push_template
from db.catalog.versions import EnqueuedImport
from db.engine import Database
from db.errors import ConflictError, InvalidError
from db.jobs.declarations import PlannedDeclarations, TemplateParameter, TemplatePreset
from db.jobs.mover import Mover
from db.jobs.transitions import ClaimedJob, cancel_job, requeue_job
from db.parameters.expressions import Values, evaluate
from db.reads.imports import VersionDetails, get_version_details
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    JobStatus,
    LogLevel,
    ProvisionerType,
    Transition,
)
from db.schema.tables import (
    Organization,
    ProvisionerJobLog,
    Template,
    TemplateVersionVariable,
    TemplateVersionWorkspaceTag,
    User,
    WorkspaceBuild,
)
from provisioner.build.attempt import BuildSettings
from provisioner.build.endings import Canceled, Ending, Requeued, Succeeded
from provisioner.build.failures import FailedJob
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.engines.graph import Graph
from provisioner.engines.port import BuildContext, Plan
from provisioner.host.interrupt import Interrupt, InterruptReason
from tests.harness.factory import Factory, tar_archive

VARIABLES = {
    "variables": [
        {"name": "image", "required": True},
        {"name": "disk", "default": 10, "type": "number"},
        {"name": "password", "sensitive": True, "default": ""},
    ]
}
DISK = {"type": "echo_disk", "name": "home", "daily_cost": 2}
SERVER = {"type": "echo_server", "name": "dev", "daily_cost": 5}


class DeclaringEngine(EchoEngine):
    """An echo engine whose plans declare what a test says."""

    def __init__(self, declares: PlannedDeclarations) -> None:
        self._declares = declares

    def plan(self, context: BuildContext) -> Plan:
        planned = super().plan(context)
        return Plan(
            daily_cost=planned.daily_cost, resources=planned.resources, declares=self._declares
        )


@dataclass(kw_only=True)
class Site:
    """A template to push to, and a worker that runs its imports."""

    factory: Factory
    work_root: Path
    organization: Organization
    author: User
    engine: EchoEngine = field(default_factory=EchoEngine)
    interrupt: Interrupt = field(default_factory=Interrupt)

    @property
    def database(self) -> Database:
        return self.factory.database

    def push(
        self,
        script: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        **how: Any,
    ) -> EnqueuedImport:
        content = {
            "main.tf": b"",
            "echo.json": json.dumps(script or {}).encode(),
            **(files or {}),
        }
        push = Push(
            organization=self.organization,
            name="dev",
            archive=tar_archive(content),
            created_by=self.author,
            provisioner=ProvisionerType.ECHO,
            **how,
        )
        with self.database.begin() as session:
            return push_template(session, push)

    def claim(self) -> ClaimedJob:
        job = self.factory.claim()
        assert job is not None
        return job

    def run(self, job: ClaimedJob | None = None) -> Ending:
        runner = Runner(
            mover=Mover(database=self.database),
            engines={ProvisionerType.ECHO: self.engine},
            settings=BuildSettings(work_root=self.work_root, host_environment=dict(os.environ)),
        )
        return runner.run(job or self.claim(), self.interrupt)

    def imported(
        self, script: Mapping[str, Any] | None = None, **how: Any
    ) -> tuple[EnqueuedImport, Ending]:
        pushed = self.push(script, **how)
        return pushed, self.run()

    def details(self, pushed: EnqueuedImport) -> VersionDetails:
        with self.database.begin() as session:
            return get_version_details(session, pushed.version_id)

    def active_version(self) -> uuid.UUID | None:
        with self.database.begin() as session:
            return session.scalars(select(Template.active_version_id)).one()

    def lines(self, job_id: uuid.UUID, level: LogLevel = LogLevel.WARN) -> list[str]:
        query = select(ProvisionerJobLog.output).where(
            ProvisionerJobLog.job_id == job_id, ProvisionerJobLog.level == level
        )
        with self.database.begin() as session:
            return list(session.scalars(query.order_by(ProvisionerJobLog.id)))

    def headings(self, job_id: uuid.UUID) -> list[str]:
        query = select(ProvisionerJobLog.stage).where(ProvisionerJobLog.job_id == job_id)
        with self.database.begin() as session:
            return list(dict.fromkeys(session.scalars(query.order_by(ProvisionerJobLog.id))))


@pytest.fixture
def site(factory: Factory, tmp_path: Path) -> Site:
    organization = factory.organization()
    return Site(
        factory=factory,
        work_root=tmp_path,
        organization=organization,
        author=factory.user(organization=organization),
    )


def failed(ending: Ending) -> FailedJob:
    assert isinstance(ending, FailedJob)
    return ending


def test_a_version_becomes_active_when_its_import_has_succeeded(site: Site) -> None:
    pushed = site.push()
    before = site.active_version()

    assert isinstance(site.run(), Succeeded)
    assert (before, site.active_version()) == (None, pushed.version_id)


def test_a_version_whose_import_fails_never_becomes_active(site: Site) -> None:
    first, _ = site.imported()

    _, ending = site.imported({"stop": {"plan": {"error": "no such image"}}})

    assert "stop: no such image" in failed(ending).error
    assert site.active_version() == first.version_id


def test_the_log_has_the_steps_of_an_import(site: Site) -> None:
    logs = {"logs": [{"output": "x"}]}
    pushed, _ = site.imported({"init": logs, "plan": logs})
    assert site.headings(pushed.job_id) == [
        "Initializing Terraform Directory",
        "Detecting persistent resources",
        "Detecting ephemeral resources",
        "Cleaning Up",
    ]


def test_declared_variables_are_stored_with_the_values_given(site: Site) -> None:
    pushed, _ = site.imported({"parse": VARIABLES}, values={"image": "debian", "password": "s3"})
    stored = {row.name: (row.value, row.default_value) for row in site.details(pushed).variables}
    assert stored == {
        "image": ("debian", ""),
        "disk": (None, "10"),
        "password": ("*redacted*", ""),
    }


def test_values_of_the_active_version_are_kept(site: Site) -> None:
    site.imported({"parse": VARIABLES}, values={"image": "debian"})
    pushed, ending = site.imported({"parse": VARIABLES}, values={"disk": "20"})
    assert isinstance(ending, Succeeded)
    stored = {row.name: row.value for row in site.details(pushed).variables}
    assert stored == {"image": "debian", "disk": "20", "password": None}


def test_a_secret_of_the_active_version_is_kept_unless_it_is_given_anew(site: Site) -> None:
    site.imported({"parse": VARIABLES}, values={"image": "debian", "password": "s3cret"})
    kept, _ = site.imported({"parse": VARIABLES})
    changed, _ = site.imported({"parse": VARIABLES}, values={"password": "other"})
    assert [secret_of(site, pushed) for pushed in (kept, changed)] == ["s3cret", "other"]


def secret_of(site: Site, pushed: EnqueuedImport) -> str | None:
    version = TemplateVersionVariable.template_version_id == pushed.version_id
    secret = TemplateVersionVariable.sensitive
    with site.database.begin() as session:
        return session.scalars(select(TemplateVersionVariable.value).where(version, secret)).one()


def test_a_required_variable_without_a_value_fails_the_import(site: Site) -> None:
    _, ending = site.imported({"parse": VARIABLES})
    found = failed(ending)
    assert found.error_code is JobErrorCode.REQUIRED_TEMPLATE_VARIABLES
    assert "required template variables need values: image" in found.error


def test_the_variables_of_a_failed_import_are_stored_but_nothing_else(site: Site) -> None:
    pushed, _ = site.imported({"parse": VARIABLES, "apply": {"resources": [DISK]}})
    details = site.details(pushed)
    assert [row.name for row in details.variables] == ["image", "disk", "password"]
    assert (details.resources, details.parameters) == ([], [])


def test_a_value_for_an_unknown_variable_fails_the_import(site: Site) -> None:
    _, ending = site.imported({"parse": VARIABLES}, values={"imgae": "debian"})
    assert "no variable 'imgae'; it declares image, disk, password" in failed(ending).error


def test_resources_are_stored_for_a_start_and_for_a_stop(site: Site) -> None:
    pushed, _ = site.imported(
        {
            "apply": {"resources": [DISK, SERVER]},
            "stop": {"apply": {"resources": [DISK]}},
        }
    )
    stored = [(row.transition, row.name, row.daily_cost) for row in site.details(pushed).resources]
    assert sorted(stored) == [("start", "dev", 5), ("start", "home", 2), ("stop", "home", 2)]


class GraphEngine(EchoEngine):
    """An echo engine whose plan has a graph, and which notes the graph that it was given."""

    edges = (("pod.dev", "coder_agent.dev"),)
    given: Graph | None = None

    def plan(self, context: BuildContext) -> Plan:
        self.given = context.graph
        return replace(super().plan(context), graph=Graph(self.edges))


def test_a_build_gets_the_graph_that_its_import_found(site: Site) -> None:
    engine = site.engine = GraphEngine()
    site.imported({})
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    site.run(site.factory.running_build(workspace))
    assert engine.given is not None
    assert engine.given.edges() == [("pod.dev", "coder_agent.dev")]


def test_the_readme_is_stored(site: Site) -> None:
    pushed, _ = site.imported(files={"README.md": b"# Hello"})
    assert site.details(pushed).readme == "# Hello"


def test_declarations_of_the_plan_are_stored(site: Site) -> None:
    size = TemplateParameter(name="size", required=False, default="2", type="number")
    key = TemplateParameter(name="key", required=False, default="s3cret", sensitive=True)
    small = TemplatePreset(name="small", parameters={"size": "1"}, is_default=True)
    site.engine = DeclaringEngine(PlannedDeclarations(parameters=[size, key], presets=[small]))
    pushed, _ = site.imported()
    details = site.details(pushed)
    assert [(row.name, row.type, row.default_value) for row in details.parameters] == [
        ("key", "string", "*redacted*"),
        ("size", "number", "2"),
    ]
    assert [(row.name, row.parameters, row.is_default) for row in details.presets] == [
        ("small", {"size": "1"}, True)
    ]


@pytest.mark.parametrize(
    ("declares", "sentence"),
    [
        pytest.param(
            PlannedDeclarations(
                parameters=[TemplateParameter(name="a", required=True) for _ in range(2)]
            ),
            'coder_parameter names must be unique but "a" appears multiple times',
            id="parameters of one name",
        ),
        pytest.param(
            PlannedDeclarations(presets=[TemplatePreset(name=n) for n in ("a", "a", "b", "b")]),
            'coder_workspace_preset names must be unique but "a" and "b" appear multiple times',
            id="presets of two names",
        ),
        pytest.param(
            PlannedDeclarations(presets=[TemplatePreset(name=n, is_default=True) for n in "ab"]),
            "a maximum of 1 coder_workspace_preset can be marked as default, but 2 are set",
            id="two default presets",
        ),
    ],
)
def test_declarations_that_contradict_each_other_fail_the_import(
    site: Site, declares: PlannedDeclarations, sentence: str
) -> None:
    site.engine = DeclaringEngine(declares)
    _, ending = site.imported()
    assert sentence in failed(ending).error


def test_workspace_tags_are_stored_as_expressions(site: Site) -> None:
    site.imported({"parse": {"tags": {"zone": '"eu"'}}})
    with site.database.begin() as session:
        [tag] = session.scalars(select(TemplateVersionWorkspaceTag))
    assert (tag.key, tag.value) == ("zone", '"eu"')


def test_a_workspace_tag_of_variables_alone_gets_the_value_of_the_plan(site: Site) -> None:
    site.engine = DeclaringEngine(PlannedDeclarations(tags={"zone": 'e"u${}'}))
    site.imported({"parse": {"tags": {"zone": 'lower("E\\"U")'}}})
    with site.database.begin() as session:
        [tag] = session.scalars(select(TemplateVersionWorkspaceTag))
    assert evaluate(tag.value, Values(variables={}, parameters={})) == 'e"u${}'


def test_a_workspace_tag_that_cannot_be_evaluated_fails_the_import(site: Site) -> None:
    _pushed, ending = site.imported({"parse": {"tags": {"zone": "local.zone"}}})
    assert failed(ending).error.startswith('failed to evaluate workspace tag "zone" value local.')
    assert failed(ending).reason is FailureReason.TEMPLATE


def test_a_preset_with_an_unknown_parameter_is_warned_of(site: Site) -> None:
    preset = TemplatePreset(name="small", parameters={"size": "1"})
    site.engine = DeclaringEngine(PlannedDeclarations(presets=[preset]))
    pushed, _ = site.imported()
    assert site.lines(pushed.job_id) == [
        'the preset "small" has a value for the unknown parameter "size"'
    ]


def test_of_two_pushes_the_later_one_stays_active(site: Site) -> None:
    site.push()
    later = site.push()
    earlier_job, later_job = site.claim(), site.claim()
    site.run(later_job)
    site.run(earlier_job)
    assert site.active_version() == later.version_id


def test_a_push_that_does_not_activate_leaves_the_active_version(site: Site) -> None:
    first, _ = site.imported()
    _, ending = site.imported(activate=False)
    assert isinstance(ending, Succeeded)
    assert site.active_version() == first.version_id


def test_a_canceled_import_stores_nothing(site: Site) -> None:
    pushed = site.push({"parse": VARIABLES, "init": {"wait": True}}, values={"image": "x"})
    job = site.claim()
    with site.database.begin() as session:
        cancel_job(session, job_id=job.id)
    site.interrupt.request(InterruptReason.CANCEL)
    assert isinstance(site.run(job), Canceled)
    assert site.details(pushed).status == JobStatus.CANCELED
    assert site.active_version() is None


def test_a_drained_import_starts_again(site: Site) -> None:
    pushed = site.push()
    site.interrupt.request(InterruptReason.DRAIN)
    assert isinstance(site.run(), Requeued)
    site.interrupt = Interrupt()
    assert isinstance(site.run(), Succeeded)
    assert site.active_version() == pushed.version_id


def test_an_import_whose_worker_was_lost_starts_again(site: Site) -> None:
    pushed = site.push({"parse": VARIABLES}, values={"image": "x"})
    with site.database.begin() as session:
        requeue_job(session, site.claim().lease, worker_was_lost=True)
    assert isinstance(site.run(), Succeeded)
    assert site.details(pushed).status == JobStatus.SUCCEEDED


@pytest.mark.parametrize("is_claimed", [False, True], ids=["pending", "running"])
def test_a_version_is_not_built_from_while_its_import_is_under_way(
    site: Site, is_claimed: bool
) -> None:
    site.imported()
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    pushed = site.push()
    if is_claimed:
        site.claim()
    with pytest.raises(ConflictError, match="Wait for it to complete importing!"):
        site.factory.build(workspace, template_version_id=pushed.version_id)


def test_a_version_whose_import_failed_is_not_built_from(site: Site) -> None:
    site.imported()
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    pushed, _ = site.imported({"parse": {"error": "main.tf line 3: no"}})
    with pytest.raises(ConflictError, match=r'has failed to import: "main\.tf line 3: no"'):
        site.factory.build(workspace, template_version_id=pushed.version_id)


def test_a_template_without_an_active_version_says_why(site: Site) -> None:
    site.imported({"parse": {"error": "main.tf line 3: no"}})
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    with pytest.raises(ConflictError, match=r'"v1" has failed to import: "main\.tf line 3: no"'):
        site.factory.build(workspace)


def test_only_an_imported_version_is_activated(site: Site) -> None:
    site.imported()
    pushed, _ = site.imported({"parse": {"error": "no"}})
    with site.database.begin() as session, pytest.raises(ConflictError) as refused:
        activate_version(session, template_of(site).id, pushed.version_id)
    assert str(refused.value) == (
        "Only versions that have been built successfully can be promoted."
        " Attempted to promote a version with a failed build"
    )


def test_an_earlier_version_is_activated_again(site: Site) -> None:
    first, _ = site.imported()
    site.imported()
    with site.database.begin() as session:
        activate_version(session, template_of(site).id, first.version_id)
    assert site.active_version() == first.version_id


def test_an_archived_version_is_not_activated(site: Site) -> None:
    first, _ = site.imported()
    site.imported()
    with site.database.begin() as session:
        set_archived(session, first.version_id, archived=True)
    with site.database.begin() as session, pytest.raises(InvalidError, match="is archived"):
        activate_version(session, template_of(site).id, first.version_id)


def test_the_active_version_is_not_archived(site: Site) -> None:
    pushed, _ = site.imported()
    with site.database.begin() as session, pytest.raises(ConflictError):
        set_archived(session, pushed.version_id, archived=True)


def test_a_build_takes_the_declarations_from_the_rows(site: Site) -> None:
    site.imported({"parse": VARIABLES}, values={"image": "x"})
    site.engine = NotReadingEngine()
    site.factory.build(site.factory.workspace(owner=site.author, template=template_of(site)))
    assert isinstance(site.run(), Succeeded)


def test_a_version_from_before_imports_is_read_by_its_builds(site: Site) -> None:
    site.imported({"parse": VARIABLES}, values={"image": "x"})
    with site.database.begin() as session:
        session.execute(text("DELETE FROM template_version_terraform_values"))
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    site.factory.build(workspace)
    site.engine = NotReadingEngine()
    assert "read the files" in failed(site.run()).error


class NotReadingEngine(EchoEngine):
    """An echo engine that fails when it is asked to read declarations."""

    def parse(self, files: Any) -> Any:  # noqa: ARG002
        raise AssertionError("a build read the files")


def template_of(site: Site) -> Template:
    with site.database.begin() as session:
        return session.scalars(select(Template)).one()


def require_active(site: Site, **changes: Any) -> None:
    with site.database.begin() as session:
        edit_template(session, template_of(site).id, {"require_active_version": True, **changes})


def version_of(site: Site, build: EnqueuedBuild) -> uuid.UUID:
    with site.database.begin() as session:
        return session.get_one(WorkspaceBuild, build.build_id).template_version_id


def test_a_start_takes_the_active_version_where_the_template_requires_it(site: Site) -> None:
    site.imported()
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    site.factory.finished_build(workspace)
    second, _ = site.imported()
    require_active(site)
    assert version_of(site, site.factory.build(workspace)) == second.version_id


@pytest.mark.parametrize("transition", [Transition.STOP, Transition.DELETE])
def test_what_exists_is_ended_with_the_version_that_made_it(
    site: Site, transition: Transition
) -> None:
    first, _ = site.imported()
    workspace = site.factory.workspace(owner=site.author, template=template_of(site))
    site.factory.finished_build(workspace)
    site.imported()
    require_active(site)
    assert version_of(site, site.factory.build(workspace, transition)) == first.version_id


def test_another_version_than_the_required_one_is_not_started(site: Site) -> None:
    first, _ = site.imported()
    site.imported()
    require_active(site)
    user = site.factory.user(organization=site.organization)
    workspace = site.factory.workspace(owner=user, template=template_of(site))
    with pytest.raises(ConflictError, match="cannot use non-active version"):
        site.factory.build(workspace, template_version_id=first.version_id)


def test_an_admin_of_templates_may_start_any_version(site: Site) -> None:
    first, _ = site.imported()
    site.imported()
    require_active(site)
    admin = site.factory.user(organization=site.organization)
    with site.database.begin() as session:
        session.get_one(User, admin.id).rbac_roles = ["template-admin"]
    workspace = site.factory.workspace(owner=admin, template=template_of(site))
    build = site.factory.build(workspace, template_version_id=first.version_id)
    assert version_of(site, build) == first.version_id


def test_no_workspace_is_created_from_a_deprecated_template(site: Site) -> None:
    site.imported()
    require_active(site, deprecated="use dev2")
    with pytest.raises(ConflictError, match=r"has been deprecated.*: use dev2"):
        site.factory.workspace(owner=site.author, template=template_of(site))
