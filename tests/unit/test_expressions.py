"""The expressions of workspace tags."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import WorkspaceTagError
from db.parameters.expressions import MAX_LENGTH, ExpressionError, Values, evaluate
from db.parameters.tags import MAX_TAGS, workspace_tags

VALUES = Values(
    variables={"zone": "eu", "empty": ""}, parameters={"os": "linux", "cache": "true", "n-1": "3"}
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('"developers"', "developers"),
        ('""', ""),
        ("3", "3"),
        ("-1.5", "-1.5"),
        ("true", "true"),
        ("var.zone", "eu"),
        (" data.coder_parameter.os.value ", "linux"),
        ("data.coder_parameter.n-1.value", "3"),
        ('"${data.coder_parameter.os.value}-${var.zone}"', "linux-eu"),
        ('"a ${"b ${var.zone}"} c"', "a b eu c"),
        (r'"\"\\\n$${x}%%{y}$"', '"\\\n${x}%{y}$'),
        ('data.coder_parameter.cache.value == "true" ? "with" : "without"', "with"),
        ('var.zone != "eu" ? "a" : var.zone == "us" ? "b" : "c"', "c"),
        ("data.coder_parameter.cache.value ? 1 : 2", "1"),
        ('!(var.zone == "eu") || var.zone == "eu" && true', "true"),
        ("true && true && false", "false"),
        ("false || false || true", "true"),
    ],
)
def test_an_expression_has_a_value(expression: str, value: str) -> None:
    assert evaluate(expression, VALUES) == value


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "it is incomplete"),
        ("lower(var.zone)", "lower is not known here"),
        ("data.aws_region.here.name", "data.aws_region.here.name is not known here"),
        ("local.x", "local.x is not known here"),
        ("var.missing", "var.missing has no value"),
        ("data.coder_parameter.missing.value", "has no value"),
        ('"open', "a text has no closing quote"),
        ('"${var.zone"', "is not supported there"),
        ('"%{ if true }x%{ endif }"', "is not supported"),
        (r'"\u00e4"', "the escape \\\\u is not supported"),
        ("var.zone ? 1 : 2", "a condition is neither true nor false"),
        ("true ? 1", "it is incomplete"),
        ('"a" "b"', "is not supported there"),
        ("1 + 1", "is not supported there"),
        ("[1]", "is not supported there"),
        (")", "is not supported there"),
        ("(" * 10_000, "has more than"),
        ("(" * 1_000, "it is nested too deeply"),
        ("!" * 1_000 + "true", "it is nested too deeply"),
        ('"' + '${"' * 500, "it is nested too deeply"),
    ],
)
def test_anything_else_is_refused(expression: str, problem: str) -> None:
    with pytest.raises(ExpressionError, match=problem):
        evaluate(expression, VALUES)


@given(st.text(alphabet='"${}()?:!=&|\\ avr.zone1true', max_size=MAX_LENGTH))
def test_any_text_has_a_value_or_is_refused(expression: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert isinstance(evaluate(expression, VALUES), str)


def test_a_tag_that_cannot_be_evaluated_is_named() -> None:
    with pytest.raises(WorkspaceTagError) as caught:
        workspace_tags({"zone": "var.missing"}, VALUES)
    assert str(caught.value) == (
        'failed to evaluate workspace tag "zone" value var.missing: var.missing has no value'
    )


def test_a_template_computes_a_limited_number_of_tags() -> None:
    with pytest.raises(WorkspaceTagError, match="more than 32"):
        workspace_tags({str(n): '""' for n in range(MAX_TAGS + 1)}, VALUES)
