"""The price of a plan: exact, or refused with the address of what is wrong."""

from __future__ import annotations

import json
import re

import pytest

from provisioner.engines.port import EngineError
from provisioner.engines.terraform.conversion.cost import MAX_DAILY_COST
from provisioner.engines.terraform.price import price_plan, read_plan


def price(plan_json: str) -> int:
    return sum(price_plan(read_plan(plan_json)).values())


def data(cost: str, name: str = "dev", **resource: object) -> dict[str, object]:
    """A ``terraform_data`` of the given cost, which is JSON text."""
    return {
        "address": f"terraform_data.{name}",
        "mode": "managed",
        "type": "terraform_data",
        "values": {"input": {"size": "xl", "daily_cost": f"<{cost}>"}},
        **resource,
    }


def metadata(cost: str, name: str = "about") -> dict[str, object]:
    return {
        "address": f"coder_metadata.{name}",
        "mode": "managed",
        "type": "coder_metadata",
        "values": {"daily_cost": f"<{cost}>", "hide": True},
    }


def plan(
    *resources: object,
    children: list[object] | None = None,
    unknown: dict[str, object] | None = None,
) -> str:
    text = json.dumps(
        {
            "format_version": "1.2",
            "planned_values": {
                "root_module": {"resources": resources, "child_modules": children or []}
            },
            "resource_changes": [
                {"address": address, "change": {"actions": ["create"], "after_unknown": after}}
                for address, after in (unknown or {}).items()
            ],
        }
    )
    return re.sub('"<(.*?)>"', lambda found: json.loads(f'"{found[1]}"'), text)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("29", 29),
        ("2.0", 2),
        ("2e3", 2000),
        ("null", 0),
        (str(MAX_DAILY_COST), MAX_DAILY_COST),
    ],
)
@pytest.mark.parametrize("resource", [data, metadata])
def test_whole_numbers_are_prices(resource: type, cost: str, expected: int) -> None:
    assert price(plan(resource(cost))) == expected


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        ("-1", "is -1, but must be a whole number"),
        ("-0.5", "is -0.5, but must be a whole number"),
        ("2.5", "is 2.5, but must be a whole number"),
        ("2.0000000000000000000001", "must be a whole number"),
        (str(MAX_DAILY_COST + 1), "must be a whole number from 0 to 2147483647"),
        ("99999999999999999999999999", "must be a whole number"),
        ("1e400", "must be a whole number"),
        ("NaN", "must be a number, not NaN or infinity"),
        ("Infinity", "must be a number, not NaN or infinity"),
        ("-Infinity", "must be a number, not NaN or infinity"),
        ('"29"', "must be a number, not a string"),
        ("true", "must be a number, not true or false"),
        ("[1]", "must be a number, not a list"),
        ('{"a": 1}', "must be a number, not an object"),
    ],
)
@pytest.mark.parametrize(
    ("resource", "address"), [(data, "terraform_data.dev"), (metadata, "coder_metadata.about")]
)
def test_anything_else_is_refused_with_its_address(
    resource: type, address: str, cost: str, reason: str
) -> None:
    with pytest.raises(EngineError, match=f"^{address}: daily_cost .*{reason}"):
        price(plan(resource(cost)))


def test_a_text_that_stands_where_a_price_should_is_not_shown() -> None:
    with pytest.raises(EngineError) as refused:
        price(plan(data('"hunter2"')))
    assert "hunter2" not in str(refused.value)


def test_the_price_is_the_sum_over_all_modules_and_instances() -> None:
    deep = {"address": "module.a.module.b", "resources": [data("4"), data("8")]}
    child = {"address": "module.a", "resources": [metadata("2")], "child_modules": [deep]}
    assert price(plan(data("1"), children=[child])) == 15


def test_a_sum_out_of_range_is_refused() -> None:
    with pytest.raises(EngineError, match=r"2147483648 credits per day in total"):
        price(plan(data(str(MAX_DAILY_COST)), data("1", "other")))


@pytest.mark.parametrize(
    ("resource", "after"),
    [
        pytest.param("terraform_data.dev", {"input": {"daily_cost": True}, "id": True}, id="data"),
        pytest.param("coder_metadata.about", {"daily_cost": True}, id="metadata"),
    ],
)
def test_a_price_that_only_the_apply_would_know_is_refused(
    resource: str, after: dict[str, object]
) -> None:
    planned = [data("1"), metadata("1")]
    with pytest.raises(EngineError, match=f"^{resource}: daily_cost is not known at plan time; "):
        price(plan(*planned, unknown={resource: after}))


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(data("1", type="aws_instance"), id="another type"),
        pytest.param(data("1", mode="data"), id="a data source"),
        pytest.param(data("1", values={"input": "text"}), id="input is text"),
        pytest.param(data("1", values={"input": [{"daily_cost": 1}]}), id="input is a list"),
        pytest.param(data("1", values={"input": None}), id="no input"),
        pytest.param(data("1", values={"triggers_replace": {"daily_cost": 1}}), id="not its input"),
        pytest.param(data("1", values={}), id="no values"),
    ],
)
def test_what_declares_no_price_is_free(resource: object) -> None:
    assert price(plan(resource)) == 0


def test_an_input_unknown_as_a_whole_is_free() -> None:
    chained = data("1", values={"triggers_replace": None})
    assert price(plan(chained, unknown={"terraform_data.dev": {"input": True}})) == 0


def test_what_the_plan_destroys_is_free() -> None:
    gone = {"address": "terraform_data.old", "change": {"actions": ["delete"], "before": {}}}
    empty = {"planned_values": {"root_module": {}}, "resource_changes": [gone]}
    assert price(json.dumps(empty)) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "9" * 5000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match=r"^terraform show: "):
        price(text)


def test_a_plan_with_too_many_values_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("provisioner.engines.terraform.price.MAX_VALUES", 100)
    with pytest.raises(EngineError, match="the plan has more than 100 values"):
        price(json.dumps({"planned_values": [[]] * 200}))
