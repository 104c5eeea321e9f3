"""Which values a build gets: chosen, of a preset, of the build before, or the defaults."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import ParameterValidationError
from db.jobs.declarations import TemplateParameter
from db.parameters.choice import Choice, best_match, resolve
from db.parameters.limits import MAX_GIVEN, MAX_TOTAL_BYTES, MAX_VALUE_BYTES
from db.schema.enums import JobErrorCode, Transition

START, STOP, DELETE = Transition.START, Transition.STOP, Transition.DELETE
FREE = TemplateParameter(name="free", required=False, default="d")
FIXED = TemplateParameter(name="fixed", required=False, default="d", mutable=False)
NEEDED = TemplateParameter(name="needed", required=True, display_name="The needed one")
ONCE = TemplateParameter(name="once", required=False, default="false", type="bool", ephemeral=True)
COUNT = TemplateParameter(
    name="count", required=False, default="1", type="number", validation_monotonic="increasing"
)
NAMES = st.sampled_from(("free", "fixed", "needed", "once", "count"))
VALUES = st.dictionaries(
    NAMES, st.one_of(st.text(), st.sampled_from(("true", "false", "1", "2"))), max_size=5
)


def resolved(
    *declared: TemplateParameter, transition: Transition = START, **choice: Mapping[str, str]
) -> dict[str, str]:
    return resolve(declared, Choice(**choice), transition)


def refusal(*declared: TemplateParameter, **choice: Any) -> ParameterValidationError:
    with pytest.raises(ParameterValidationError) as caught:
        resolved(*declared, **choice)
    return caught.value


def details(error: ParameterValidationError) -> dict[str, str]:
    return {found.field: found.detail for found in error.validations}


def test_a_parameter_without_a_value_has_its_default() -> None:
    assert resolved(FREE) == {"free": "d"}


def test_a_value_is_kept_from_the_build_before() -> None:
    assert resolved(FREE, previous={"free": "p"}) == {"free": "p"}


def test_a_chosen_value_replaces_the_one_of_the_build_before() -> None:
    assert resolved(FREE, given={"free": "g"}, previous={"free": "p"}) == {"free": "g"}


def test_a_preset_takes_precedence_over_the_request() -> None:
    assert resolved(FREE, given={"free": "g"}, preset={"free": "s"}) == {"free": "s"}


def test_a_value_for_one_build_is_not_kept() -> None:
    assert resolved(ONCE, previous={"once": "true"}) == {"once": "false"}


def test_a_value_for_one_build_is_given_to_that_build() -> None:
    assert resolved(ONCE, given={"once": "true"}) == {"once": "true"}


def test_a_value_that_the_template_no_longer_declares_is_not_kept() -> None:
    assert resolved(FREE, previous={"gone": "x"}) == {"free": "d"}


def test_an_empty_value_stays_empty() -> None:
    assert resolved(FREE, given={"free": ""}) == {"free": ""}


def test_a_preset_may_name_what_the_template_does_not_declare() -> None:
    assert resolved(FREE, preset={"gone": "x"}) == {"free": "d"}


def test_a_parameter_that_must_not_change_is_refused() -> None:
    error = refusal(FIXED, given={"fixed": "b"}, previous={"fixed": "a"})
    assert details(error) == {
        "fixed": 'Parameter "fixed" is not mutable,'
        " so it can't be updated after creating a workspace."
    }


@pytest.mark.parametrize("previous", [{}, {"fixed": "a"}])
def test_a_parameter_that_must_not_change_may_be_new_or_the_same(previous: dict[str, str]) -> None:
    assert resolved(FIXED, given={"fixed": "a"}, previous=previous) == {"fixed": "a"}


def test_a_needed_value_that_is_missing_is_refused_with_its_code() -> None:
    error = refusal(NEEDED)
    assert str(error) == (
        'Unable to validate parameter "needed": Parameter "needed" is required but not provided'
    )
    assert error.error_code is JobErrorCode.MISSING_TEMPLATE_PARAMETER


def test_a_wrong_value_is_refused_by_the_name_that_people_see() -> None:
    error = refusal(NEEDED, given={"needed": ""})
    assert details(error) == {
        "needed": 'can\'t validate build parameter "The needed one": parameter value is required'
    }


def test_a_refusal_that_is_not_about_a_missing_value_has_no_code() -> None:
    assert refusal(COUNT, given={"count": "x"}).error_code is None


def test_a_number_is_compared_with_the_build_before() -> None:
    error = refusal(COUNT, given={"count": "3"}, previous={"count": "4"})
    assert "must be equal or greater than previous value: 4" in str(error)


def test_all_wrong_parameters_are_named_by_name() -> None:
    error = refusal(NEEDED, COUNT, given={"count": "x", "regoin": "eu"})
    assert [found.field for found in error.validations] == ["count", "needed", "regoin"]
    assert str(error).startswith("Unable to validate parameters: ")


def test_an_unknown_parameter_is_refused_beside_those_that_exist() -> None:
    error = refusal(FREE, NEEDED, given={"regoin": "eu", "needed": "x"})
    assert details(error) == {
        "regoin": 'parameter "regoin" is not present in the template; it has "free", "needed"'
    }


@pytest.mark.parametrize(("count", "end"), [(20, '"p19"'), (21, '"p19", \u2026')])
def test_not_more_than_twenty_parameters_are_named(count: int, end: str) -> None:
    many = [TemplateParameter(name=f"p{number}", required=False) for number in range(count)]
    assert str(refusal(*many, given={"x": ""})).endswith(end)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"free": "a\0b"}, "contains a null byte", id="NUL"),
        pytest.param({"free": "\ud800"}, "not valid Unicode text", id="lone surrogate"),
        pytest.param({"fr\0ee": "a"}, "the name of a parameter contains a null byte", id="name"),
        pytest.param({"n" * 2000: "a"}, "the name of a parameter has more than", id="long name"),
        pytest.param({"free": 1}, "the value must be text, not int", id="number"),
        pytest.param(
            {1: "a"}, "the name of a parameter must be text, not int", id="number as name"
        ),
        pytest.param({"free": None}, "the value must be text, not NoneType", id="none"),
        pytest.param(
            {"free": "ä" * MAX_VALUE_BYTES},
            f"the value has {2 * MAX_VALUE_BYTES} bytes; at most {MAX_VALUE_BYTES} are allowed",
            id="size",
        ),
        pytest.param(
            {f"n{number}": "" for number in range(MAX_GIVEN + 1)},
            "1001 parameters are given; at most 1000 are allowed",
            id="count",
        ),
    ],
)
def test_a_value_that_cannot_be_stored_or_passed_on_is_refused(
    given: dict[str, Any], words: str
) -> None:
    assert words in str(refusal(FREE, given=given))


def test_values_that_are_too_large_together_are_refused() -> None:
    many = [TemplateParameter(name=f"p{number}", required=False) for number in range(6)]
    values = {parameter.name: "x" * 100_000 for parameter in many}
    assert f"at most {MAX_TOTAL_BYTES} are allowed" in str(refusal(*many, given=values))


def test_a_default_that_cannot_be_passed_on_is_refused() -> None:
    large = TemplateParameter(name="large", required=False, default="x" * (MAX_VALUE_BYTES + 1))
    assert list(details(refusal(large))) == ["large"]


def test_a_stop_keeps_a_value_that_the_rules_no_longer_allow() -> None:
    assert resolved(COUNT, transition=STOP, previous={"count": "x"}) == {"count": "x"}


def test_a_stop_is_judged_by_what_is_chosen_for_it() -> None:
    assert list(details(refusal(COUNT, transition=STOP, given={"count": "x"}))) == ["count"]


def test_a_delete_leaves_out_what_may_not_be_chosen() -> None:
    given = {"fixed": "b", "count": "x", "free": "a\0b", "unknown": "x"}
    previous = {"fixed": "a", "count": "2", "free": "p", "once": "true"}
    assert resolved(
        FIXED, COUNT, FREE, ONCE, NEEDED, transition=DELETE, given=given, previous=previous
    ) == {"fixed": "a", "count": "2", "free": "p", "once": "false", "needed": ""}


def test_a_delete_takes_what_may_be_chosen() -> None:
    assert resolved(FREE, transition=DELETE, given={"free": "g"}) == {"free": "g"}


@given(given_values=VALUES, preset=VALUES, previous=VALUES)
def test_a_delete_is_never_refused(
    given_values: dict[str, str], preset: dict[str, str], previous: dict[str, str]
) -> None:
    declared = (FREE, FIXED, NEEDED, ONCE, COUNT)
    choice = Choice(given=given_values, preset=preset, previous=previous)
    assert resolve(declared, choice, DELETE).keys() == {found.name for found in declared}


@given(given_values=VALUES, previous=VALUES)
def test_what_a_start_accepted_is_accepted_again(
    given_values: dict[str, str], previous: dict[str, str]
) -> None:
    declared = (FREE, FIXED, NEEDED, ONCE, COUNT)
    choice = Choice(given=given_values, previous=previous)
    try:
        first = resolve(declared, choice, START)
    except ParameterValidationError:
        return
    again = resolve(declared, Choice(previous=first), START)
    assert again == {**first, "once": "false"}


@given(given_values=VALUES, previous=VALUES)
def test_a_fixed_value_never_changes(
    given_values: dict[str, str], previous: dict[str, str]
) -> None:
    choice = Choice(given=given_values, previous={**previous, "fixed": "a"})
    for transition in Transition:
        assert resolve_or_none((FIXED,), choice, transition) in ("a", None)


def resolve_or_none(
    declared: tuple[TemplateParameter], choice: Choice, transition: Transition
) -> str | None:
    try:
        return resolve(declared, choice, transition)[declared[0].name]
    except ParameterValidationError:
        return None


A, B, C = (uuid.UUID(int=number) for number in range(3))


@pytest.mark.parametrize(
    ("presets", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({A: {}}, A, id="without values"),
        pytest.param({A: {}, B: {"free": "1"}, C: {"free": "1", "x": "2"}}, C, id="most values"),
        pytest.param({A: {"free": "1"}, B: {"free": "2", "x": "2"}}, A, id="other value"),
        pytest.param({A: {"gone": "1"}}, None, id="no such value"),
    ],
)
def test_the_preset_with_most_values_matches(
    presets: dict[uuid.UUID, dict[str, str]], expected: uuid.UUID | None
) -> None:
    assert best_match(presets, {"free": "1", "x": "2"}) == expected
