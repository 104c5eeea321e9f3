"""Which instances a plan and a state have."""

from __future__ import annotations

import pytest

from provisioner.engines.terraform.conversion.instances import (
    Instance,
    instances_of_plan,
    instances_of_state,
)
from tests.harness.instances import managed

PLAN = {
    "prior_state": {
        "values": {
            "root_module": {
                "resources": [
                    {"mode": "data", "type": "region", "name": "near", "values": {"id": "eu"}},
                    {"mode": "managed", "type": "disk", "name": "old", "values": {"id": "1"}},
                ],
                "child_modules": [
                    {
                        "address": "module.m",
                        "resources": [{"mode": "data", "type": "region", "name": "far"}],
                    }
                ],
            }
        }
    },
    "planned_values": {
        "root_module": {
            "resources": [{"mode": "managed", "type": "disk", "name": "new", "index": 0}],
            "child_modules": [
                {
                    "address": 'module.m["a"]',
                    "resources": [{"mode": "data", "type": "image", "name": "late"}],
                }
            ],
        }
    },
}


def test_a_plan_has_what_was_read_and_what_is_planned() -> None:
    assert [(found.mode, found.module, found.name) for found in instances_of_plan(PLAN)] == [
        ("data", "module.m", "far"),
        ("data", "", "near"),
        ("data", 'module.m["a"]', "late"),
        ("managed", "", "new"),
    ]


def test_a_plan_without_state_has_only_what_is_planned() -> None:
    planned = {"planned_values": PLAN["planned_values"]}
    assert [found.name for found in instances_of_plan(planned)] == ["late", "new"]


def test_a_state_has_an_instance_for_each_key() -> None:
    state = {
        "resources": [
            {
                "mode": "managed",
                "module": "module.m[0]",
                "type": "disk",
                "name": "home",
                "instances": [
                    {"index_key": "a", "attributes": {"id": "1"}},
                    {"index_key": "b", "attributes": {"id": "2"}},
                ],
            }
        ]
    }
    assert list(instances_of_state(state)) == [
        managed("module.m[0].disk.home", key="a", id="1"),
        managed("module.m[0].disk.home", key="b", id="2"),
    ]


@pytest.mark.parametrize(
    ("module", "label"),
    [
        ("", "disk.home"),
        ("module.m", "module.m.disk.home"),
        ("module.m[10].module.n", "module.m.module.n.disk.home"),
        ('module.m["a.b"]', "module.m.disk.home"),
        (r'module.m["a\"]\\[0]"].module.n["x"]', "module.m.module.n.disk.home"),
    ],
)
def test_a_label_is_an_address_without_keys(module: str, label: str) -> None:
    assert Instance(module=module, type="disk", name="home").label == label


def test_the_label_of_a_data_source_says_so() -> None:
    assert Instance(mode="data", module="module.m", type="a", name="b").label == "module.m.data.a.b"
