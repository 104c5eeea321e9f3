"""What a plan of the real Terraform would do to each resource."""

from __future__ import annotations

from db.jobs.resources import ResourceChange
from db.schema.enums import PlannedAction
from tests.integration.terraform.builds import MakeBuild, Template

BEFORE = """
resource "terraform_data" "kept" {}
resource "terraform_data" "grown" { input = { daily_cost = 1 } }
resource "terraform_data" "replaced" {
  triggers_replace = "small"
  input            = { daily_cost = 2 }
}
resource "terraform_data" "dropped" { input = { daily_cost = 4 } }
"""
AFTER = """
data "terraform_remote_state" "none" {
  backend = "local"
  config  = { path = "/dev/null" }
  count   = 0
}
resource "terraform_data" "kept" {}
resource "terraform_data" "grown" { input = { daily_cost = 3 } }
resource "terraform_data" "replaced" {
  triggers_replace = "large"
  input            = { daily_cost = 5 }
}
resource "terraform_data" "added" {
  for_each = toset(["a"])
  input    = { daily_cost = 7 }
}
"""


def changes(
    make_build: MakeBuild, template: Template, state: bytes | None
) -> dict[str, ResourceChange]:
    build = make_build(template, state=state)
    build.engine.init(build.context)
    return {found.address: found for found in build.engine.plan(build.context).changes}


def test_each_change_has_its_action_and_its_cost(make_build: MakeBuild) -> None:
    found = changes(make_build, AFTER, make_build(BEFORE).apply())
    assert {address: (change.action, change.daily_cost) for address, change in found.items()} == {
        'terraform_data.added["a"]': (PlannedAction.CREATE, 7),
        "terraform_data.dropped": (PlannedAction.DELETE, 0),
        "terraform_data.grown": (PlannedAction.UPDATE, 3),
        "terraform_data.kept": (PlannedAction.NO_OP, 0),
        "terraform_data.replaced": (PlannedAction.REPLACE, 5),
    }
    assert (found['terraform_data.added["a"]'].type, found["terraform_data.dropped"].name) == (
        "terraform_data",
        "dropped",
    )


def test_a_resource_that_is_only_removed_from_the_state_is_forgotten(
    make_build: MakeBuild,
) -> None:
    template = """
    removed {
      from = terraform_data.dropped
      lifecycle { destroy = false }
    }
    """
    state = make_build('resource "terraform_data" "dropped" {}').apply()
    found = changes(make_build, template, state)
    assert found["terraform_data.dropped"].action is PlannedAction.FORGET
