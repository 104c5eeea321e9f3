"""The resources that a user sees, and what ``coder_metadata`` adds to them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from db.jobs.resources import Resource, ResourceMetadata
from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.resources import left_resources_of, resources_of
from tests.harness.instances import managed, read

ABOUT = "coder_metadata.about"


def resources(
    *instances: Instance, edges: tuple[tuple[str, str], ...] = ()
) -> tuple[Resource, ...]:
    return resources_of(instances, Graph(edges))


def costs(*instances: Instance, edges: tuple[tuple[str, str], ...]) -> list[int]:
    return [found.daily_cost for found in resources(*instances, edges=edges)]


def test_there_is_one_resource_for_each_instance() -> None:
    found = resources(managed("disk.dev", key=0), managed("disk.dev", key=1))
    assert found == (Resource(type="disk", name="dev"),) * 2


def test_a_resource_knows_its_module() -> None:
    (found,) = resources(managed("module.m[0].disk.dev"))
    assert found.module_path == "module.m[0]"


@pytest.mark.parametrize(
    "left_out",
    [
        *(
            managed(f"{type_}.dev")
            for type_ in (
                "coder_script",
                "coder_agent",
                "coder_agent_instance",
                "coder_app",
                "coder_metadata",
            )
        ),
        read("docker_image.dev"),
    ],
    ids=lambda instance: instance.label,
)
def test_what_is_no_resource_to_a_user_is_left_out(left_out: Instance) -> None:
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
    (found,) = resources(managed(f"{type_}.dev", **{attribute: "e2-medium"}))
    assert found.instance_type == "e2-medium"


def test_another_resource_has_no_instance_type() -> None:
    (found,) = resources(managed("disk.dev", size="10", instance_type="x"))
    assert found.instance_type is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"value": {"daily_cost": 3}, "type": ["object", {}]}, 3, id="a cost"),
        pytest.param({"value": {"daily_cost": Decimal("3.0")}, "type": []}, 3, id="as a fraction"),
        pytest.param({"value": {"daily_cost": -3}, "type": []}, 0, id="an impossible cost"),
        pytest.param({"value": {"other": 3}, "type": []}, 0, id="no cost"),
        pytest.param({"value": "text", "type": "string"}, 0, id="text"),
        pytest.param({"daily_cost": 3}, 3, id="planned"),
        pytest.param(None, 0, id="no input"),
    ],
)
def test_a_terraform_data_carries_its_own_cost(given: object, expected: int) -> None:
    (found,) = resources(managed("terraform_data.dev", input=given))
    assert found.daily_cost == expected


def test_metadata_describes_the_resource_that_it_refers_to() -> None:
    items = [
        {"key": "hello", "value": "world", "sensitive": False, "is_null": False},
        {"key": "null", "value": "", "sensitive": False, "is_null": True},
        {"key": "empty", "value": "", "sensitive": False, "is_null": False},
        {"key": "secret", "value": "squirrel", "sensitive": True, "is_null": False},
    ]
    about = managed(ABOUT, hide=True, icon="/icon/server.svg", daily_cost=29, item=items)
    found = resources(
        managed("disk.home"), managed("disk.dev"), about, edges=((ABOUT, "disk.dev"),)
    )
    assert found == (
        Resource(type="disk", name="home"),
        Resource(
            type="disk",
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


# Every object of Kubernetes has the id "namespace/name", and a pod depends on the others.
def test_metadata_describes_one_of_several_resources_with_the_same_id() -> None:
    kinds = ("pod", "role", "secret", "service_account", "config_map", "role_binding")
    objects = [managed(f"kubernetes_{kind}.dev", id="dev/dev") for kind in kinds]
    about = managed(ABOUT, resource_id="dev/dev", daily_cost=10)
    edges = [("kubernetes_pod.dev", f"kubernetes_{kind}.dev") for kind in kinds[1:]]
    edges.append((ABOUT, "kubernetes_pod.dev"))
    assert costs(*objects, about, edges=tuple(edges)) == [10, 0, 0, 0, 0, 0]


def test_metadata_describes_what_a_data_source_between_them_refers_to() -> None:
    edges = ((ABOUT, "data.pod.dev"), ("data.pod.dev", "local.pod"), ("local.pod", "pod.dev"))
    about = managed(ABOUT, daily_cost=5)
    assert costs(managed("pod.dev"), read("pod.dev"), about, edges=edges) == [5]


def test_metadata_describes_the_first_by_name_of_several_as_near() -> None:
    edges = ((ABOUT, "volume.home"), (ABOUT, "machine.dev"))
    about = managed(ABOUT, daily_cost=5)
    assert costs(managed("volume.home"), managed("machine.dev"), about, edges=edges) == [0, 5]


def test_metadata_skips_a_resource_without_instances() -> None:
    edges = ((ABOUT, "machine.dev"), ("machine.dev", "volume.home"))
    about = managed(ABOUT, daily_cost=5)
    assert costs(managed("volume.home"), about, edges=edges) == [5]


def test_metadata_of_a_literal_id_describes_nothing() -> None:
    about = managed(ABOUT, resource_id="1", daily_cost=5)
    assert costs(managed("machine.dev", id="1"), about, edges=()) == [0]


def test_metadata_in_a_counted_module_describes_a_resource_there() -> None:
    about = managed(f"module.m[0].{ABOUT}", daily_cost=5)
    edges = ((f"module.m.{ABOUT}", "module.m.pod.dev"),)
    assert costs(managed("module.m[0].pod.dev"), about, edges=edges) == [5]


def test_metadata_describes_all_instances_that_it_does_not_tell_apart() -> None:
    about = managed(ABOUT, daily_cost=5)
    pods = [managed("pod.dev", key=key) for key in (0, 1)]
    assert costs(*pods, about, edges=((ABOUT, "pod.dev"),)) == [5, 5]


def test_metadata_describes_the_instance_whose_id_it_has() -> None:
    pods = [managed("pod.dev", key=key, id=f"pod {key}") for key in (0, 1)]
    about = managed(ABOUT, resource_id="pod 1", daily_cost=5)
    assert costs(*pods, about, edges=((ABOUT, "pod.dev"),)) == [0, 5]


def test_counted_metadata_of_a_plan_describes_the_instance_with_its_key() -> None:
    pods = [managed("pod.dev", key=key) for key in ("a", "b")]
    about = [managed(ABOUT, key=key, daily_cost=cost) for key, cost in (("a", 3), ("b", 4))]
    assert costs(*pods, *about, edges=((ABOUT, "pod.dev"),)) == [3, 4]


def test_two_metadata_of_one_resource_are_refused() -> None:
    edges = ((ABOUT, "pod.dev"), ("coder_metadata.more", "pod.dev"))
    instances = (managed("pod.dev"), managed(ABOUT), managed("coder_metadata.more"))
    with pytest.raises(ConversionError) as caught:
        resources(*instances, edges=edges)
    assert str(caught.value) == "convert state for graph: duplicate metadata resource: pod.dev"
    assert left_resources_of(instances, Graph(edges)) == (Resource(type="pod", name="dev"),)


@pytest.mark.parametrize("item", [None, "x", [1], [{}], [{"key": 1, "value": []}]])
def test_attributes_of_other_types_are_no_values(item: object) -> None:
    about = managed(ABOUT, hide="x", icon=1, daily_cost="5", item=item)
    (found,) = resources(managed("pod.dev"), about, edges=((ABOUT, "pod.dev"),))
    assert (found.hide, found.icon, found.daily_cost) == (False, "", 0)
