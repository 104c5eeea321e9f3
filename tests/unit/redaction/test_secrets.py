"""Which values of a build are secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.redaction.secrets import (
    leaves_of,
    secrets_in,
    secrets_of_environment,
    secrets_of_plan,
    secrets_of_state,
    with_marked,
)


@pytest.mark.parametrize(
    ("value", "leaves"),
    [
        ("text", {"text"}),
        (123456, {"123456"}),
        (12345, set()),
        (True, set()),
        (None, set()),
        ({"a": ["x", {"b": "y"}]}, {"x", "y"}),
        ('{"a": "x"}', {'{"a": "x"}', "x"}),
        ("{not json", {"{not json"}),
        ("[" * 50_000, {"[" * 50_000}),
    ],
)
def test_the_leaves_of_a_value_are_secret(value: object, leaves: set[str]) -> None:
    assert set(leaves_of(value)) == leaves


def test_a_value_is_secret_whole_and_in_parts() -> None:
    assert secrets_in(['["one", "two"]']) == {'["one", "two"]', "one", "two"}


def test_what_the_operator_passes_is_secret_but_for_names_of_places() -> None:
    host = {"AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "eu-central-1", "OTHER": "other"}
    assert set(secrets_of_environment(host, ["AWS_SECRET_ACCESS_KEY", "AWS_REGION"])) == {"key"}


def test_a_proxy_has_a_password_in_three_forms() -> None:
    host = {"HTTPS_PROXY": "http://bob:p%40ss@proxy:3128"}
    assert set(secrets_of_environment(host, [])) == {"p%40ss", "p@ss", "Ym9iOnBAc3M="}


def test_what_a_plan_marks_is_secret_before_and_after() -> None:
    change = {
        "before": {"password": "old", "size": "10"},
        "before_sensitive": {"password": True},
        "after": {"password": "new", "disks": [{"key": "k"}, {"key": "open"}]},
        "after_sensitive": {"password": True, "disks": [{"key": True}, {}]},
    }
    output = {"before": None, "before_sensitive": False, "after": ["o"], "after_sensitive": True}
    plan = {"resource_changes": [{"change": change}], "output_changes": {"o": output}}
    assert secrets_of_plan(plan) == {"old", "new", "k", "o"}


@pytest.mark.parametrize("plan", [{}, {"resource_changes": [{"change": None}, {}]}])
def test_a_plan_without_changes_has_no_secret(plan: dict[str, Any]) -> None:
    assert secrets_of_plan(plan) == frozenset()


def test_what_a_state_marks_is_secret() -> None:
    path = [
        {"type": "get_attr", "value": "keys"},
        {"type": "index", "value": {"value": 0, "type": "number"}},
    ]
    state = {
        "outputs": {"a": {"value": "shown"}, "b": {"value": {"x": "hidden"}, "sensitive": True}},
        "resources": [
            {
                "instances": [
                    {"attributes": {"keys": ["k"]}, "sensitive_attributes": [path]},
                    {"attributes": None, "sensitive_attributes": [path]},
                ]
            }
        ],
    }
    assert secrets_of_state(json.dumps(state, indent=2).encode()) == {"hidden", "k"}


@pytest.mark.parametrize(
    "data", [None, b"", b"{}", b'{"sensitive": true', b"[]", b'[{"sensitive": true}]']
)
def test_a_state_that_marks_nothing_has_no_secret(data: bytes | None) -> None:
    assert secrets_of_state(data) == frozenset()


def test_a_text_that_was_made_of_a_secret_is_not_hidden_as_a_whole() -> None:
    marked = frozenset({"401 for s3cret", "derived"})
    assert with_marked(frozenset({"s3cret"}), marked) == {"s3cret", "derived"}


@pytest.mark.parametrize(
    "state",
    [
        {"outputs": 1},
        {"outputs": ["a"], "resources": {"a": 1}},
        {"resources": [1, {"instances": 2}, {"instances": [3, {"sensitive_attributes": 4}]}]},
        {"resources": [{"instances": [{"sensitive_attributes": [5, [6], [{"value": {}}]]}]}]},
    ],
)
def test_a_state_of_another_shape_has_no_secrets(state: dict[str, Any]) -> None:
    marked = {**state, "x": {"sensitive": True}}
    assert secrets_of_state(json.dumps(marked).encode()) == frozenset()
