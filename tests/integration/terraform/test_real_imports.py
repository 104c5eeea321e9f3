"""Imports of template versions with the real Terraform, and of templates that are bad input."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.catalog.templates import Push, push_template
from db.catalog.versions import EnqueuedImport
from db.jobs.mover import Mover
from db.reads.imports import VersionDetails, get_version_details
from db.schema.enums import FailureReason, ProvisionerType
from db.schema.tables import Template, User
from provisioner.build.attempt import BuildLimits, BuildSettings
from provisioner.build.endings import Ending, Succeeded
from provisioner.build.failures import FailedJob
from provisioner.build.runner import Runner
from provisioner.engines.terraform import hcl
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.host.interrupt import Interrupt
from tests.harness.factory import Factory, tar_archive

MAIN = """
variable "region" {
  type = string
}
variable "parameter_size" {
  type    = number
  default = 2
}
variable "start_count" {}
resource "terraform_data" "home" {
  input = { daily_cost = 1 }
}
resource "terraform_data" "dev" {
  count = var.start_count
  input = { daily_cost = var.parameter_size, region = var.region }
}
module "net" {
  source = "./net"
}
"""
NET = 'resource "terraform_data" "subnet" {}\n'


@dataclass(frozen=True, kw_only=True)
class Imported:
    """An import that has ended, and what it stored."""

    ending: Ending
    details: VersionDetails

    @property
    def failure(self) -> FailedJob:
        assert isinstance(self.ending, FailedJob)
        return self.ending


Import = Callable[..., Imported]


@pytest.fixture
def run_import(factory: Factory, tmp_path: Path, terraform: Path) -> Import:
    """Pushes files and runs the import of the version."""
    organization = factory.organization(everyone_allowance=100)
    author = factory.user(organization=organization)

    def run(files: Mapping[str, str], *, limits: BuildLimits | None = None, **how: Any) -> Imported:
        archive = tar_archive({name: text.encode() for name, text in files.items()})
        push = Push(
            organization=organization,
            name=f"t-{uuid.uuid4().hex[:8]}",
            archive=archive,
            created_by=author,
            **how,
        )
        with factory.database.begin() as session:
            pushed = push_template(session, push)
        return ended(factory, pushed, settings(tmp_path, limits), terraform)

    return run


def settings(tmp_path: Path, limits: BuildLimits | None) -> BuildSettings:
    return BuildSettings(
        work_root=tmp_path / "work",
        host_environment=dict(os.environ),
        limits=limits or BuildLimits(),
    )


def ended(
    factory: Factory, pushed: EnqueuedImport, how: BuildSettings, terraform: Path
) -> Imported:
    job = factory.claim()
    assert job is not None
    ending = runner_of(factory, how, terraform).run(job, Interrupt())
    with factory.database.begin() as session:
        details = get_version_details(session, pushed.version_id)
    return Imported(ending=ending, details=details)


def runner_of(factory: Factory, how: BuildSettings, terraform: Path) -> Runner:
    engine = TerraformEngine(terraform, grace=timedelta(seconds=5))
    return Runner(
        mover=Mover(database=factory.database),
        engines={ProvisionerType.TERRAFORM: engine},
        settings=how,
    )


def test_everything_that_a_template_declares_is_stored(run_import: Import) -> None:
    found = run_import(
        {"main.tf": MAIN, "net/main.tf": NET, "README.md": "# Hi"}, values={"region": "eu"}
    )
    assert isinstance(found.ending, Succeeded)
    details = found.details
    assert [(row.name, row.value) for row in details.variables] == [("region", "eu")]
    assert [(row.name, row.type, row.default_value) for row in details.parameters] == [
        ("size", "number", "2")
    ]
    assert [(row.key, row.source) for row in details.modules] == [("net", "./net")]
    assert {(row.transition, row.name, row.daily_cost) for row in details.resources} == {
        ("start", "home", 1),
        ("start", "dev", 2),
        ("start", "subnet", 0),
        ("stop", "home", 1),
        ("stop", "subnet", 0),
    }
    assert details.readme == "# Hi"


@pytest.mark.parametrize(
    ("main", "words"),
    [
        pytest.param('variable "a" {\n', ["main.tf line 1", "Unclosed configuration block"]),
        pytest.param(
            'resource "terraform_data" "a" {\n  input = var.b\n}\n',
            ["main.tf line 2", "undeclared input variable"],
        ),
        pytest.param('module "a" {\n  source = "./"\n}\n', ["module"], id="a module cycle"),
        pytest.param(
            'terraform {\n  required_providers {\n    x = { source = "example.invalid/a/b" }\n'
            "  }\n}\n",
            ["example.invalid/a/b"],
            id="a provider that does not exist",
        ),
        pytest.param(
            'resource "terraform_data" "a" {\n  input = { daily_cost = -1 }\n}\n',
            ["daily_cost is -1"],
            id="a negative cost",
        ),
    ],
)
def test_a_broken_template_fails_with_terraforms_words(
    run_import: Import, main: str, words: list[str]
) -> None:
    found = run_import({"main.tf": main})
    assert all(word in found.failure.error for word in words), found.failure.error
    assert not found.details.is_active


def test_a_required_parameter_does_not_fail_the_import(run_import: Import) -> None:
    main = """
