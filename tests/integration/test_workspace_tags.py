"""Tags that a template computes for each build."""

from __future__ import annotations

import pytest

from db.catalog.builds import insert_build
from db.engine import Database
from db.errors import InvalidError
from db.jobs.declarations import TemplateParameter
from db.jobs.tags import queue_name
from db.jobs.variables import VariableValue
from db.schema.enums import Transition
from db.schema.tables import Template, TemplateVersionWorkspaceTag, Workspace
from tests.harness.factory import Factory

OS = TemplateParameter(name="os", required=False, default="linux", mutable=True)
ZONE = VariableValue(name="zone", value=None, default_value="eu")


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    """A workspace whose template was pushed with a tag, and has a parameter and a variable."""
    made = factory.any_workspace(tags={"env": "dev"}, variables=[ZONE])
    with factory.database.begin() as session:
        factory.declare(session.get_one(Template, made.template_id), parameters=[OS])
    return made


def compute(database: Database, workspace: Workspace, **tags: str) -> None:
    """Let the active version of the workspace's template compute these tags."""
    with database.begin() as session:
        template = session.get_one(Template, workspace.template_id)
        for key, value in tags.items():
            session.add(
                TemplateVersionWorkspaceTag(
                    template_version_id=template.active_version_id, key=key, value=value
                )
            )


def tags_of(
    factory: Factory,
    workspace: Workspace,
    transition: Transition = Transition.START,
    **parameters: str,
) -> dict[str, str]:
    """Enqueue a build; return the tags of its job but the scope, after a look at its queue."""
    with factory.database.begin() as session:
        build = insert_build(
            session, workspace_id=workspace.id, transition=transition, parameters=parameters
        )
    job = factory.job(build.job_id)
    assert job.queue == build.queue == queue_name(job.tags)
    return {key: value for key, value in job.tags.items() if key not in ("scope", "owner")}


def test_a_build_has_the_computed_tags_and_those_of_the_push(
    factory: Factory, workspace: Workspace
) -> None:
    compute(factory.database, workspace, os="data.coder_parameter.os.value", zone="var.zone")
    assert tags_of(factory, workspace) == {"env": "dev", "os": "linux", "zone": "eu"}


def test_tags_follow_the_values_of_the_build(factory: Factory, workspace: Workspace) -> None:
    compute(factory.database, workspace, os="data.coder_parameter.os.value")
    assert tags_of(factory, workspace, os="windows")["os"] == "windows"


def test_a_computed_tag_replaces_one_of_the_push(factory: Factory, workspace: Workspace) -> None:
    compute(factory.database, workspace, env='"prod"')
    assert tags_of(factory, workspace) == {"env": "prod"}


def test_a_template_cannot_choose_the_workers_of_another_owner(
    factory: Factory, workspace: Workspace
) -> None:
    compute(factory.database, workspace, scope='"user"', owner='"somebody else"')
    with factory.database.begin() as session:
        build = insert_build(session, workspace_id=workspace.id, transition=Transition.START)
    assert factory.job(build.job_id).tags["owner"] == str(workspace.owner_id)


def test_a_tag_that_cannot_be_evaluated_refuses_a_start(
    factory: Factory, workspace: Workspace
) -> None:
    compute(factory.database, workspace, os="var.missing")
    with pytest.raises(InvalidError, match='failed to evaluate workspace tag "os"'):
        tags_of(factory, workspace)


def test_a_delete_has_the_tags_of_the_build_before_if_one_cannot_be_evaluated(
    factory: Factory, workspace: Workspace
) -> None:
    compute(factory.database, workspace, os="data.coder_parameter.os.value")
    factory.finish(factory.running_build(workspace))
    compute(factory.database, workspace, zone="var.missing")
    assert tags_of(factory, workspace, Transition.DELETE) == {"env": "dev", "os": "linux"}
