"""Which values a build gets: chosen, of a preset, of the build before, or the defaults."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db.catalog.sources import call
from db.engine import Database
from db.errors import ParameterValidationError
from db.jobs.declarations import TemplateParameter
from db.parameters.limits import MAX_GIVEN, MAX_VALUE_BYTES, passable
from db.refusals import refusing
from db.schema.enums import JobErrorCode, Transition
from tests.integration.sql.rows import row_of

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
    NAMES,
    st.one_of(st.text(alphabet="ab1 \u00e4"), st.sampled_from(("true", "false", "1", "2"))),
    max_size=5,
)


Values = Mapping[str, str]
Refusal = Callable[..., ParameterValidationError]
SLOW = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Chooser:
    """Asks PostgreSQL which values a build gets."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(
        self,
        *declared: TemplateParameter,
        transition: Transition = START,
        given: Values | None = None,
        preset: Values | None = None,
        previous: Values | None = None,
    ) -> dict[str, str]:
        """Return the values of a build."""
        presets = [{"id": str(uuid.UUID(int=1)), "name": "chosen", "values": preset or {}}]
        chosen = self._ask(
            declared,
            presets,
            passable(given or {}, transition),
            transition,
            previous or {},
            "chosen" if preset else None,
        )
        values: dict[str, str] = chosen["values"]
        return values

    def match(self, presets: Mapping[uuid.UUID, Values], values: Values) -> uuid.UUID | None:
        """Return the preset that is found for these values."""
        declared = [TemplateParameter(name=name, required=False) for name in values]
        rows = [{"id": str(key), "name": str(key), "values": one} for key, one in presets.items()]
        found = self._ask(declared, rows, values, START, {}, None)["preset_id"]
        return uuid.UUID(found) if found else None

    def _ask(
        self,
        declared: Any,
        presets: Any,
        given: Values,
        transition: Transition,
        previous: Values,
        preset: str | None,
    ) -> Any:
        source = {
            "declared": [row_of(parameter) for parameter in declared],
            "presets": presets,
            "previous_values": previous,
        }
        with refusing(self._session):
            return call(self._session, "chosen_values", source, transition.value, given, preset)


@pytest.fixture
def resolved(database: Database) -> Any:
    with database.sessions() as session:
        yield Chooser(session)


@pytest.fixture
def refusal(resolved: Chooser) -> Refusal:
    def refuse(*declared: TemplateParameter, **choice: Any) -> ParameterValidationError:
        with pytest.raises(ParameterValidationError) as caught:
            resolved(*declared, **choice)
        return caught.value

    return refuse


def details(error: ParameterValidationError) -> dict[str, str]:
    return {found.field: found.detail for found in error.validations}


def test_a_parameter_without_a_value_has_its_default(resolved: Chooser) -> None:
    assert resolved(FREE) == {"free": "d"}


def test_a_value_is_kept_from_the_build_before(resolved: Chooser) -> None:
    assert resolved(FREE, previous={"free": "p"}) == {"free": "p"}


def test_a_chosen_value_replaces_the_one_of_the_build_before(resolved: Chooser) -> None:
    assert resolved(FREE, given={"free": "g"}, previous={"free": "p"}) == {"free": "g"}


def test_a_preset_takes_precedence_over_the_request(resolved: Chooser) -> None:
    assert resolved(FREE, given={"free": "g"}, preset={"free": "s"}) == {"free": "s"}


def test_a_value_for_one_build_is_not_kept(resolved: Chooser) -> None:
    assert resolved(ONCE, previous={"once": "true"}) == {"once": "false"}


def test_a_value_for_one_build_is_given_to_that_build(resolved: Chooser) -> None:
    assert resolved(ONCE, given={"once": "true"}) == {"once": "true"}


def test_a_value_that_the_template_no_longer_declares_is_not_kept(resolved: Chooser) -> None:
    assert resolved(FREE, previous={"gone": "x"}) == {"free": "d"}


def test_an_empty_value_stays_empty(resolved: Chooser) -> None:
    assert resolved(FREE, given={"free": ""}) == {"free": ""}


def test_a_preset_may_name_what_the_template_does_not_declare(resolved: Chooser) -> None:
    assert resolved(FREE, preset={"gone": "x"}) == {"free": "d"}


def test_a_parameter_that_must_not_change_is_refused(refusal: Refusal) -> None:
    error = refusal(FIXED, given={"fixed": "b"}, previous={"fixed": "a"})
    assert details(error) == {
        "fixed": 'Parameter "fixed" is not mutable,'
        " so it can't be updated after creating a workspace."
    }


@pytest.mark.parametrize("previous", [{}, {"fixed": "a"}])
def test_a_parameter_that_must_not_change_may_be_new_or_the_same(
    resolved: Chooser, previous: dict[str, str]
) -> None:
    assert resolved(FIXED, given={"fixed": "a"}, previous=previous) == {"fixed": "a"}


def test_a_needed_value_that_is_missing_is_refused_with_its_code(refusal: Refusal) -> None:
    error = refusal(NEEDED)
    assert str(error) == (
        'Unable to validate parameter "needed": Parameter "needed" is required but not provided'
    )
    assert error.error_code is JobErrorCode.MISSING_TEMPLATE_PARAMETER


