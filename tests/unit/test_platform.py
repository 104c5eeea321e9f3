"""What the platform gives to a build: scripts, facts of the owner, secrets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from provisioner.platform.agentscripts import (
    MAX_SCRIPT_BYTES,
    SYSTEMS,
    AgentScriptsError,
    own_scripts,
    read_scripts,
)
from provisioner.platform.hook import MAX_SECRET, BuildSecrets, HookError, read_answer
from provisioner.platform.platform import OwnerFacts, Platform, agent_entries, owner_entries

ORGANIZATION = UUID("8f6ab6e0-24fc-4d1b-9d3c-5c5a0a1a4e90")
OWNER = OwnerFacts(login_type="oidc")


def roles(owner: OwnerFacts) -> object:
    return json.loads(owner_entries(owner, BuildSecrets())["CODER_WORKSPACE_OWNER_RBAC_ROLES"])


def test_there_is_a_script_for_each_machine_that_an_agent_runs_on() -> None:
    assert set(own_scripts()) == {
        "linux_amd64",
        "linux_arm64",
        "linux_armv7",
        "darwin_amd64",
        "darwin_arm64",
        "windows_amd64",
        "windows_arm64",
    }


@pytest.mark.parametrize("machine", sorted(own_scripts()))
def test_a_script_fetches_the_agent_of_its_machine(machine: str) -> None:
    system, _, arch = machine.partition("_")
    script = own_scripts()[machine]
    assert f"${{ACCESS_URL}}bin/coder-{system}-{arch}" in script
    assert "${ARCH}" not in script
    assert "${AUTH_TYPE}" in script


@pytest.mark.parametrize("machine", [name for name in own_scripts() if "windows" not in name])
def test_a_script_is_valid_for_a_shell(machine: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(own_scripts()[machine])
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_a_folder_has_scripts_in_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "linux.sh").write_text("all ${ARCH}")
    (tmp_path / "linux_arm64").write_text("one")
    (tmp_path / ".hidden").write_text("")
    found = read_scripts(tmp_path)
    assert found["linux_amd64"] == "all amd64"
    assert found["linux_arm64"] == "one"
    assert found["darwin_amd64"] == own_scripts()["darwin_amd64"]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("plan9_amd64", b"x", "plan9_amd64 is not an operating system with an architecture"),
        ("linux", b"", "is empty"),
        ("linux", b"\xff", "is not UTF-8"),
        ("linux", b"a\0b", "contains a NUL"),
        ("linux", b"x" * (MAX_SCRIPT_BYTES + 1), "has more than"),
    ],
)
def test_a_folder_with_anything_else_is_refused(
    tmp_path: Path, name: str, data: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AgentScriptsError, match=problem):
        read_scripts(tmp_path)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentScriptsError, match="missing: No such file or directory"):
        read_scripts(tmp_path / "missing")


def test_a_platform_with_a_url_gives_scripts() -> None:
    entries = agent_entries(
        Platform(access_url="https://coder.example.com", agent_scripts={"linux_amd64": "x"})
    )
    assert entries == {
        "CODER_AGENT_URL": "https://coder.example.com",
        "CODER_AGENT_SCRIPT_linux_amd64": "x",
    }


def test_a_platform_without_a_url_gives_none() -> None:
    assert agent_entries(Platform(agent_scripts={"linux_amd64": "x"})) == {}


def test_an_owner_has_the_roles_of_everybody_too() -> None:
    owner = OwnerFacts(
        login_type="oidc",
        site_roles=("auditor",),
        organization_id=ORGANIZATION,
        organization_roles=("organization-admin",),
    )
    assert roles(owner) == [
        {"name": "auditor"},
        {"name": "member"},
        {"name": "organization-admin", "org_id": str(ORGANIZATION)},
        {"name": "organization-member", "org_id": str(ORGANIZATION)},
    ]


def test_an_owner_who_has_left_has_no_roles_of_the_organization() -> None:
    assert roles(OWNER) == [{"name": "member"}]


def test_without_secrets_all_are_set_and_empty() -> None:
    entries = owner_entries(OWNER, BuildSecrets())
    del entries["CODER_WORKSPACE_OWNER_RBAC_ROLES"]
    assert entries == {
        "CODER_WORKSPACE_OWNER_LOGIN_TYPE": "oidc",
        "CODER_WORKSPACE_OWNER_SESSION_TOKEN": "",
        "CODER_WORKSPACE_OWNER_OIDC_ACCESS_TOKEN": "",
        "CODER_WORKSPACE_OWNER_SSH_PUBLIC_KEY": "",
        "CODER_WORKSPACE_OWNER_SSH_PRIVATE_KEY": "",
        "CODER_TASK_ID": "00000000-0000-0000-0000-000000000000",
        "CODER_TASK_PROMPT": "",
    }


def test_tokens_of_services_have_both_names() -> None:
    entries = owner_entries(OWNER, BuildSecrets(external_auth={"github": "t", "a=b": "x"}))
    assert entries["CODER_EXTERNAL_AUTH_ACCESS_TOKEN_github"] == "t"
    assert entries["CODER_GIT_AUTH_ACCESS_TOKEN_github"] == "t"
    assert not [name for name in entries if "=" in name]


def test_what_is_secret_is_redacted() -> None:
    secrets = BuildSecrets(
        session_token="one",
        oidc_access_token="two",
        ssh_public_key="public",
        ssh_private_key="three",
        external_auth={"github": "four", "gitlab": ""},
    )
    assert secrets.sensitive_values == {"one", "two", "three", "four"}


def test_unknown_fields_of_an_answer_are_ignored() -> None:
    assert read_answer({"session_token": "x", "later": 1}).session_token == "x"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"session_token": 1},
        {"session_token": "a\0b"},
        {"session_token": "x" * (MAX_SECRET + 1)},
        {"external_auth": {"github": None}},
        {"external_auth": {str(n): "" for n in range(101)}},
        {"task_id": "x"},
    ],
)
def test_an_answer_of_another_form_is_refused(answer: object) -> None:
    with pytest.raises(HookError, match="its answer is not valid: "):
        read_answer(answer)


def test_a_wrong_value_of_an_answer_is_not_shown() -> None:
    with pytest.raises(HookError) as caught:
        read_answer({"external_auth": {"github": ["hunter2"]}, "task_id": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_every_system_has_an_architecture() -> None:
    assert all(SYSTEMS.values())