variable "parameter_size" {
  type = number
}
resource "terraform_data" "dev" {
  input = { daily_cost = var.parameter_size }
}
"""
    found = run_import({"main.tf": main})
    assert isinstance(found.ending, Succeeded)
    assert [(row.name, row.required) for row in found.details.parameters] == [("size", True)]


@pytest.mark.parametrize(
    "declaration",
    [
        pytest.param(
            "type = string\nvalidation {\ncondition = length(var.parameter_region) == 2\n"
            'error_message = "No such region."\n}',
            id="it has a rule",
        ),
        pytest.param("type = object({ name = string })", id="its type has a required attribute"),
    ],
)
def test_a_parameter_that_cannot_be_guessed_leaves_the_resources_unknown(
    run_import: Import, declaration: str
) -> None:
    main = f"""
variable "parameter_region" {{
  {declaration}
}}
resource "terraform_data" "dev" {{}}
"""
    found = run_import({"main.tf": main})
    assert isinstance(found.ending, Succeeded), found.ending
    assert found.details.resources == []


def test_a_plan_that_fails_otherwise_fails_the_import_though_a_parameter_is_required(
    run_import: Import,
) -> None:
    main = """
variable "parameter_region" {
  type = string
}
resource "terraform_data" "dev" {
  input = { eu = 1 }[var.parameter_region]
}
"""
    found = run_import({"main.tf": main})
    assert "Invalid index" in found.failure.error
    assert found.failure.error.endswith(
        'if it needs a real value of "parameter_region", declare a default'
    )
    assert not found.details.is_active


def test_a_template_that_plans_for_ever_meets_the_time_limit(run_import: Import) -> None:
    # Terraform expands this for minutes.
    main = """
locals {
  a = range(1000)
  b = [for x in local.a : [for y in local.a : [for z in local.a : x + y + z]]]
}
output "c" {
  value = length(local.b)
}
"""
    limits = BuildLimits(plan=timedelta(seconds=3))
    found = run_import({"main.tf": main}, limits=limits)
    assert found.failure.reason is FailureReason.DEADLINE


def test_a_thousand_resources_are_imported(run_import: Import) -> None:
    main = 'resource "terraform_data" "a" {\n  count = 1000\n  input = { daily_cost = 1 }\n}\n'
    found = run_import({"main.tf": main})
    assert isinstance(found.ending, Succeeded), found.ending
    assert len(found.details.resources) == 2000


def test_five_hundred_parameters_are_imported(run_import: Import) -> None:
    main = "".join(
        f'variable "parameter_p{number}" {{\n  default = "x"\n}}\n' for number in range(500)
    )
    found = run_import({"main.tf": main})
    assert isinstance(found.ending, Succeeded), found.ending
    assert len(found.details.parameters) == 500


def test_a_build_starts_no_reader_of_hcl(
    factory: Factory,
    tmp_path: Path,
    terraform: Path,
    run_import: Import,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported = run_import({"main.tf": MAIN, "net/main.tf": NET}, values={"region": "eu"})
    assert isinstance(imported.ending, Succeeded)
    started: list[Mapping[str, str]] = []
    monkeypatch.setattr(hcl, "_ask", lambda _kind, texts: started.append(texts))
    with factory.database.begin() as session:
        template = session.scalars(select(Template)).one()
        owner = session.get_one(User, template.created_by)
    factory.build(factory.workspace(owner=owner, template=template), parameters={"size": "3"})
    job = factory.claim()
    assert job is not None
    ending = runner_of(factory, settings(tmp_path, None), terraform).run(job, Interrupt())
    assert isinstance(ending, Succeeded), ending
    assert started == []
