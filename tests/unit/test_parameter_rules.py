"""The values that a parameter may have; the texts are those of Coder and its provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.jobs.declarations import ParameterOption, TemplateParameter
from db.parameters.rules import RuleError
from db.parameters.validation import check_value

NUMBER: dict[str, Any] = {"type": "number"}
RANGE = {**NUMBER, "validation_min": 3, "validation_max": 9}
WORDED = {**RANGE, "validation_error": "{value} is not from {min} to {max}"}
UP = {**NUMBER, "validation_monotonic": "increasing"}
DOWN = {**NUMBER, "validation_monotonic": "decreasing"}
PATTERN = {"validation_regex": "^[a-z]+$", "validation_error": "only letters"}
LIST = {"type": "list(string)"}
CHOICE = {"options": ("a", "b")}
SELECT = {**LIST, **CHOICE, "form_type": "multi-select"}


def parameter(**facts: Any) -> TemplateParameter:
    options = tuple(ParameterOption(name=value, value=value) for value in facts.pop("options", ()))
    return TemplateParameter(**{"name": "p", "required": False, **facts, "options": options})


@pytest.mark.parametrize(
    ("facts", "value"),
    [
        pytest.param({}, "anything", id="text"),
        pytest.param({}, "", id="empty text"),
        pytest.param({"required": True}, "x", id="required"),
        pytest.param({**CHOICE, "default": "a"}, "", id="empty stands for the default"),
        pytest.param(CHOICE, "b", id="option"),
        pytest.param(SELECT, '["b", "a"]', id="options"),
        pytest.param(SELECT, "[]", id="no option"),
        pytest.param({**LIST, "options": ('["a"]', '["b"]')}, '["b"]', id="list as an option"),
        pytest.param(NUMBER, "1e3", id="number"),
        pytest.param(NUMBER, "-1.5", id="fraction"),
        pytest.param(NUMBER, "inf", id="infinite"),
        pytest.param(RANGE, "3", id="minimum"),
        pytest.param(RANGE, "+9", id="maximum"),
        pytest.param(PATTERN, "abc", id="pattern"),
        pytest.param({"type": "bool"}, "true", id="bool"),
        pytest.param(LIST, '["a", ""]', id="list"),
        pytest.param(LIST, "null", id="null is a list"),
    ],
)
def test_a_value_that_keeps_the_rules_is_taken(facts: dict[str, Any], value: str) -> None:
    check_value(parameter(**facts), value)


@pytest.mark.parametrize(
    ("facts", "value", "words"),
    [
        pytest.param({"required": True}, "", "parameter value is required", id="required"),
        pytest.param(CHOICE, "c", "parameter value must match one of options: [a b]", id="option"),
        pytest.param(
            SELECT, '["a", "c"]', "parameter value must match one of options: [a b]", id="options"
        ),
        pytest.param(
            SELECT, "a", "parameter value must match one of options: [a b]", id="no list of options"
        ),
        pytest.param(NUMBER, "a", '"a" is not a number', id="number"),
        pytest.param(NUMBER, "1_0", '"1_0" is not a number', id="separators"),
        pytest.param(RANGE, "1.5", 'value "1.5" is not a number', id="whole number"),
        pytest.param(
            UP, str(2**63), 'value "9223372036854775808" is not a number', id="64 bits exceeded"
        ),
        pytest.param(RANGE, "2", "value 2 is less than the minimum 3", id="minimum"),
        pytest.param(RANGE, "10", "value 10 is more than the maximum 9", id="maximum"),
        pytest.param(WORDED, "x", "x is not from 3 to 9", id="own words, no number"),
        pytest.param(WORDED, "2", "2 is not from 3 to 9", id="own words, minimum"),
        pytest.param(WORDED, "10", "10 is not from 3 to 9", id="own words, maximum"),
        pytest.param(
            PATTERN, "A1", 'only letters (value "A1" does not match "^[a-z]+$")', id="pattern"
        ),
        pytest.param(
            {"validation_regex": "a"},
            "a",
            "an error must be specified with a regex validation",
            id="pattern without words",
        ),
        pytest.param(
            {"type": "bool"}, "1", 'boolean value can be either "true" or "false"', id="bool"
        ),
        pytest.param(
            LIST, '["a", 1]', r'value "[\"a\", 1]" is not valid list of strings', id="list"
        ),
        pytest.param(
            LIST, "[" * 5000, f'value "{"[" * 200}…" is not valid list of strings', id="deep list"
        ),
        pytest.param(
            {"validation_min": 1}, "x", "a min cannot be specified for a string type", id="min"
        ),
        pytest.param(
            {"type": "bool", "validation_max": 1},
            "true",
            "a max cannot be specified for a bool type",
            id="max",
        ),
        pytest.param(
            {"validation_monotonic": "increasing"},
            "x",
            "monotonic validation can only be specified for number types, not string types",
            id="monotonic",
        ),
        pytest.param(
            {**NUMBER, "validation_regex": "1"},
            "1",
            "a regex cannot be specified for a number type",
            id="pattern for numbers",
        ),
        pytest.param(
            {**NUMBER, "validation_monotonic": "up"},
            "1",
            'number monotonicity can be either "increasing" or "decreasing"',
            id="monotonicity",
        ),
        pytest.param(
            {**RANGE, "default": "2"}, "", "value 2 is less than the minimum 3", id="default"
        ),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(
    facts: dict[str, Any], value: str, words: str
) -> None:
    with pytest.raises(RuleError) as caught:
        check_value(parameter(**facts), value)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "x"),
        ("number", "1.5"),
        ("bool", "true"),
        ("list(string)", '["a"]'),
        ("map(number)", '{"a": 1}'),
        ("map(number)", ""),
        ("any", "x"),
    ],
)
def test_a_value_of_the_declaring_variable_s_type_is_taken(kind: str, value: str) -> None:
    check_value(parameter(variable_type=kind), value)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("number", "inf", 'the value must be a number, not "inf"'),
        ("bool", "yes", 'the value must be a bool, not "yes"'),
        ("map(number)", '{"a": "x"}', 'the value element "a" must be a number, not "x"'),
        ("map(number)", "{a = 1}", 'value "{a = 1}" is not JSON'),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_value(parameter(variable_type=kind), value)
    assert str(caught.value) == words


@pytest.mark.parametrize(("length", "end"), [(200, 'x" is not a number'), (201, 'x…" is not')])
def test_a_long_value_is_shortened_in_an_error(length: int, end: str) -> None:
    with pytest.raises(RuleError, match=end):
        check_value(parameter(**NUMBER), "x" * length)


def test_a_pattern_that_only_go_understands_is_left_to_the_provider() -> None:
    check_value(parameter(validation_regex=r"\C", validation_error="x"), "a")


@given(value=st.integers(-(2**63), 2**63 - 1), previous=st.integers(-(2**63), 2**63 - 1))
def test_a_number_follows_the_direction_of_its_parameter(value: int, previous: int) -> None:
    for facts, allowed in ((UP, value >= previous), (DOWN, value <= previous)):
        assert is_allowed(parameter(**facts), str(value), str(previous)) is allowed


@pytest.mark.parametrize("previous", [None, "", "a", "1.5"])
def test_a_previous_value_that_is_no_number_does_not_count(previous: str | None) -> None:
    check_value(parameter(**UP), "1", previous)


@pytest.mark.parametrize(
    ("facts", "value", "words"),
    [
        (UP, "3", "parameter value '3' must be equal or greater than previous value: 4"),
        (DOWN, "5", "parameter value '5' must be equal or lower than previous value: 4"),
    ],
)
def test_a_wrong_direction_is_explained(facts: dict[str, Any], value: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_value(parameter(**facts), value, "4")
    assert str(caught.value) == words


@given(
    value=st.one_of(st.text(), st.integers().map(str), st.lists(st.text()).map(json.dumps)),
    facts=st.sampled_from((NUMBER, RANGE, WORDED, UP, PATTERN, LIST, SELECT, {"type": "bool"})),
    previous=st.one_of(st.none(), st.text()),
)
def test_any_text_is_taken_or_refused(
    value: str, facts: dict[str, Any], previous: str | None
) -> None:
    assert is_allowed(parameter(**facts), value, previous) in {True, False}


@given(chosen=st.lists(st.sampled_from(("a", "b", "c"))))
def test_a_selection_is_taken_if_all_of_it_are_options(chosen: list[str]) -> None:
    assert is_allowed(parameter(**SELECT), json.dumps(chosen)) is ("c" not in chosen)


@given(value=st.integers())
def test_a_number_in_its_range_is_taken(value: int) -> None:
    assert is_allowed(parameter(**RANGE), str(value)) is (3 <= value <= 9)


def is_allowed(wanted: TemplateParameter, value: str, previous: str | None = None) -> bool:
    try:
        check_value(wanted, value, previous)
    except RuleError:
        return False
    return True
