"""Which instances a plan and a state have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.instances import (
    Instance,
    instances_of_plan,
    instances_of_state,
)
from provisioner.engines.terraform.conversion.resources import left_resources_of
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "item", "key", "agent_id", "slug"]), inner)
    ),
    max_leaves=9,
)
NAMES = st.sampled_from(["coder_agent", "coder_app", "coder_metadata", "coder_env", "pod", "dev"])
STATES = st.fixed_dictionaries(
    {},
    optional={
        "resources": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"mode": st.just("managed"), "type": NAMES | JSON, "name": NAMES | JSON},
                optional={
                    "module": JSON,
                    "instances": JSON | st.lists(st.fixed_dictionaries({"attributes": JSON})),
                },
            ),
            max_size=4,
        )
    },
)


@given(STATES)
def test_whatever_is_in_a_state_its_resources_are_found(state: dict[str, Any]) -> None:
    instances = tuple(instances_of_state(state))
    edges = [(one.label, other.label) for one in instances for other in instances]
    assert len(left_resources_of(instances, Graph(edges))) <= len(instances)


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
