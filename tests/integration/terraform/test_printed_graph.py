"""The graph that the real Terraform prints: why it is needed, and what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.dot import read_graph

MAIN = """
resource "terraform_data" "agent" {}
locals {
  token = terraform_data.agent.id
}
resource "terraform_data" "direct" {
  input = terraform_data.agent.id
}
resource "terraform_data" "through_a_local" {
  count = 2
  input = local.token
}
module "m" {
  source   = "./m"
  for_each = toset(["a", "b"])
  token    = local.token
}
"""
MODULE = """
variable "token" {}
resource "terraform_data" "inside" {
  for_each = toset(["x"])
  input    = var.token
}
output "id" {
  value = terraform_data.inside["x"].id
}
"""
RESOURCES = {
    "terraform_data.direct",
    "terraform_data.through_a_local",
    "module.m.terraform_data.inside",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, terraform: Path) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    (folder / "m").mkdir()
    (folder / "main.tf").write_text(MAIN)
    (folder / "m" / "main.tf").write_text(MODULE)
    run(terraform, folder, "init")
    return folder


def run(binary: Path, folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [binary, *arguments, "-no-color"], cwd=folder, capture_output=True, text=True, check=True
    )
    return ended.stdout


@pytest.fixture(scope="module")
def graph(template: Path, terraform: Path) -> Graph:
    return read_graph(run(terraform, template, "graph", "-type=plan"))


@pytest.mark.parametrize("dependent", sorted(RESOURCES))
def test_the_graph_leads_from_each_resource_to_what_it_refers_to(
    graph: Graph, dependent: str
) -> None:
    assert graph.nearest_dependency(dependent, {"terraform_data.agent"}) == "terraform_data.agent"


def test_a_direct_reference_is_nearer_than_one_through_a_local(graph: Graph) -> None:
    assert graph.nearest_dependent("terraform_data.agent", RESOURCES) == "terraform_data.direct"


# If a Terraform says it one day, the process that prints the graph can be saved.
def test_the_plan_does_not_say_what_a_local_refers_to(template: Path, terraform: Path) -> None:
    run(terraform, template, "plan", "-out=plan")
    plan: Mapping[str, object] = json.loads(run(terraform, template, "show", "-json", "plan"))
    configuration = json.dumps(plan["configuration"])
    assert "local.token" in configuration
    assert configuration.count('"terraform_data.agent.id"') == 1
