"""The rules in SQL give the answers of the rules in Python, which an import uses."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.declarations import ParameterOption, TemplateParameter
from db.jobs.tags import queue_name, with_owner
from db.parameters.constraint import read_type
from db.parameters.expressions import ExpressionError, Values, evaluate
from db.parameters.pattern import PatternError, matches
from db.parameters.rules import RuleError
from db.parameters.types import misfit
from db.parameters.validation import check_value
from tests.harness.patterns import MEANINGS
from tests.integration.sql.rows import row_of

OWNER = uuid.UUID("8b5c1f7a-58cb-4b8d-9a71-0e0c3b9bd9b6")
SLOW = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.sessions() as session:
        session.execute(text("SET search_path = provisionerd, public"))
        yield session


def ask(session: Session, call: str, **values: object) -> Any:
    return session.execute(text(f"SELECT {call}"), values).scalar_one()


def test_a_pattern_means_what_it_means_in_go(session: Session) -> None:
    for pattern, value, expected in MEANINGS:
        found = ask(session, "matches_pattern(:pattern, :value)", pattern=pattern, value=value)
        # None: it cannot be said in PostgreSQL, so the provider judges in the plan.
        assert found is expected or (found is None and r"\p" in pattern), pattern


ATOMS = ["a", "b", ".", "^", "$", "[ab]", "[^a]", r"\d", r"\w", r"\S", r"\b", r"\.", "a|b", "(a)"]
ATOMS += ["[[:digit:]_-]", "(?:ab)", "[a-c]", r"[\w.-]", "-", r"\x61", "[]a]", r"\Qa.b\E", "1"]
PATTERNS = st.lists(
    st.tuples(st.sampled_from(ATOMS), st.sampled_from(["", "", "*", "+", "?", "{2}", "+?"])),
    max_size=5,
).map(lambda parts: "".join(f"{atom}{times}" for atom, times in parts))
VALUES = st.text(alphabet="ab1_.- c\n\u00e4", max_size=6)


@SLOW
@given(pattern=PATTERNS, value=VALUES)
def test_a_pattern_matches_as_it_does_in_python(session: Session, pattern: str, value: str) -> None:
    found = ask(session, "matches_pattern(:pattern, :value)", pattern=pattern, value=value)
    try:
        expected = matches(pattern, value)
    except PatternError:
        return
    assert found in {expected, None}


TYPES = st.sampled_from(
    [
        "string", "number", "bool", "any", "list(string)", "set(number)", "map(bool)", "list",
        "object({a = string, b = optional(number, 3)})", "tuple([string, number])", "nonsense(",
        "map(object({a = list(string)}))", "list(any) # all", "object({})", "", "list(",
    ]
)  # fmt: skip
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "1", "true", "1.5"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=1)
    ),
    max_leaves=5,
)


@SLOW
@given(kind=TYPES, value=DOCUMENTS)
def test_a_value_fits_a_type_as_it_does_in_python(
    session: Session, kind: str, value: object
) -> None:
    found = ask(
        session,
        "misfit(read_type(:kind), CAST(:value AS jsonb))",
        kind=kind,
        value=json.dumps(value),
    )
    assert (found or "") == misfit(read_type(kind), value)


PARAMETERS = st.builds(
    TemplateParameter,
    name=st.just("size"),
    required=st.booleans(),
    default=st.sampled_from(["", "1", "a", "true", "[]"]),
    type=st.sampled_from(["string", "number", "bool", "list(string)"]),
    form_type=st.sampled_from(["", "multi-select"]),
    options=st.lists(
        st.sampled_from(["1", "a", "b"]).map(lambda value: ParameterOption(name="", value=value)),
        max_size=2,
    ).map(tuple),
    validation_regex=st.sampled_from(["", "^a", "[0-9]+"]),
    validation_error=st.sampled_from(["", "between {min} and {max}, not {value}"]),
    validation_min=st.none() | st.integers(-2, 2),
    validation_max=st.none() | st.integers(-2, 2),
    validation_monotonic=st.sampled_from(["", "increasing", "decreasing"]),
    variable_type=st.none() | TYPES,
)
GIVEN = st.sampled_from(
    ["", "1", "-3", "5", "1.5", "nan", "a", "b", "true", "[]", '["a"]', '["c"]', "null", "{}", "+1",
     "9" * 19, "x" * 300, '"\n\u00e4', "[1]", "Infinity", " 1"]
)  # fmt: skip


@SLOW
@given(parameter=PARAMETERS, value=GIVEN, previous=st.none() | GIVEN)
@example(
    parameter=TemplateParameter(name="size", required=True, type="number"), value="", previous="1"
)
def test_a_value_is_judged_as_it_is_in_python(
    session: Session, parameter: TemplateParameter, value: str, previous: str | None
) -> None:
    if parameter.required and not value:
        return  # judged by resolved_value
    if parameter.required:
        parameter = dataclasses.replace(parameter, default=None)
    try:
        check_value(parameter, value, previous)
        expected = None
    except RuleError as error:
        expected = str(error)
    found = ask(
        session,
        "value_refusal(CAST(:parameter AS jsonb), :value, :previous)",
        parameter=json.dumps(row_of(parameter)),
        value=value,
        previous=previous,
    )
    assert found == expected


PIECES = [
    "true", "false", "1", '"a"', '"${var.x}-b"', "var.x", "data.coder_parameter.size.value", "==",
    "!=", "&&", "||", "!", "?", ":", "(", ")", '"$${"', r'"\n"', '"', "nothing", "-1.5", "var.y",
]  # fmt: skip


def evaluated(session: Session, expression: str, known: Values) -> str:
    """Return what PostgreSQL makes of an expression, a refusal included."""
    try:
        with session.begin_nested():
            value: str = ask(
                session,
                "expression_value(:expression, CAST(:known AS jsonb))",
                expression=expression,
                known=json.dumps({"variables": known.variables, "parameters": known.parameters}),
            )
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != "PVX02":
            raise
        return f"refused: {error.orig.diag.message_primary}"  # type: ignore[union-attr]
    return value


EXPRESSIONS = st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join)


@SLOW
@given(expression=EXPRESSIONS)
@example(expression='var.x == "a" ? "one" : "two"')
@example(expression="!(true && false) || false")
@example(expression='"${"${"${1}"}"}"')
def test_an_expression_of_a_tag_is_evaluated_as_it_is_in_python(
    session: Session, expression: str
) -> None:
    known = Values(variables={"x": "a"}, parameters={"size": "true"})
    try:
        expected = evaluate(expression, known)
    except ExpressionError as error:
        expected = f"refused: {error}"
    assert evaluated(session, expression, known) == expected


@SLOW
@given(
    tags=st.dictionaries(
        st.text(min_size=1).filter(lambda key: key.strip() and "\0" not in key),
        st.text().filter(lambda value: "\0" not in value),
        max_size=3,
    )
)
def test_a_queue_has_the_name_that_workers_know(session: Session, tags: dict[str, str]) -> None:
    tags = {key: value for key, value in tags.items() if key not in {"scope", "owner"}}
    found = ask(
        session,
        "queue_of(tags_of_owner(CAST(:tags AS jsonb), :owner))",
        tags=json.dumps(tags),
        owner=OWNER,
    )
    assert found == queue_name(with_owner(tags, OWNER))
