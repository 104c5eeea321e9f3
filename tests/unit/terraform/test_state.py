"""What a Terraform state file holds."""

from __future__ import annotations

import json

import pytest

from provisioner.engines.terraform.state import instances_of, providers_of


def state(*resources: dict[str, object], **fields: object) -> bytes:
    whole = {
        "version": 4,
        "serial": 3,
        "lineage": "eb19c44b",
        "outputs": {},
        "resources": resources,
    }
    return json.dumps({**whole, **fields}).encode()


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
    assert instances_of(data) is None


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
