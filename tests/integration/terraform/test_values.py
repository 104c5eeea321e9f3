"""Values of users as a real Terraform gets them: typed, and never read as HCL."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from db.jobs.declarations import TemplateParameter
from db.parameters.limits import (
    MAX_VALUE_BYTES,
    check_given,
)
from db.parameters.rules import RuleError
from db.parameters.validation import check_value
from provisioner.build.parameters import ParameterFacts, parameter_entries
from provisioner.engines.terraform.declarations import read_template
from provisioner.template.parameters import values_for
from tests.integration.terraform.builds import MakeBuild
from tests.integration.terraform.directory import Directory

VARIABLES = """
variable "parameter_text" {}
variable "parameter_number" {
  type = number
}
variable "parameter_list" {
  type = list(string)
}
variable "parameter_map" {
  type = map(number)
}
variable "parameter_null" {
  type    = string
  default = null
}
variable "parameter_token" {
  ephemeral = true
  default   = "none"
}
resource "terraform_data" "given" {
  input = {
    text   = var.parameter_text
    number = var.parameter_number + 1
    list   = var.parameter_list
    map    = var.parameter_map
    unset  = var.parameter_null == null
  }
}
"""
VALUES = {"text": "x", "number": "41", "list": '["a", "b"]', "map": '{"a": 1}', "null": ""}
GROWING = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
data "coder_parameter" "size" {
  name = "size"
  type = "number"
  default = 1
  mutable = true
  validation {
    min       = 1
    max       = 9
    monotonic = "increasing"
  }
}
resource "terraform_data" "given" {
  input = data.coder_parameter.size.value
}
"""
SIZE = TemplateParameter(
    name="size",
    required=False,
    default="1",
    type="number",
    validation_min=1,
    validation_max=9,
    validation_monotonic="increasing",
)


def given(make_build: MakeBuild, **values: str) -> dict[str, Any]:
    """Build with the values; return what the template got."""
    template = read_template({"main.tf": memoryview(VARIABLES.encode())})
    variables = values_for(template, {}, {**VALUES, **values})
    build = make_build(VARIABLES, variables=variables)
    build.context = replace(build.context, template=template)
    state = json.loads(build.apply())
    found: dict[str, Any] = state["resources"][0]["instances"][0]["attributes"]["output"]["value"]
    return found


def test_each_value_has_the_type_of_the_variable_that_declares_it(make_build: MakeBuild) -> None:
    assert given(make_build) == {
        "text": "x",
        "number": 42,
        "list": ["a", "b"],
        "map": {"a": 1},
        "unset": True,
    }


@pytest.mark.parametrize(
    "text", ["[for a in range(9) : a]", '${file("/etc/passwd")}', "007", '"quoted"', "null"]
)
def test_a_text_is_never_read_as_hcl(make_build: MakeBuild, text: str) -> None:
    assert given(make_build, text=text)["text"] == text


def test_a_value_for_one_build_is_there_in_plan_and_apply(make_build: MakeBuild) -> None:
    assert given(make_build, token="secret")["text"] == "x"


def test_the_largest_values_can_be_told_to_a_process() -> None:
    # All values together, as size_violations of PostgreSQL allows them.
    count, rest = divmod(512 * 1024, MAX_VALUE_BYTES)
    sizes = [*[MAX_VALUE_BYTES] * count, rest]
    values = {f"p{number}": "x" * size for number, size in enumerate(sizes)}
    assert list(check_given(values)) == []
    entries = environment(values, values)
    assert len(entries) == 2 * len(values)
    subprocess.run(["/bin/true"], env=entries, check=True)


@pytest.fixture
def directory(empty_directory: Directory) -> Directory:
    """A directory that knows the provider."""
    empty_directory.write(GROWING)
    empty_directory.init()
    return empty_directory


def environment(values: dict[str, str], previous: dict[str, str]) -> dict[str, str]:
    return dict(parameter_entries(ParameterFacts(values=values, previous=previous)))


def test_a_value_reaches_the_parameter_of_its_name(directory: Directory) -> None:
    values = directory.apply(GROWING, **environment({"size": "3"}, {"size": "2"}))
    assert values["terraform_data.given"]["output"] == "3"


@pytest.mark.parametrize("value", ["2", "0", "10", "x"])
def test_the_daemon_refuses_what_the_provider_refuses(directory: Directory, value: str) -> None:
    planned = directory.plan(GROWING, **environment({"size": value}, {"size": "3"}))
    with pytest.raises(RuleError) as caught:
        check_value(SIZE, value, "3")
    assert str(caught.value) in " ".join(planned.stderr.replace("\u2502", " ").split())
