"""The templates of common shapes under a real Terraform, from the first start to the delete."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.terraform.directory import Directory
from tests.providers.coder.parameter import variable_of

TEMPLATES = Path(__file__).parents[2] / "templates"
FACTS = {
    "CODER_WORKSPACE_ID": "3f0a2e5e-5a55-4d0c-9d2e-0c3a4f2b7d11",
    "TF_VAR_namespace": "dev",
}
REGIONS = {"kubernetes": "eu", "aws": "us-east-1"}
# What is in the state while a workspace runs, and while it is stopped; without coder_agent.main.
SHAPES = {
    "docker": (
        {
            "coder_app.preview",
            "coder_metadata.container[0]",
            "coder_metadata.home",
            "docker_container.workspace[0]",
            "docker_image.main",
            "docker_volume.home",
            "module.code_server[0].coder_app.code_server",
            "module.code_server[0].coder_script.code_server",
            "module.dotfiles[0].coder_script.dotfiles",
        },
        {"coder_app.preview", "coder_metadata.home", "docker_image.main", "docker_volume.home"},
    ),
    "kubernetes": (
        {
            "coder_metadata.deployment[0]",
            "kubernetes_deployment.main[0]",
            "kubernetes_persistent_volume_claim.home",
        },
        {"kubernetes_persistent_volume_claim.home"},
    ),
    "aws": (
        {
            "aws_ec2_instance_state.dev",
            "aws_instance.dev",
            "coder_agent.dev[0]",
            "coder_app.terminal[0]",
            "coder_env.path[0]",
            "coder_metadata.machine",
        },
        {"aws_ec2_instance_state.dev", "aws_instance.dev", "coder_metadata.machine"},
    ),
    "external-auth": (
        {
            "coder_env.proxy",
            "docker_container.workspace[0]",
            "module.clone.coder_script.clone",
        },
        {"coder_env.proxy", "module.clone.coder_script.clone"},
    ),
    "devcontainer": (
        {
            "coder_app.inner[0]",
            "coder_devcontainer.project[0]",
            "docker_container.workspace[0]",
        },
        set(),
    ),
    "task": (
        {
            "coder_ai_task.task[0]",
            "coder_app.chat[0]",
            "docker_container.workspace[0]",
        },
        set(),
    ),
    "external-agent": (
        {"coder_app.files", "coder_external_agent.main"},
        {"coder_app.files", "coder_external_agent.main"},
    ),
}


@pytest.fixture(params=sorted(path.name for path in TEMPLATES.iterdir()))
def shape(request: pytest.FixtureRequest, empty_directory: Directory) -> str:
    name: str = request.param
    shutil.copytree(TEMPLATES / name, empty_directory.path, dirs_exist_ok=True)
    empty_directory.init()
    return name


def made(directory: Directory, name: str, transition: str) -> set[str]:
    """Build as the daemon would; return what is managed then."""
    environment = {**FACTS, "CODER_WORKSPACE_TRANSITION": transition}
    if name in REGIONS:
        environment[variable_of("region")] = REGIONS[name]
    options = ["-destroy"] if transition == "destroy" else []
    done = directory.run("apply", *options, "-auto-approve", "-no-color", **environment)
    assert done.returncode == 0, done.stderr
    found = directory.run("state", "list").stdout.split()
    return {address for address in found if "data" not in address.split(".")} - {"coder_agent.main"}


def test_a_template_starts_stops_and_is_deleted(empty_directory: Directory, shape: str) -> None:
    running, stopped = SHAPES[shape]
    assert made(empty_directory, shape, "start") == running
    assert made(empty_directory, shape, "stop") == stopped
    assert made(empty_directory, shape, "destroy") == set()
