"""The stand-in of ``coder/coder`` under a real Terraform."""

from __future__ import annotations

import pytest

from tests.integration.terraform.directory import Directory
from tests.providers.coder.parameter import variable_of

HEAD = """
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.5"
    }
  }
}
data "coder_workspace" "me" {}
"""
AGENT = """
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
"""
PARAMETER = """
data "coder_parameter" "region" {
  name    = "region"
  default = "eu"
}
"""
METADATA = """
resource "coder_metadata" "m" {{
  resource_id = "x"
  item {{
    key = "{}"
  }}
}}
"""


@pytest.fixture
def directory(empty_directory: Directory) -> Directory:
    """A directory that knows the provider."""
    empty_directory.write(HEAD)
    empty_directory.init()
    return empty_directory


def test_an_agent_gets_a_token_and_the_platform_s_script(directory: Directory) -> None:
    values = directory.apply(
        HEAD + AGENT,
        CODER_AGENT_URL="https://coder.example.com:8443/path",
        CODER_AGENT_SCRIPT_linux_amd64="curl ${ACCESS_URL}bin/coder --auth ${AUTH_TYPE}",
    )
    agent = values["coder_agent.main"]
    assert agent["init_script"] == "curl https://coder.example.com:8443/bin/coder --auth token"
    assert len(agent["token"]) == 36


def test_an_agent_s_token_is_new_after_each_refresh(directory: Directory) -> None:
    before = directory.apply(HEAD + AGENT)["coder_agent.main"]["token"]
    assert directory.apply(HEAD + AGENT)["coder_agent.main"]["token"] != before


def test_a_refreshed_agent_is_not_changed(directory: Directory) -> None:
    directory.apply(HEAD + AGENT)
    assert directory.plan(HEAD + AGENT).returncode == 0


def test_a_changed_agent_is_replaced(directory: Directory) -> None:
    before = directory.apply(HEAD + AGENT)["coder_agent.main"]["id"]
    after = directory.apply(HEAD + AGENT.replace("amd64", "arm64"))["coder_agent.main"]["id"]
    assert after != before


def test_a_changed_block_replaces_its_resource(directory: Directory) -> None:
    before = directory.apply(HEAD + METADATA.format("a"))["coder_metadata.m"]["id"]
    after = directory.apply(HEAD + METADATA.format("b"))["coder_metadata.m"]
    assert after["id"] != before
    assert after["item"] == [{"key": "b", "value": "", "sensitive": False, "is_null": True}]


def test_an_item_without_a_value_changes_nothing_at_the_next_plan(directory: Directory) -> None:
    directory.apply(HEAD + METADATA.format("k"))
    assert directory.plan(HEAD + METADATA.format("k")).returncode == 0


def test_what_is_not_known_at_plan_is_missing_from_the_planned_values(directory: Directory) -> None:
    agent = directory.planned(HEAD + AGENT)["coder_agent.main"]
    assert not {"id", "token", "init_script", "display_apps"} & agent.keys()
    assert agent["connection_timeout"] == 120


def test_a_parameter_s_value_comes_from_the_environment(directory: Directory) -> None:
    values = directory.apply(HEAD + PARAMETER, **{variable_of("region"): "us"})
    assert values["data.coder_parameter.region"]["value"] == "us"


def test_a_parameter_is_shown_as_the_real_provider_shows_it(directory: Directory) -> None:
    shown = directory.apply(HEAD + PARAMETER)["data.coder_parameter.region"]
    assert {name: shown[name] for name in shown if name != "id"} == {
        "name": "region",
        "display_name": None,
        "description": None,
        "type": "string",
        "form_type": "input",
        "styling": "{}",
        "mutable": False,
        "default": "eu",
        "icon": None,
        "order": None,
        "ephemeral": False,
        "value": "eu",
        "optional": True,
        "option": None,
        "validation": [],
    }


def test_a_build_without_its_template_is_refused(directory: Directory) -> None:
    done = directory.plan(HEAD, CODER_WORKSPACE_BUILD_ID="b")
    assert "template ID is missing: CODER_WORKSPACE_TEMPLATE_ID is required" in done.stderr


def test_what_the_provider_finds_wrong_stops_the_plan(directory: Directory) -> None:
    text = AGENT.replace('"amd64"', '"sparc"')
    done = directory.plan(HEAD + text)
    assert 'expected arch to be one of ["amd64" "armv7" "arm64"], got sparc' in done.stderr
