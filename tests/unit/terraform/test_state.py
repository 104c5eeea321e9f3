"""What a Terraform state file holds."""

from __future__ import annotations

import json

import pytest

from db.jobs.resources import Resource, ResourceMetadata
from provisioner.engines.terraform.state import instances_of, providers_of, resources_of


def state(*resources: dict[str, object], **fields: object) -> bytes:
    whole = {
        "version": 4,
        "serial": 3,
        "lineage": "eb19c44b",
        "outputs": {},
        "resources": resources,
    }
    return json.dumps({**whole, **fields}).encode()


def managed(type_: str, *instances: dict[str, object], **fields: object) -> dict[str, object]:
    return {
        "mode": "managed",
        "type": type_,
        "name": "dev",
        "provider": "p",
        "instances": [{"attributes": each} for each in instances],
        **fields,
    }


def described(resource_id: str, *dependencies: str, **attributes: object) -> dict[str, object]:
    """A ``coder_metadata`` as it stands in the state."""
    given = {"resource_id": resource_id, "hide": None, "icon": None, "item": None, **attributes}
    instance = {"attributes": given, "dependencies": list(dependencies)}
    return managed("coder_metadata", instances=[instance])


def resources(*in_state: dict[str, object]) -> tuple[Resource, ...]:
    return resources_of(state(*in_state))


def test_a_state_without_resources_has_no_instances() -> None:
    assert instances_of(state()) == ()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(state()[:-1], id="half"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b"[]", id="not an object"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(state(version=3), id="another version"),
    ],
)
def test_nothing_is_known_of_the_instances_in_what_is_not_a_whole_state(data: bytes) -> None:
    assert (instances_of(data), resources_of(data)) == (None, ())


def test_there_is_one_resource_for_each_instance() -> None:
    found = resources(managed("docker_volume", {"id": "1"}, {"id": "2"}))
    assert found == (Resource(type="docker_volume", name="dev"),) * 2


def test_a_resource_knows_its_module() -> None:
    (found,) = resources(managed("docker_volume", {"id": "1"}, module="module.m"))
    assert found.module_path == "module.m"


@pytest.mark.parametrize(
    "left_out",
    [
        *(
            managed(type_, {"id": "1"})
            for type_ in (
                "coder_script",
                "coder_agent",
                "coder_agent_instance",
                "coder_app",
                "coder_metadata",
            )
        ),
        managed("docker_image", {"id": "1"}, mode="data"),
    ],
    ids=lambda resource: f"{resource['mode']} {resource['type']}",
)
def test_what_is_no_resource_to_a_user_is_left_out(left_out: dict[str, object]) -> None:
    assert resources(left_out) == ()


@pytest.mark.parametrize(
    ("type_", "attribute"),
    [
        ("google_compute_instance", "machine_type"),
        ("aws_instance", "instance_type"),
        ("aws_spot_instance_request", "instance_type"),
        ("azurerm_linux_virtual_machine", "size"),
        ("azurerm_windows_virtual_machine", "size"),
    ],
)
def test_machines_tell_their_instance_type(type_: str, attribute: str) -> None:
    (found,) = resources(managed(type_, {"id": "1", attribute: "e2-medium"}))
    assert found.instance_type == "e2-medium"


def test_another_resource_has_no_instance_type() -> None:
    (found,) = resources(managed("disk", {"id": "1", "size": "10", "instance_type": "x"}))
    assert found.instance_type is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"value": {"daily_cost": 3}, "type": ["object", {}]}, 3, id="a cost"),
        pytest.param({"value": {"daily_cost": 3.0}, "type": []}, 3, id="as a fraction"),
        pytest.param({"value": {"daily_cost": -3}, "type": []}, 0, id="an impossible cost"),
        pytest.param({"value": {"other": 3}, "type": []}, 0, id="no cost"),
        pytest.param({"value": "text", "type": "string"}, 0, id="text"),
        pytest.param(None, 0, id="no input"),
    ],
)
def test_a_terraform_data_carries_its_own_cost(given: object, expected: int) -> None:
    (found,) = resources(managed("terraform_data", {"id": "1", "input": given}))
    assert found.daily_cost == expected


def test_metadata_is_applied_to_the_resource_whose_id_it_names() -> None:
    items = [
        {"key": "hello", "value": "world", "sensitive": False, "is_null": False},
        {"key": "null", "value": "", "sensitive": False, "is_null": True},
        {"key": "empty", "value": "", "sensitive": False, "is_null": False},
        {"key": "secret", "value": "squirrel", "sensitive": True, "is_null": False},
    ]
    about = described("42", hide=True, icon="/icon/server.svg", daily_cost=29, item=items)
    assert resources(managed("null_resource", {"id": "41"}, {"id": "42"}), about) == (
        Resource(type="null_resource", name="dev"),
        Resource(
            type="null_resource",
            name="dev",
            daily_cost=29,
            hide=True,
            icon="/icon/server.svg",
            metadata=(
                ResourceMetadata(key="hello", value="world"),
                ResourceMetadata(key="null", value=None),
                ResourceMetadata(key="empty", value=""),
                ResourceMetadata(key="secret", value="squirrel", sensitive=True),
            ),
        ),
    )


def test_of_two_resources_with_one_id_metadata_describes_the_one_it_depends_on() -> None:
    machine, disk = managed("machine", {"id": "7"}), managed("disk", {"id": "7"})
    about = described("7", "disk.dev", daily_cost=5)
    assert [found.daily_cost for found in resources(machine, disk, about)] == [0, 5]


@pytest.mark.parametrize("resource_id", ["", "unknown"])
def test_metadata_of_nothing_changes_nothing(resource_id: str) -> None:
    about = described(resource_id, daily_cost=5)
    (found,) = resources(managed("machine", {"id": "7"}), about)
    assert found.daily_cost == 0


@pytest.mark.parametrize(
    ("told", "sources"),
    [
        pytest.param('provider["example.com/demo/fake"]', {"example.com/demo/fake"}, id="plain"),
        pytest.param(
            'provider["example.com/demo/fake"].two', {"example.com/demo/fake"}, id="alias"
        ),
        pytest.param(
            'module.x.provider["example.com/demo/fake"]',
            {"example.com/demo/fake"},
            id="in a module",
        ),
        pytest.param('provider["terraform.io/builtin/terraform"]', set(), id="built in"),
        pytest.param("provider.aws", {"provider.aws"}, id="Terraform 0.12"),
    ],
)
def test_a_state_tells_which_providers_it_needs(told: str, sources: set[str]) -> None:
    assert providers_of(json.dumps({"resources": [{"provider": told}]}).encode()) == sources


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"resources": [1]}', b'{"resources": [{}]}'])
def test_what_is_no_state_needs_no_provider(data: bytes) -> None:
    assert providers_of(data) == frozenset()