def test_a_wrong_value_is_refused_by_the_name_that_people_see(refusal: Refusal) -> None:
    error = refusal(NEEDED, given={"needed": ""})
    assert details(error) == {
        "needed": 'can\'t validate build parameter "The needed one": parameter value is required'
    }


def test_a_refusal_that_is_not_about_a_missing_value_has_no_code(refusal: Refusal) -> None:
    assert refusal(COUNT, given={"count": "x"}).error_code is None


def test_a_number_is_compared_with_the_build_before(refusal: Refusal) -> None:
    error = refusal(COUNT, given={"count": "3"}, previous={"count": "4"})
    assert "must be equal or greater than previous value: 4" in str(error)


def test_all_wrong_parameters_are_named_by_name(refusal: Refusal) -> None:
    error = refusal(NEEDED, COUNT, given={"count": "x", "regoin": "eu"})
    assert [found.field for found in error.validations] == ["count", "needed", "regoin"]
    assert str(error).startswith("Unable to validate parameters: ")


def test_an_unknown_parameter_is_refused_beside_those_that_exist(refusal: Refusal) -> None:
    error = refusal(FREE, NEEDED, given={"regoin": "eu", "needed": "x"})
    assert details(error) == {
        "regoin": 'parameter "regoin" is not present in the template; it has "free", "needed"'
    }


@pytest.mark.parametrize(("count", "end"), [(20, '"p19"'), (21, '"p19", \u2026')])
def test_not_more_than_twenty_parameters_are_named(refusal: Refusal, count: int, end: str) -> None:
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
    refusal: Refusal, given: dict[str, Any], words: str
) -> None:
    assert words in str(refusal(FREE, given=given))


def test_values_that_are_too_large_together_are_refused(refusal: Refusal) -> None:
    many = [TemplateParameter(name=f"p{number}", required=False) for number in range(6)]
    values = {parameter.name: "x" * 100_000 for parameter in many}
    assert "at most 524288 are allowed" in str(refusal(*many, given=values))


def test_a_default_that_cannot_be_passed_on_is_refused(refusal: Refusal) -> None:
    large = TemplateParameter(name="large", required=False, default="x" * (MAX_VALUE_BYTES + 1))
    assert list(details(refusal(large))) == ["large"]


def test_a_stop_keeps_a_value_that_the_rules_no_longer_allow(resolved: Chooser) -> None:
    assert resolved(COUNT, transition=STOP, previous={"count": "x"}) == {"count": "x"}


def test_a_stop_is_judged_by_what_is_chosen_for_it(refusal: Refusal) -> None:
    assert list(details(refusal(COUNT, transition=STOP, given={"count": "x"}))) == ["count"]


def test_a_delete_leaves_out_what_may_not_be_chosen(resolved: Chooser) -> None:
    given = {"fixed": "b", "count": "x", "free": "a\0b", "unknown": "x"}
    previous = {"fixed": "a", "count": "2", "free": "p", "once": "true"}
    assert resolved(
        FIXED, COUNT, FREE, ONCE, NEEDED, transition=DELETE, given=given, previous=previous
    ) == {"fixed": "a", "count": "2", "free": "p", "once": "false", "needed": ""}


def test_a_delete_takes_what_may_be_chosen(resolved: Chooser) -> None:
    assert resolved(FREE, transition=DELETE, given={"free": "g"}) == {"free": "g"}


@SLOW
@given(given_values=VALUES, preset=VALUES, previous=VALUES)
def test_a_delete_is_never_refused(
    resolved: Chooser,
    given_values: dict[str, str],
    preset: dict[str, str],
    previous: dict[str, str],
) -> None:
    declared = (FREE, FIXED, NEEDED, ONCE, COUNT)
    values = resolved(
        *declared, transition=DELETE, given=given_values, preset=preset, previous=previous
    )
    assert values.keys() == {found.name for found in declared}


@SLOW
@given(given_values=VALUES, previous=VALUES)
def test_what_a_start_accepted_is_accepted_again(
    resolved: Chooser, given_values: dict[str, str], previous: dict[str, str]
) -> None:
    declared = (FREE, FIXED, NEEDED, ONCE, COUNT)
    try:
        first = resolved(*declared, given=given_values, previous=previous)
    except ParameterValidationError:
        return
    again = resolved(*declared, previous=first)
    assert again == {**first, "once": "false"}


@SLOW
@given(given_values=VALUES, previous=VALUES)
def test_a_fixed_value_never_changes(
    resolved: Chooser, given_values: dict[str, str], previous: dict[str, str]
) -> None:
    before = {**previous, "fixed": "a"}
    for transition in Transition:
        try:
            values = resolved(FIXED, transition=transition, given=given_values, previous=before)
        except ParameterValidationError:
            continue
        assert values["fixed"] == "a"


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
    resolved: Chooser, presets: dict[uuid.UUID, dict[str, str]], expected: uuid.UUID | None
) -> None:
    assert resolved.match(presets, {"free": "1", "x": "2"}) == expected
